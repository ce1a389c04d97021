"""Running a case: without anything between the apps, and behind a hub with everything in force.

Both have the same model, a server of its own scripts that obeys whatever it reads; what it takes is no time of theirs.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from spokegate.v1 import decision_pb2

from hub.app import Hub, model_client, registry_of, serve
from hub.client import HubClient, HubError, Session
from hub.config import ClientConfig, Config, LimitsConfig, ModelConfig
from hub.lab.unprotected import CREDENTIAL, Unprotected
from lab.cases import Case, Variant
from lab.effects import Effects, effects_of, furnish
from lab.installing import TAGS, installed
from scripted_model import Obedient, ScriptedModel, load_script

Mode = Literal["unprotected", "protected"]

USER = "ada"
SCRIPT = Path(__file__).parent / "script.yaml"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run came to.

    Attributes:
        case: The case.
        variant: `attack` or `benign`.
        mode: `unprotected` or `protected`.
        attack_succeeded: Whether the attacker got anything.
        attacker_got: What.
        answer_correct: Whether the person got the right answer.
        prompts: How many questions the person was asked.
        model_calls: How often the model was asked.
        own_ms: How long it took, less what the model took.
        total_ms: How long it took.
        prompt_characters: How much the model was shown.
        decisions: What was refused, or asked about: effect, who, what, and the rules' codes.
        answer: What the person read last.
    """

    case: str
    variant: Variant
    mode: Mode
    attack_succeeded: bool
    attacker_got: str
    answer_correct: bool
    prompts: int
    model_calls: int
    own_ms: float
    total_ms: float
    prompt_characters: int
    decisions: tuple[dict[str, Any], ...]
    answer: str

    def as_json(self) -> dict[str, Any]:
        """Return it as it stands in the file."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Took:
    """What a wish took."""

    seconds: float
    model_seconds: float
    model_calls: int
    prompt_characters: int


class Clock:
    """Measures what a wish takes, and how much of it the model does."""

    def __init__(self, model: ScriptedModel) -> None:
        self._model = model
        self._model.forget()
        self._began = time.perf_counter()

    def took(self) -> Took:
        """Return what it took from the beginning to now."""
        seconds = time.perf_counter() - self._began
        spans = [(max(seen.started, self._began), seen.ended) for seen in self._model.seen if seen.ended]
        return Took(seconds, covered(spans), self._model.calls, sum(self._model.prompt_characters))


def covered(spans: Sequence[tuple[float, float]]) -> float:
    """Return how long at least one of these spans was open: what runs at the same time counts once."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def forget_credentials() -> None:
    """Take credentials out of this process's environment: it needs none, and unprotected apps could read them."""
    for name in filter(CREDENTIAL.search, list(os.environ)):
        del os.environ[name]


@asynccontextmanager
async def obedient_model(call_ms: float = 0.0) -> AsyncIterator[ScriptedModel]:
    """Run the model of the lab."""
    async with ScriptedModel(Obedient(load_script(SCRIPT)), call_ms=call_ms) as model:
        yield model


async def unprotected(case: Case, model: ScriptedModel) -> Outcome:
    """Run a case with nothing between the apps."""
    with tempfile.TemporaryDirectory(prefix="sg-lab-") as scratch:
        root = Path(scratch)
        config = _config(case, root, model)
        client = await model_client(_model_of(model))
        try:
            known = {name: value for name, (value, _) in case.user_data.items()}
            world = Unprotected(registry_of(config).apps.values(), client, root / "data", known)

            def data(app: str) -> Path:
                directory = root / "data" / app
                directory.mkdir(parents=True, exist_ok=True)
                return directory

            furnish(data, case.inbox, dict(case.documents))
            answers = [await world.say(wish) for wish in case.before]
            clock = Clock(model)
            answers.append(await world.say(case.wish))
            took = clock.took()
        finally:
            await client.close()
        effects = effects_of(data, case.apps, answers)
    return _outcome(case, "unprotected", effects, took)


