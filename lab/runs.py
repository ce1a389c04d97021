"""Running a case: without anything between the apps, and behind a hub with everything in force.

Both have the same model, a server of its own scripts that obeys whatever it reads; what it takes is no time of theirs.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from spokegate.v1 import decision_pb2

from hub.app import Hub, model_client, registry_of, serve
from hub.client import HubClient, HubError, Session
from hub.config import ClientConfig, Config, LimitsConfig, ModelConfig, ModelSpecConfig
from hub.lab.unprotected import Unprotected
from lab.cases import DOCUMENTS, Case, Evil, Variant
from lab.effects import Effects, effects_of, furnish
from lab.installing import installed
from scripted_model import Obedient, ScriptedModel, load_script

Mode = Literal["unprotected", "protected"]

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
        held_by: What holds an attack where no decision has to.
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
    held_by: str
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


@asynccontextmanager
async def obedient_model(call_ms: float = 0.0) -> AsyncIterator[ScriptedModel]:
    """Run the model of the lab."""
    async with ScriptedModel(Obedient(load_script(SCRIPT)), call_ms=call_ms) as model:
        yield model


async def unprotected(case: Case, model: ScriptedModel) -> Outcome:
    """Run a case with nothing between the apps."""
    with _scratch() as root:
        config = config_of(case.changed, root, model)
        client = await model_client(_model_of(model))
        try:
            known = {name: value for name, (value, _) in case.user_data.items()}
            world = Unprotected(registry_of(config).apps.values(), client, root / "data", known)

            def data(app: str) -> Path:
                directory = root / "data" / app
                directory.mkdir(parents=True, exist_ok=True)
                return directory

            furnish(data, case.inbox, DOCUMENTS)
            answers = [await world.say(wish) for wish in case.before]
            clock = Clock(model)
            answers.append(await world.say(case.wish))
            took = clock.took()
        finally:
            await client.close()
        return _outcome(case, "unprotected", effects_of(data, answers), took)


async def protected(cases: Sequence[Case], model: ScriptedModel, *, always_yes: bool = False) -> list[Outcome]:
    """Run cases with the same apps behind one hub: strict sandboxes, the policies that ship, a user for each case.

    Args:
        cases: The cases.
        model: The model.
        always_yes: Whether the person says yes to every question; else no where there is an attack, and yes elsewhere.
    """
    users = [f"ada{number}" for number in range(len(cases))]
    with _scratch() as root:
        config = config_of(cases[0].changed, root, model, users)
        async with serve(config) as hub:
            return [
                await _protected(
                    case,
                    model,
                    hub,
                    config.runtime_dir / client.socket,
                    client.user,
                    yes=always_yes or case.variant == "benign",
                )
                for case, client in zip(cases, config.clients, strict=True)
            ]


async def _protected(case: Case, model: ScriptedModel, hub: Hub, socket: Path, user: str, *, yes: bool) -> Outcome:
    def data(app: str) -> Path:
        path: Path = hub.supervisor.data.kept(app, user)
        return path

    furnish(data, case.inbox, DOCUMENTS)
    async with HubClient(socket) as client, client.session() as session:
        for name, (value, labels) in case.user_data.items():
            await client.set_user_data(name, value, labels)
        async with _person(client, yes=yes) as asked:
            answers = [await said(session, wish) for wish in case.before]
            asked.clear()
            clock = Clock(model)
            answers.append(await said(session, case.wish))
            took = clock.took()
        decisions = await _held_up(client, session)
    return _outcome(case, "protected", effects_of(data, answers), took, len(asked), decisions)


def alike(cases: Sequence[Case]) -> list[list[Case]]:
    """Return cases in groups with the same apps."""
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(repr(sorted(case.changed.items())), []).append(case)
    return list(groups.values())


async def said(session: Session, wish: str) -> str:
    """Say a wish, and return what the person reads in the end; of a wish that comes to nothing, why."""
    answer = ""
    try:
        async for event in session.converse(wish):
            if event.HasField("final"):
                answer = event.final.text
    except HubError as error:
        return f"{error.reason}: {error}"
    return answer


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
        held_by=case.held_by if mode == "protected" and not decisions else "",
        answer=effects.answer,
    )


def config_of(changed: Mapping[str, Evil], root: Path, model: ScriptedModel, users: Sequence[str] = ("ada",)) -> Config:
    """Return the configuration of a hub with all apps, some of them changed, that lives below a directory."""
    return Config(
        state_dir=root / "state",
        runtime_dir=root / "run",
        apps=installed(changed, root / "apps"),
        clients=tuple(ClientConfig(user=user, socket=f"{user}.sock") for user in users),
        model=_model_of(model),
        limits=LimitsConfig(call_seconds=30.0, prompt_seconds=5.0, decision_seconds=5.0),
    )


def _model_of(model: ScriptedModel) -> ModelConfig:
    spec = ModelSpecConfig(name=model.models[0], clearance=("contact", "health", "personal"))
    return ModelConfig(base_url=model.base_url, models=(spec,), retries=0)


@contextmanager
def _scratch() -> Iterator[Path]:
    # A path that is short enough for sockets below it.
    with tempfile.TemporaryDirectory(prefix="sg-lab-") as name:
        yield Path(name)
