"""Two apps in the test's own process: `target` does things, `asker` asks for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from spoke_runner.sdk import App, Call, Refused
from tests.support.apps import function, installed, write_app
from tests.support.desk import Desk, desk
from tests.support.pdp import FakePdp

TEXT = {"type": "object", "additionalProperties": False, "properties": {"text": {"type": "string"}}}
FUNCTIONS = {
    "do": function(),
    "say": function(arguments=TEXT, result={"type": "object", "required": ["text"]}),
    "send": function(effect="write", control_arguments=["/text"], arguments=TEXT),
    "secret": function(labels={"confidentiality": ["health"], "integrity": ["untrusted:mail"]}),
    "fail": function(labels={"confidentiality": ["failing"], "integrity": []}),
    "wait": function(),
    "needs": function(arguments={**TEXT, "required": ["text"]}),
}
ASKER = {
    "ask": function(
        arguments={
            "type": "object",
            "additionalProperties": False,
            "properties": {"function": {"type": "string"}, "arguments": {"type": "object"}},
        }
    ),
    "probe": function(),
    "loop": function(),
}


class Target:
    """The apps, what has run in them, and what to run when `do` is called."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, Any]] = []
        self.cancelled = 0
        self.on_do: Callable[[Any], Any] = lambda value: value
        self.code = {"target": App(), "asker": App()}
        target, asker = self.code["target"], self.code["asker"]

        @target.function
        async def do(call: Call, value: Any = None) -> Any:
            self.ran.append(("do", value))
            return self.on_do(value)

        @target.function
        async def say(call: Call, text: str = "") -> Any:
            self.ran.append(("say", text))
            return {"text": text, "more": 1}

        @target.function
        async def send(call: Call, text: str = "") -> Any:
            self.ran.append(("send", text))

        @target.function
        async def needs(call: Call, text: str) -> Any:
            self.ran.append(("needs", text))

        @target.function
        async def secret(call: Call, value: Any = None) -> Any:
            self.ran.append(("secret", value))
            return "asthma"

        @target.function
        async def fail(call: Call, value: Any = None) -> None:
            self.ran.append(("fail", value))
            raise ValueError("the app's own words")

        @target.function
        async def wait(call: Call, value: Any = None) -> None:
            self.ran.append(("wait", value))
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise

        @asker.function
        async def ask(call: Call, function: str, arguments: dict[str, Any] | None = None) -> Any:
            try:
                return {"result": await call.invoke(function, arguments or {})}
            except Refused as refused:
                return {"refused": refused.reason, "message": refused.message, "decision_id": refused.decision_id}

        @asker.function
        async def probe(call: Call, value: Any = None) -> Any:
            return [found.name for found in await call.probe()]

        @asker.function
        async def loop(call: Call, value: Any = None) -> Any:
            try:
                return await call.invoke("asker.loop", {})
            except Refused as refused:
                return refused.reason

    @property
    def functions(self) -> list[str]:
        """The functions of `target` that have run, in order."""
        return [name for name, _ in self.ran]


@asynccontextmanager
async def at_desk(
    directory: Path, pdp: FakePdp | None = None, target: Target | None = None, **limits: Any
) -> AsyncIterator[tuple[Desk, Target]]:
    """Set a desk up with both apps."""
    target = target or Target()
    paths = (
        write_app(directory / "apps", "target", FUNCTIONS),
        write_app(directory / "apps", "asker", ASKER, asks=["*"]),
    )
    async with desk(installed(*paths), target.code, pdp, **limits) as it:
        yield it, target
