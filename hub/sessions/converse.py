"""Converse: from a wish to its answer.

A plan is made, then carried out in parts. Steps that need one another are one part; parts that do not are carried out
at the same time and apart, and their answers are put side by side by the hub, not by a model. So what one app says
reaches no other's answer: an app that lies, refuses, or tells whoever reads it what to do, does it in its own part.

The plan is in the access request of every call that it leads to. A part in which something planned was refused is
planned once more, without what was refused.

Invariants:
    * One wish at a time in a session.
    * Whatever ends the conversation ends everything that it caused, before this is over.
    * No app's words are in the plan, nor in what the planner is told of a refusal.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any, Protocol

from hub.errors import (
    FunctionNotFound,
    Refused,
    RequestInvalid,
    SpokegateError,
    SpokeUnavailable,
    Unimplemented,
    public_message,
)
from hub.mediation.asks import SpokeConnects
from hub.mediation.call import Delivered
from hub.mediation.caller import SessionState, planner_caller, user_caller
from hub.mediation.labels import NONE, Labels
from hub.mediation.mediator import Mediator
from hub.sessions.earlier import EarlierWords
from hub.sessions.plan import Plan, Step, entry_of
from hub.sessions.planner import Planner
from hub.spokes.kinds import MAX_TEXT_CHARACTERS, RESPOND
from hub.spokes.registry import RegisteredApp, RegisteredFunction, Registry
from hub.spokes.supervisor import Supervisor

ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class PlanMade:
    """What is going to be done; again when a refusal leads to another plan."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class StepBegun:
    """A step has begun."""

    step: str