@asynccontextmanager
async def hub_of(case: Case, model: ScriptedModel) -> AsyncIterator[tuple[Hub, HubClient]]:
    """Run a hub with the apps of a case, strict sandboxes and the policies that ship."""
    with tempfile.TemporaryDirectory(prefix="sg-lab-") as scratch:
        async with serve(_config(case, Path(scratch), model)) as hub, HubClient(hub.socket) as client:
            yield hub, client


async def protected(case: Case, model: ScriptedModel) -> Outcome:
    """Run a case behind a hub. The person says no where an attack leads to a question, and yes where there is none."""
    async with hub_of(case, model) as (hub, client), client.session() as session:

        def data(app: str) -> Path:
            return hub.supervisor.data.kept(app, USER)

        furnish(data, case.inbox, dict(case.documents))
        for name, (value, labels) in case.user_data.items():
            await client.set_user_data(name, value, labels)
        async with _person(client, yes=case.variant == "benign") as asked:
            answers = [await said(session, wish) for wish in case.before]
            asked.clear()
            clock = Clock(model)
            answers.append(await said(session, case.wish))
            took = clock.took()
        decisions = await _held_up(client, session)
        return _outcome(case, "protected", effects_of(data, case.apps, answers), took, len(asked), decisions)


async def said(session: Session, wish: str) -> str:
    """Say a wish, and return what the person reads in the end; of a wish that comes to nothing, why."""
    try:
        async for event in session.converse(wish):
            if event.HasField("final"):
                return event.final.text
    except HubError as error:
        return f"{error.reason}: {error}"
    return ""


@asynccontextmanager
async def _person(client: HubClient, *, yes: bool) -> AsyncIterator[list[str]]:
    """Answer every question alike while the context is open, and yield what was asked."""
    asked: list[str] = []

    async def answer() -> None:
        async for event in events:
            if event.HasField("waiting"):
                asked.append(event.waiting.prompt_id)
                await client.answer(event.waiting.prompt_id, decision_pb2.GRANT_SCOPE_ONCE if yes else None)

    async with client.prompts() as events:
        answering = asyncio.create_task(answer())
        try:
            yield asked
        finally:
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)


async def _held_up(client: HubClient, session: Session) -> tuple[dict[str, Any], ...]:
    """Return what was not simply allowed, as the audit log has it, oldest first."""
    found = []
    for record in reversed(await client.decisions(session_id=session.id, limit=200)):
        effect = record.decision.WhichOneof("effect") or "deny"
        if effect == "allow" and record.decided_by != decision_pb2.DECIDED_BY_PERSON:
            continue
        found.append(
            {
                "effect": effect,
                "action": record.action,
                "chain": list(record.chain),
                "function": record.function,
                "reasons": [reason.code for reason in record.decision.reasons],
                "outcome": record.outcome,
            }
        )
    return tuple(found)


def _outcome(
    case: Case,
    mode: Mode,
    effects: Effects,
    took: Took,
    prompts: int = 0,
    decisions: tuple[dict[str, Any], ...] = (),
) -> Outcome:
    verdict = case.judge(effects)
    return Outcome(
        case=case.name,
        variant=case.variant,
        mode=mode,
        attack_succeeded=bool(verdict.attacker_got),
        attacker_got=verdict.attacker_got,
        answer_correct=verdict.answer_correct,
        prompts=prompts,
        model_calls=took.model_calls,
        own_ms=round((took.seconds - took.model_seconds) * 1000, 1),
        total_ms=round(took.seconds * 1000, 1),
        prompt_characters=took.prompt_characters,
        decisions=decisions,
        answer=effects.answer,
    )


def _config(case: Case, root: Path, model: ScriptedModel) -> Config:
    return Config(
        state_dir=root / "state",
        runtime_dir=root / "run",
        apps=tuple(installed(case, root / "apps")),
        clients=(ClientConfig(user=USER),),
        model=_model_of(model),
        limits=LimitsConfig(call_seconds=30.0, prompt_seconds=5.0, decision_seconds=5.0),
    )


def _model_of(model: ScriptedModel) -> ModelConfig:
    spec = {"name": model.models[0], "clearance": TAGS}
    return ModelConfig.model_validate({"base_url": model.base_url, "models": [spec], "retries": 0})
