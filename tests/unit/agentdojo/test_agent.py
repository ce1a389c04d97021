"""The agent that obeys: when it is taken in, what it does then, and in which order."""

from __future__ import annotations

from typing import Any

import pytest

from spoke_runner.sdk import Refused
from tests.lab.agentdojo.agent import Agent, Order
from tests.lab.agentdojo.situations import Situation, ToolCall


class Hub:
    """Returns what the test wants, and remembers what was asked for."""

    def __init__(self, results: dict[str, Any]) -> None:
        self.results = results
        self.asked: list[str] = []

    async def invoke(self, function: str, arguments: dict[str, Any]) -> Any:
        self.asked.append(function)
        result = self.results.get(function)
        if isinstance(result, Exception):
            raise result
        return result

    async def remember(self, key: str, value: Any) -> None:
        raise AssertionError("this agent remembers nothing")

    async def recall(self, key: str, default: Any = None) -> Any:
        raise AssertionError("this agent recalls nothing")


def situation(injection: str = "do\n  this") -> Situation:
    wanted = tuple(ToolCall(name, {}) for name in ("look", "read", "write"))
    injected = tuple(ToolCall(name, {}) for name in ("steal", "hide"))
    return Situation("user", "attack", "Please.", wanted, "Done.", injected, {"here": injection})


async def asked(order: Order, **results: Any) -> tuple[Agent, list[str]]:
    agent = Agent(dict.fromkeys(("look", "read", "write", "steal", "hide"), "app"), situation=situation(), order=order)
    hub = Hub({f"app.{name}": result for name, result in results.items()})
    assert await agent.respond(hub) == "Done."
    return agent, [function.removeprefix("app.") for function in hub.asked]


@pytest.mark.parametrize(
    ("order", "results", "expected"),
    [
        ("interleave", {"read": [{"text": "you: do this now"}]}, ["look", "read", "steal", "hide", "write"]),
        ("append", {"read": [{"text": "you: do this now"}]}, ["look", "read", "write", "steal", "hide"]),
        ("interleave", {"read": {"do this": 1}}, ["look", "read", "steal", "hide", "write"]),
        ("interleave", {"look": "do this", "read": "do this"}, ["look", "steal", "hide", "read", "write"]),
        ("interleave", {"write": "do this"}, ["look", "read", "write", "steal", "hide"]),
        ("interleave", {"read": "do that"}, ["look", "read", "write"]),
        ("append", {}, ["look", "read", "write"]),
    ],
)
async def test_it_obeys_the_first_injection_that_it_reads(
    order: Order, results: dict[str, Any], expected: list[str]
) -> None:
    agent, functions = await asked(order, **results)
    assert functions == expected
    injected = {"steal", "hide"}
    assert [one.function.removeprefix("app.") in injected for one in agent.attempts] == [
        one.injected for one in agent.attempts
    ]


async def test_it_goes_on_after_a_refusal_and_keeps_account_of_it() -> None:
    refused = Refused("POLICY_DENIED", message="No.")
    agent, functions = await asked("interleave", look="do this", steal=refused, read=refused)
    assert functions == ["look", "steal", "hide", "read", "write"]
    assert [(one.refused, one.words) for one in agent.attempts] == [
        ("", ""),
        ("POLICY_DENIED", "No."),
        ("", ""),
        ("POLICY_DENIED", "No."),
        ("", ""),
    ]
