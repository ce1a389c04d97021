"""An agent in this process: a call whose model plays a script, and whose asks the test answers."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripted_model import Brain, Reply
from scripted_model.conversation import read, wire_name
from spoke_runner.sdk import Generated, History, ProbedFunction, Refused, Response, Turn
from spoke_runner.sdk.call import Role

Served = Callable[..., Any]


def probed(name: str, description: str = "", **properties: Any) -> ProbedFunction:
    """Return a function that may be asked for, with these arguments."""
    schema = {"type": "object", "additionalProperties": False, "properties": properties}
    return ProbedFunction(name, description or f"Serves {name}.", schema, True)


def says(text: str) -> dict[str, Any]:
    """Return a message of the model that only speaks."""
    return {"role": "assistant", "content": text}


def calls(*made: tuple[str, Any], text: str | None = None) -> dict[str, Any]:
    """Return a message of the model that calls tools: name and arguments, a string is sent as it is."""
    listed = [
        {
            "id": f"id_{number}",
            "type": "function",
            "function": {"name": name, "arguments": given if isinstance(given, str) else json.dumps(given)},
        }
        for number, (name, given) in enumerate(made)
    ]
    return {"role": "assistant", "content": text, "tool_calls": listed}


@dataclass
class AgentCall:
    """A call of an agent.

    Attributes:
        brain: What the model answers by; or its messages, in order, the last of them for ever.
        functions: What may be asked for.
        served: By function: what it returns, or raises.
    """

    data: Path = Path("/nowhere")
    brain: Brain | Sequence[Any] = ()
    functions: Sequence[ProbedFunction] = ()
    served: Mapping[str, Served] = field(default_factory=dict)
    app: str = "agent"
    instructions: str = "Help."
    user_data: Mapping[str, Any] = field(default_factory=dict)
    summary: str = ""
    turns: list[Turn] = field(default_factory=list)
    forgetful: bool = False
    tokens: int = 10

    def __post_init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.invoked: list[tuple[str, Any]] = []
        self.probes: list[list[str]] = []
        self.pieces: list[str] = []
        self.reports: list[str] = []

    @property
    def shown(self) -> str:
        """All that the model was ever shown."""
        return json.dumps(self.requests, ensure_ascii=False)

    async def generate(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        on_text: Callable[[str], Awaitable[None]] | None = None,
        **options: Any,
    ) -> Generated:
        body = {"model": "scripted", "messages": messages, **({"tools": tools} if tools else {}), **options}
        body = json.loads(json.dumps(body))
        self.requests.append(body)
        conversation = read(body)  # as strict as a provider
        if isinstance(self.brain, Sequence):
            answer = self.brain[min(len(self.requests), len(self.brain)) - 1]
            if isinstance(answer, Exception):
                raise answer
            message = answer
        else:
            message = _message(self.brain.answer(conversation))
        content = message.get("content")
        if on_text is not None and isinstance(content, str):
            for start in range(0, len(content), 7):
                await on_text(content[start : start + 7])
        return Generated(message, "stop", self.tokens, self.tokens)

    async def invoke(self, function: str, arguments: dict[str, Any]) -> Any:
        self.invoked.append((function, arguments))
        if function not in self.served:
            raise Refused("FUNCTION_NOT_FOUND", decision_id="d-none", message="There is no such function.")
        return self.served[function](**arguments)

    async def probe(self, functions: Sequence[str] = ()) -> list[ProbedFunction]:
        self.probes.append(list(functions))
        return [function for function in self.functions if not functions or function.name in functions]

    async def history(self) -> History:
        if self.forgetful:
            raise Refused("POLICY_DENIED")
        return History(self.summary, tuple(self.turns))

    async def say(self, role: Role, text: str) -> None:
        if self.forgetful:
            raise Refused("POLICY_DENIED")
        self.turns.append(Turn(role, text))

    async def progress(self, text: str, *, answer: bool = False) -> None:
        (self.pieces if answer else self.reports).append(text)

    async def remember(self, key: str, value: Any) -> None:
        raise AssertionError("no agent remembers by itself")

    async def forget(self, key: str) -> None:
        raise AssertionError("no agent forgets by itself")

    async def recall(self, key: str, default: Any = None) -> Any:
        raise AssertionError("no agent recalls by itself")

    async def entries(self) -> dict[str, Any]:
        raise AssertionError("no agent recalls by itself")

    async def fetch(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        max_response_bytes: int = 0,
        timeout_seconds: float = 0.0,
    ) -> Response:
        raise AssertionError("no agent fetches by itself")


def _message(reply: Reply) -> dict[str, Any]:
    if not reply.calls:
        return says(reply.content())
    return calls(*((wire_name(call.name), call.arguments) for call in reply.calls), text=reply.content() or None)


def refuse(reason: str = "POLICY_DENIED") -> Served:
    """Return a function that is refused."""

    def refused(**_: Any) -> Any:
        raise Refused(reason, decision_id="d-1", message="The policies do not allow this.")

    return refused