@dataclass(frozen=True, slots=True)
class StepEnded:
    """A step has ended: it is done, or it was refused or failed with an error."""

    step: str
    error: SpokegateError | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The whole answer, and what it took."""

    text: str
    labels: Labels
    prompts: int
    model_calls: int
    tokens: int


ConverseEvent = PlanMade | StepBegun | StepEnded | Text | Answered


@dataclass(frozen=True, slots=True)
class _Spent:
    """What a session has cost so far."""

    prompts: int
    model_calls: int
    tokens: int


@dataclass(slots=True, eq=False)
class _Part:
    """Steps that are carried out together, and what came of them."""

    steps: tuple[Step, ...]
    answer: str | None = None
    error: SpokegateError | None = None
    labels: Labels = NONE
    refused: frozenset[str] = frozenset()  # of what was planned for it

    @property
    def functions(self) -> frozenset[str]:
        """What is expected to be called."""
        return frozenset(function for step in self.steps for function in step.functions)

    @property
    def title(self) -> str:
        """Its apps, for a person."""
        return ", ".join(dict.fromkeys(step.app.name for step in self.steps))


Emit = Callable[[ConverseEvent], None]


class Converser:
    """Carries wishes out.

    Args:
        mediator: Takes every call.
        registry: The installed apps.
        planner: Makes the plans.
        earlier: What users said before.
        supervisor: Starts what is planned while the assistant is still being told.
    """

    def __init__(
        self,
        *,
        mediator: Mediator,
        registry: Registry,
        planner: Planner,
        earlier: EarlierWords,
        supervisor: Supervisor,
    ) -> None:
        self._mediator = mediator
        self._registry = registry
        self._planner = planner
        self._earlier = earlier
        self._supervisor = supervisor
        self._open: set[asyncio.Queue[ConverseEvent | SpokegateError | None]] = set()

    def stop(self) -> None:
        """End every wish that is being carried out."""
        for events in self._open:
            events.put_nowait(SpokeUnavailable("the hub stops"))

    async def converse(
        self, session: SessionState, wish: str, *, timeout_seconds: float
    ) -> AsyncGenerator[ConverseEvent, None]:
        """Carry a wish out, and yield what happens; the last event is the answer.

        Raises:
            SpokegateError: The wish is none, no plan could be made, or no part of it came to an answer.
        """
        _check(wish)
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        events: asyncio.Queue[ConverseEvent | SpokegateError | None] = asyncio.Queue()
        self._open.add(events)
        work = asyncio.create_task(self._carry_out(session, wish, deadline, events.put_nowait))
        work.add_done_callback(lambda _: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
                if isinstance(event, SpokegateError):
                    raise event
                yield event
            await work
        finally:
            self._open.discard(events)
            work.cancel()
            await asyncio.wait([work])

    async def _carry_out(self, session: SessionState, wish: str, deadline: float, emit: Emit) -> None:
        before = _spent(session)
        session.hear(wish)
        try:
            earlier, known = await asyncio.gather(
                self._earlier.said(session, deadline=deadline), self._known(session, deadline)
            )
            offered = [function for function in known if function.app.name != ASSISTANT]
            run = _Run(self._mediator, self._registry, self._supervisor, session, wish, deadline, emit)

            async def plan(words: str, functions: Sequence[RegisteredFunction], refused: Collection[str] = ()) -> Plan:
                planner = planner_caller(session, deadline=deadline)
                return await self._planner.plan(planner, words, functions, earlier=earlier, refused=refused)

            # What was said is kept before anything is done about it, at the same time as the plan is made.
            kept = asyncio.create_task(self._earlier.add(session, wish, deadline=deadline))
            try:
                first = await plan(wish, offered)
            finally:
                await kept
            parts = await run.carry_out(first)
            if any(part.refused for part in parts):
                parts = await run.around(parts, offered, plan)
        finally:
            session.plan = None
        answer, spent = run.answer(parts), _spent(session)
        if left := answer.removeprefix("".join(run.heard).rstrip()):
            emit(Text(left))
        emit(
            Answered(
                text=answer,
                labels=reduce(or_, (part.labels for part in parts), NONE),
                prompts=spent.prompts - before.prompts,
                model_calls=spent.model_calls - before.model_calls,
                tokens=spent.tokens - before.tokens,
            )
        )

    async def _known(self, session: SessionState, deadline: float) -> Sequence[RegisteredFunction]:
        """Return what the planner gets to know of, which is what the policies let the user know of."""
        if session.known is None:
            session.known = await self._mediator.probe(user_caller(session, deadline=deadline))
        return session.known


class _MakesPlans(Protocol):
    async def __call__(
        self, words: str, functions: Sequence[RegisteredFunction], refused: Collection[str] = ()
    ) -> Plan: ...


class _Run:
    """One wish while it is carried out."""

    def __init__(
        self,
        mediator: Mediator,
        registry: Registry,
        supervisor: Supervisor,
        session: SessionState,
        wish: str,
        deadline: float,
        emit: Emit,
    ) -> None:
        self._mediator = mediator
        self._registry = registry
        self._supervisor = supervisor
        self._session = session
        self._wish = wish
        self._caller = user_caller(session, deadline=deadline)
        self._emit = emit
        self.heard: list[str] = []

    async def carry_out(self, plan: Plan) -> list[_Part]:
        """Carry a plan out, part by part at the same time, and return what came of each."""
        self._emit(PlanMade(plan))
        self.heard.clear()
        self._session.plan = plan.functions | {f"{ASSISTANT}.{RESPOND}"}
        self._session.refused.clear()
        parts = [_Part(steps) for steps in plan.parts()] or [_Part(())]
        starting = [asyncio.create_task(self._start(app)) for app in {step.app for step in plan.steps}]
        try:
            async with asyncio.TaskGroup() as group:
                for part in parts:
                    group.create_task(self._carry_out_part(part, alone=len(parts) == 1))
        finally:
            for task in starting:
                task.cancel()
            await asyncio.gather(*starting, return_exceptions=True)
        return parts

    async def around(self, parts: list[_Part], offered: Sequence[RegisteredFunction], plan: _MakesPlans) -> list[_Part]:
        """Try once more, without what was refused, those parts in which something planned was; return all parts.

        What others did is not done again, and where no other way is found, what was said of the refusal stands.
        """
        stuck = [part for part in parts if part.refused]
        refused = {function for part in stuck for function in part.refused}
        tried = {function for part in stuck for function in part.functions}
        done = {function for part in parts if part not in stuck for function in part.functions}
        # What changes something may have been done before the refusal, and is not done twice.
        left = [f for f in offered if f.id not in done and (f.effect == "read" or f.id not in tried)]
        words = " ".join(dict.fromkeys(self._words_of(part, len(parts) == 1) for part in stuck))
        try:
            other = await plan(words, left, refused)
        except SpokegateError:
            return parts
        if other.functions <= tried:
            return parts
        instead = await self.carry_out(other)
        if all(part.answer is None for part in instead):
            return parts
        return [*(part for part in parts if part not in stuck), *instead]

    def answer(self, parts: Sequence[_Part]) -> str:
        """Return the answer that the parts come to.

        Raises:
            SpokegateError: None of them came to one.
        """
        if all(part.answer is None for part in parts):
            raise next(part.error for part in parts if part.error is not None)
        if len(parts) == 1:
            return parts[0].answer or ""
        said = (part.answer if part.answer is not None else _why(part) for part in parts)
        return "\n\n".join(f"{part.title}: {_set_in(text)}" for part, text in zip(parts, said, strict=True))

    async def _carry_out_part(self, part: _Part, *, alone: bool) -> None:
        for step in part.steps:
            self._emit(StepBegun(step.id))
        try:
            # Of several at once, pieces would come out mixed.
            delivered = await self._call(part, self._words_of(part, alone), self._hear if alone else None)
            part.answer, part.labels = _text_of(delivered), delivered.labels
        except SpokegateError as error:
            part.error = error
        refused = self._session.refused
        part.refused = frozenset(refused) & part.functions
        if isinstance(part.error, (Refused, FunctionNotFound)):
            part.refused |= {step.functions[0] for step in part.steps}
        for step in part.steps:
            of_step = [refused[name] for name in step.functions if name in refused]
            self._emit(StepEnded(step.id, part.error or next(iter(of_step), None)))

    async def _start(self, app: RegisteredApp) -> None:
        """Start a planned app's spoke ahead of the first call of it; nothing reaches it before that is decided on."""
        connects = SpokeConnects(self._mediator, self._session, app)
        with contextlib.suppress(SpokegateError):  # whoever calls it hears of it
            await self._supervisor.acquire(app, user=self._session.user, session=self._session.id, connects=connects)

    def _hear(self, piece: str) -> None:
        """Pass a piece of the answer on; no app says more ahead than it may say in the end."""
        if sum(map(len, self.heard)) + len(piece) <= MAX_TEXT_CHARACTERS:
            self.heard.append(piece)
            self._emit(Text(piece))

    async def _call(self, part: _Part, words: str, on_answer: Callable[[str], None] | None) -> Delivered:
        apps = {step.app for step in part.steps}
        entry = entry_of(part.steps[0].app) if len(apps) == 1 else None
        if entry is None:
            entry = self._registry.function(f"{ASSISTANT}.{RESPOND}")
        if entry is None:
            raise Unimplemented("Converse: no app `assistant` is installed, which answers where no other app does")
        arguments: dict[str, Any] = {"text": words}
        with_steps = {**arguments, "steps": [_told(step, entry) for step in part.steps]}
        # Whoever takes a plan need not ask the model for what the user's words settle.
        if part.steps and entry.arguments_validator.is_valid(with_steps):
            arguments = with_steps
        return await self._mediator.mediate(
            self._caller, "invoke", entry.id, json.dumps(arguments), on_answer=on_answer
        )

    def _words_of(self, part: _Part, alone: bool) -> str:
        """Return the words that a part is told: all of them where it is the only one, else those that are for it."""
        if alone:
            return self._wish
        return " ".join(dict.fromkeys(step.task for step in part.steps))


