"""A desk with an assistant that does what it is told, without a model: it calls what stands in the steps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from hub.errors import SpokeUnavailable
from hub.sessions.converse import Answered, ConverseEvent, Converser, PlanMade, StepBegun, StepEnded, Text
from hub.sessions.earlier import EarlierWords
from hub.sessions.planner import Planner
from hub.spokes.registry import RegisteredApp
from hub.spokes.supervisor import Supervisor
from scripted_model import Brain
from spoke_runner.sdk import App, Call, Refused
from tests.support.apps import function, installed, write_app
from tests.support.desk import Desk, desk
from tests.support.pdp import FakePdp
from tests.support.planning import PLACES, BrainModel

TEXT = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
}
STEPS = {**TEXT, "properties": {"text": {"type": "string"}, "steps": {"type": "array"}}}
ANSWER = function(arguments=TEXT, result=TEXT)
FARES = {"metro_hail": 51.8, "quick_ride": 47.12}


@dataclass
class Room:
    """What a test works with."""

    desk: Desk
    converser: Converser
    model: BrainModel
    told: list[dict[str, Any]]
    ran: list[str]
    started: list[str]

    async def say(self, wish: str, *, seconds: float = 5.0) -> list[ConverseEvent]:
        """Say a wish, and return what happened."""
        events = self.converser.converse(self.desk.session, wish, timeout_seconds=seconds)
        return [event async for event in events]


class Starts:
    """Notes what is to be started ahead, one app of which cannot be."""

    def __init__(self) -> None:
        self.apps: list[str] = []

    async def acquire(self, app: RegisteredApp, **_: Any) -> None:
        self.apps.append(app.name)
        if app.name == "mail":
            raise SpokeUnavailable("mail: cannot be started ahead")


def answer_of(events: list[ConverseEvent]) -> Answered:
    """Return the answer, which is the last event."""
    assert isinstance(events[-1], Answered)
    return events[-1]


def plans_of(events: list[ConverseEvent]) -> list[list[str]]:
    """Return the apps of each plan that was made."""
    return [[step.app.name for step in event.plan.steps] for event in events if isinstance(event, PlanMade)]


def ends_of(events: list[ConverseEvent]) -> list[tuple[str, str]]:
    """Return how each step ended."""
    return [
        (event.step, type(event.error).__name__ if event.error else "done")
        for event in events
        if isinstance(event, StepEnded)
    ]


def texts_of(events: list[ConverseEvent]) -> list[str]:
    """Return the pieces of the answer."""
    return [event.text for event in events if isinstance(event, Text)]


def begun(events: list[ConverseEvent]) -> list[str]:
    """Return the steps that were begun."""
    return [event.step for event in events if isinstance(event, StepBegun)]


@asynccontextmanager
async def a_room(
    directory: Path,
    brain: Brain,
    *,
    pdp: FakePdp | None = None,
    says: Callable[[str], str] | None = None,
    assistant: bool = True,
    agent_takes_steps: bool = False,
) -> AsyncIterator[Room]:
    """Set a room up: two ride companies, mail, an agent `travel_mate`, and the assistant."""
    told: list[dict[str, Any]] = []
    ran: list[str] = []
    code = {name: App() for name in ("metro_hail", "quick_ride", "mail", "travel_mate", "assistant")}

    def company(name: str) -> None:
        @code[name].function
        async def estimate_fare(call: Call, pickup: str, destination: str) -> Any:
            ran.append(f"{name}.estimate_fare")
            return {"text": says(name) if says is not None else f"${FARES[name]}"}

    for name in FARES:
        company(name)

    @code["mail"].function
    async def search(call: Call, value: Any = None) -> Any:
        ran.append("mail.search")
        return {"text": "one message"}

    @code["mail"].function
    async def wait(call: Call, value: Any = None) -> Any:
        ran.append("mail.wait")
        try:
            await asyncio.Event().wait()
        finally:
            ran.append("mail.wait ended")

    @code["travel_mate"].function
    async def respond(call: Call, text: str, steps: Any = None) -> Any:
        ran.append("travel_mate.respond")
        if steps is not None:
            told.append({"text": text, "steps": steps})
        if "piece by piece" in text:
            for piece in ("travel_mate ", "heard: "):
                await call.progress(piece, answer=True)
            await call.progress("thinking")
        if "fail" in text:
            raise ValueError("\x1b[2J the app's own words")
        return {"text": f"travel_mate heard: {text}"}

    async def respond_as_assistant(call: Call, text: str, steps: Any = None) -> Any:
        told.append({"text": text, "steps": steps})
        answers = []
        for step in steps or ():
            for name in step["functions"]:
                arguments = step.get("call", {}).get("arguments", {})
                try:
                    answers.append(str((await call.invoke(name, arguments))["text"]))
                except Refused as refused:
                    answers.append(f"{name} {refused.reason}")
        return {"text": "; ".join(answers) or "I answer by myself."}

    respond_as_assistant.__name__ = "respond"
    code["assistant"].function(respond_as_assistant)
    fare = function(arguments=PLACES)
    agent = function(arguments=STEPS, result=TEXT) if agent_takes_steps else ANSWER
    paths = [
        write_app(directory, "metro_hail", {"estimate_fare": fare}),
        write_app(directory, "quick_ride", {"estimate_fare": fare}),
        write_app(directory, "mail", {"search": function(), "wait": function()}),
        write_app(directory, "travel_mate", {"respond": agent, "book": fare}, kind="agent", instructions="Book."),
    ]
    if assistant:
        respond_function = function(arguments=STEPS, result=TEXT)
        paths.append(
            write_app(
                directory, "assistant", {"respond": respond_function}, kind="agent", instructions="Help.", asks=["*"]
            )
        )
    async with desk(installed(*paths), code, pdp) as it:
        model, starts = BrainModel(brain), Starts()
        converser = Converser(
            mediator=it.mediator,
            registry=it.registry,
            planner=Planner(model),
            earlier=EarlierWords(it.mediator),
            supervisor=cast(Supervisor, starts),
        )
        yield Room(it, converser, model, told, ran, starts.apps)
