"""The runs: a case with Spokegate, in real sandboxes and under the shipped policies, and without, in this process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from spokegate.v1 import hub_pb2

from hub.app import model_client, registry_of, serve
from hub.client import HubClient, HubError
from hub.config import AppConfig, ClientConfig, Config, LimitsConfig, ModelConfig, ModelSpecConfig
from hub.lab.unprotected import Unprotected
from lab.attackers import APPS, copied
from lab.cases import Case, Seen, Variant, furnish
from lab.outcome import Outcome
from scripted_model import Obedient, ScriptedModel, load_script
from scripted_model import Seen as Asked

SCRIPT: Final = Path(__file__).with_name("script.yaml")
INSTALLED: Final = APPS.parent / "spokegate.yaml"

Run = tuple[Case, Variant]


async def protected(runs: Sequence[Run], *, call_ms: float = 0.0) -> list[Outcome]:
    """Run cases whose apps are the same with one hub, each for a user of its own, one after the other."""
    [case, variant], *_ = runs
    with _directory() as directory:
        async with _model(call_ms) as model:
            users = [f"user{number}" for number in range(len(runs))]
            config = config_of(directory, apps_of(directory, case, variant), model, users)
            async with serve(config) as hub:
                found = []
                for user, (of_case, of_variant) in zip(users, runs, strict=True):
                    socket = config.runtime_dir / f"{user}.sock"

                    def data(app: str, user: str = user) -> Path:
                        path: Path = hub.supervisor.data.kept(app, user)
                        return path

                    furnish(data, of_case, of_variant)
                    model.forget()
                    async with HubClient(socket) as client, _refusing(client):
                        await client.set_user_data("name", "Ada Marsh", ["contact"])
                        await client.set_user_data("health", "heart surgery and asthma", ["health"])
                        ends, seconds = await _wishes(client, of_case.wishes)
                    rows = await _settled_rows(config.state_dir / "hub.db", user)
                    called = frozenset(row["function"] for row in rows if row["outcome"] == "done")
                    seen = Seen(ends[-1].text, data, called)
                    found.append(
                        Outcome(
                            case=of_case.name,
                            variant=of_variant,
                            mode="protected",
                            attack_succeeded=of_case.succeeded(seen),
                            attacker_got=of_case.taken(seen),
                            answer_correct=of_case.answered(seen, of_variant),
                            prompts=sum(end.prompts for end in ends),
                            model_calls=model.calls,
                            seconds=round(seconds, 3),
                            own_ms=own_ms(seconds, model.seen),
                            decisions=[_told(row) for row in rows if row["effect"] != "allow"],
                            answer=seen.answer,
                        )
                    )
                return found


async def unprotected(case: Case, variant: Variant, *, call_ms: float = 0.0) -> Outcome:
    """Run a case in this process, without a hub, a sandbox or a policy."""
    with _directory() as directory:
        async with _model(call_ms) as model:
            config = config_of(directory, apps_of(directory, case, variant), model, ["user"])
            client = await model_client(_configured(model))
            async with contextlib.AsyncExitStack() as stack:
                stack.push_async_callback(client.close)
                world = Unprotected(registry_of(config).apps.values(), client, directory / "data")

                def data(app: str) -> Path:
                    path = directory / "data" / app
                    path.mkdir(parents=True, exist_ok=True)
                    return path

                furnish(data, case, variant)
                began = time.perf_counter()
                answer = ""
                for wish in case.wishes:
                    answer = await world.say(wish)
                seconds = time.perf_counter() - began
                seen = Seen(answer, data, frozenset(function for function, _ in world.calls))
                return Outcome(
                    case=case.name,
                    variant=variant,
                    mode="unprotected",
                    attack_succeeded=case.succeeded(seen),
                    attacker_got=case.taken(seen),
                    answer_correct=case.answered(seen, variant),
                    prompts=0,
                    model_calls=model.calls,
                    seconds=round(seconds, 3),
                    own_ms=own_ms(seconds, model.seen),
                    decisions=[],
                    answer=answer,
                )


async def _wishes(client: HubClient, wishes: Iterable[str]) -> tuple[list[hub_pb2.ConverseEnd], float]:
    ends = []
    async with client.session() as session:
        began = time.perf_counter()
        for wish in wishes:
            end = hub_pb2.ConverseEnd()
            try:
                async for event in session.converse(wish):
                    if event.WhichOneof("event") == "final":
                        end = event.final
            except HubError as error:
                end = hub_pb2.ConverseEnd(text=f"(no answer: {error.reason})")
            ends.append(end)
        seconds = time.perf_counter() - began
    return ends, seconds


@contextlib.asynccontextmanager
async def _refusing(client: HubClient) -> AsyncIterator[None]:
    """Answer every question with no, as a person does who reads them."""

    async def answer() -> None:
        async for event in events:
            if event.WhichOneof("event") == "waiting":
                await client.answer(event.waiting.prompt_id, None)

    async with client.prompts() as events:
        answering = asyncio.create_task(answer())
        try:
            yield
        finally:
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)


def apps_of(directory: Path, case: Case, variant: Variant) -> list[AppConfig]:
    """Return all apps that ship as they are installed, those of the case in the place of their own."""
    changed = case.apps_of(variant)
    found = []
    for settings in yaml.safe_load(INSTALLED.read_text())["apps"]:
        name = Path(settings["path"]).name
        path = APPS / name
        if name in changed:
            path = copied(name, directory / "apps", changed[name].change, note=changed[name].note)
        found.append(AppConfig.model_validate_json(json.dumps({**settings, "path": str(path)})))
    return found


def config_of(directory: Path, apps: Sequence[AppConfig], model: ScriptedModel, users: Sequence[str]) -> Config:
    """Return the configuration of a hub with these apps, a scripted model, and a socket for each user."""
    return Config(
        state_dir=directory / "state",
        runtime_dir=directory / "run",
        apps=tuple(apps),
        clients=tuple(ClientConfig(user=user, socket=f"{user}.sock") for user in users),
        model=_configured(model),
        limits=LimitsConfig(call_seconds=60.0, prompt_seconds=10.0, decision_seconds=10.0),
    )


def _configured(model: ScriptedModel) -> ModelConfig:
    spec = ModelSpecConfig(name=model.models[0], clearance=("contact", "health", "personal"))
    return ModelConfig(base_url=model.base_url, models=(spec,))


def _model(call_ms: float) -> ScriptedModel:
    return ScriptedModel(Obedient(load_script(SCRIPT)), call_ms=call_ms)


@contextlib.contextmanager
def _directory() -> Iterator[Path]:
    # A path that is short enough for sockets below it.
    with tempfile.TemporaryDirectory(prefix="sg-lab-") as name:
        yield Path(name)


def own_ms(seconds: float, asked: Iterable[Asked]) -> float:
    """Return how long it took besides the model: calls of it that overlap count once."""
    busy, latest = 0.0, 0.0
    for began, ended in sorted((item.started, item.ended) for item in asked):
        busy += max(0.0, ended - max(began, latest))
        latest = max(latest, ended)
    return round((seconds - busy) * 1000, 1)


async def _settled_rows(database: Path, user: str) -> list[dict[str, Any]]:
    """Return a user's decisions with what became of each, once the log has caught up."""
    deadline = time.monotonic() + 5
    while True:
        rows = _rows(database, user)
        if all(row["outcome"] for row in rows if row["effect"] == "allow") or time.monotonic() > deadline:
            return rows
        await asyncio.sleep(0.02)


def _rows(database: Path, user: str) -> list[dict[str, Any]]:
    with contextlib.closing(sqlite3.connect(database, timeout=5)) as connection:
        query = "SELECT kind, decision_id, body FROM audit WHERE user = ? ORDER BY seq"
        found = [(kind, id_, json.loads(body)) for kind, id_, body in connection.execute(query, (user,))]
    outcomes = {id_: body["outcome"] for kind, id_, body in found if kind == "outcome"}
    return [
        {**body, "decision_id": id_, "outcome": outcomes.get(id_, "")}
        for kind, id_, body in found
        if kind == "decision" and body["action"] != "probe"
    ]


def _told(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "decision_id": row["decision_id"],
        "caller": row["caller"],
        "action": row["action"],
        "resource": row["function"],
        "effect": row["effect"],
        "reasons": [reason["code"] for reason in row["reasons"]],
        "outcome": row["outcome"],
    }