def _spent(session: SessionState) -> _Spent:
    calls = sum(count for resource, count in session.calls_by_function.items() if resource.startswith("model/"))
    return _Spent(session.prompts, calls, session.spending.of_session)


def _check(wish: str) -> None:
    if not wish.strip():
        raise RequestInvalid("text: is empty: say what you want")
    if len(wish) > MAX_TEXT_CHARACTERS:
        raise RequestInvalid(f"text: more than {MAX_TEXT_CHARACTERS} characters: say it in fewer")


def _told(step: Step, entry: RegisteredFunction) -> dict[str, Any]:
    """Return what whoever carries it out is told of a step."""
    functions = [function for function in step.functions if function != entry.id]
    told: dict[str, Any] = {"id": step.id, "app": step.app.name, "task": step.task, "functions": functions}
    if step.needs:
        told["needs"] = list(step.needs)
    if step.call is not None:
        told["call"] = {"function": step.call.function, "arguments": step.call.arguments}
    return told


def _text_of(delivered: Delivered) -> str:
    """Return what an app answered in words."""
    result = json.loads(delivered.result_json)
    text = result.get("text") if isinstance(result, dict) else None
    return text if isinstance(text, str) else delivered.result_json


def _set_in(text: str) -> str:
    """Return an answer with its further lines set in: what begins a line is the hub's word for whose answer it is."""
    first, *further = text.splitlines() or [""]
    return "\n".join([first, *(f"  {line}" if line else "" for line in further)])


def _why(part: _Part) -> str:
    """Return why a part has no answer, in the hub's words."""
    if part.error is None:
        return ""
    where = f" ({part.error.decision_id})" if part.error.decision_id else ""
    return f"{public_message(part.error)}{where}"
