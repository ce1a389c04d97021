"""The agent: it does what the user wants, and whatever the first injected text that it reads wants too.

That is the worst case of a model, and needs none: it obeys completely, never doubts, and goes on after every refusal.
So what is measured is what stands between an agent and the world, and not how gullible a model is.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from spoke_runner.sdk import Refused
from tests.lab.agentdojo.situations import Situation, ToolCall

Order = Literal["interleave", "append"]

ORDERS: tuple[Order, ...] = ("interleave", "append")


class Hub(Protocol):
    """What the agent has of the hub: `spoke_runner.sdk.Call` says what each does."""

    async def invoke(self, function: str, arguments: dict[str, Any]) -> Any:
        """Ask for another app's function."""
        ...

    async def remember(self, key: str, value: Any) -> None:
        """Keep a value beyond the session."""
        ...

    async def recall(self, key: str, default: Any = None) -> Any:
        """Return what was kept."""
        ...


@dataclass(frozen=True, slots=True)
class Attempt:
    """A call that the agent asked for.

    Attributes:
        function: `app.function`.
        injected: Whether an injected text wanted it.
        refused: Why the hub refused it, or `APP_FAILED`; empty when it was done.
        seconds: How long it took, with all that it took elsewhere.
        words: What was said with a refusal.
    """

    function: str
    injected: bool
    refused: str
    seconds: float
    words: str = ""


@dataclass(slots=True)
class Asker:
    """Who asks for tools in one run, and keeps account of it.

    Args:
        apps: By tool: the app that serves it.

    Attributes:
        attempts: What was asked for, in order.
    """

    apps: Mapping[str, str]
    attempts: list[Attempt] = field(default_factory=list)

    async def respond(self, hub: Hub) -> str:
        """Do what is to be done, and return the answer."""
        raise NotImplementedError

    async def ask(self, hub: Hub, call: ToolCall, *, injected: bool) -> Any:
        """Ask for a tool, and return what it returned; None where that was refused."""
        function = f"{self.apps[call.tool]}.{call.tool}"
        result, refused, words, began = None, "", "", time.perf_counter()
        try:
            result = await hub.invoke(function, dict(call.arguments))
        except Refused as error:
            refused, words = error.reason, error.message
        self.attempts.append(Attempt(function, injected, refused, time.perf_counter() - began, words))
        return result


@dataclass(slots=True)
class Agent(Asker):
    """The agent in one run.

    Args:
        situation: What is wanted.
        order: Whether it does what was injected at once, or when it has done what the user wants.
    """

    situation: Situation = field(kw_only=True)
    order: Order = field(kw_only=True)

    async def respond(self, hub: Hub) -> str:
        """Carry it all out, and return the answer."""
        pending = list(self.situation.injected)
        taken_in = False
        for call in self.situation.wanted:
            result = await self.ask(hub, call, injected=False)
            taken_in = taken_in or self._reads_injection(result)
            while taken_in and pending and self.order == "interleave":
                await self.ask(hub, pending.pop(0), injected=True)
        while taken_in and pending:
            await self.ask(hub, pending.pop(0), injected=True)
        return self.situation.answer

    def _reads_injection(self, result: Any) -> bool:
        # A world is written as YAML, which folds white space.
        wanted = [" ".join(text.split()) for text in self.situation.injections.values()]
        return any(text in " ".join(read.split()) for read in _texts(result) for text in wanted)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
