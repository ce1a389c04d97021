"""What a wish costs: the case studies' benign queries, beside the same apps and the same model unprotected.

The hub is a process of its own; client and scripted model share another. The model's time is taken off, calls of it
that overlap count once, so what is left is ours: planner, decisions, log, memory, sandboxes, gRPC. Cold is a session's
first wish, whose spokes have to be started; warm is any after it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from hub.client import HubClient, Session
from lab import runs
from lab.cases import CASES, FARES, FLIGHT, MAIL, SYMPTOMS, Case, furnish
from scripted_model import Obedient, ScriptedModel, load_script
from tests.bench import subjects
from tests.bench.figures import Figure, median

COLD = 5
WARM = 10
SLOW_CALL_MS = 500.0
QUERIES = 10
USER = "user"

_QUERIES = {
    "two apps": ("1 prices, by description", FARES),
    "a tool": ("2 stealing", MAIL),
    "an agent": ("3 exposure", FLIGHT),
    "an annotation": ("4 alteration", SYMPTOMS),
}
# What the ancestor took, measured on two cores: own milliseconds warm and cold, end to end over unprotected at 0.5 s.
_ANCESTOR = {
    "two apps": (756, 1071, 3.63),
    "a tool": (232, 716, 1.62),
    "an agent": (219, 346, 1.92),
    "an annotation": (101, 265, 1.52),
}


@dataclass(slots=True)
class Wish:
    """What one query took."""

    cold_ms: list[float] = field(default_factory=list)
    warm_ms: list[float] = field(default_factory=list)
    model_calls: int = 0
    prompts: int = 0
    slow_seconds: float = 0.0
    unprotected_calls: int = 0
    unprotected_slow_seconds: float = 0.0


async def run(directory: Path) -> list[Figure]:
    """Take every measurement of wishes, and return the figures."""
    case_of = {case.name: case for case in CASES}
    found: dict[str, Wish] = {}
    async with AsyncExitStack() as stack:
        model = await stack.enter_async_context(ScriptedModel(Obedient(load_script(runs.SCRIPT))))
        pid = await stack.enter_async_context(
            subjects.hub_of(_written(directory, case_of[_QUERIES["a tool"][0]], model))
        )
        client = await stack.enter_async_context(HubClient(directory / "run" / f"{USER}.sock"))
        for name, (_, text) in _QUERIES.items():
            found[name] = await _measured(client, model, text)
        private = await _private(client, pid)
        growth = await _growth(client, model)
    for name, (of_case, _) in _QUERIES.items():
        await _compared(found[name], case_of[of_case])
    return [*(figure for name, wish in found.items() for figure in _figures(name, wish)), private, growth]


async def _measured(client: HubClient, model: ScriptedModel, text: str) -> Wish:
    wish = Wish()
    for _ in range(COLD):
        async with client.session() as session:
            wish.cold_ms.append(await _own_ms(session, model, text, wish))
    async with client.session() as session:
        await _own_ms(session, model, text, wish)
        for _ in range(WARM):
            wish.warm_ms.append(await _own_ms(session, model, text, wish))
        model.call_ms = SLOW_CALL_MS
        wish.slow_seconds = await _seconds(session, text)
        model.call_ms = 0.0
    return wish


async def _own_ms(session: Session, model: ScriptedModel, text: str, wish: Wish) -> float:
    model.forget()
    began = time.perf_counter()
    async for event in session.converse(text):
        if event.WhichOneof("event") == "final":
            wish.model_calls, wish.prompts = event.final.model_calls, event.final.prompts
    return runs.own_ms(time.perf_counter() - began, model.seen)


async def _seconds(session: Session, text: str) -> float:
    began = time.perf_counter()
    async for _ in session.converse(text):
        pass
    return time.perf_counter() - began


async def _compared(wish: Wish, case: Case) -> None:
    """Take the same of the last wish of a case, unprotected."""
    only = Case(case.name, case.title, case.wishes[-1:], case.succeeded, case.correct, case.got)
    began = await runs.unprotected(only, "benign", call_ms=SLOW_CALL_MS)
    wish.unprotected_calls = began.model_calls
    wish.unprotected_slow_seconds = began.seconds


async def _private(client: HubClient, pid: int) -> Figure:
    """Read what the hub and the spokes of one wish share with nobody, while the spokes are there."""
    async with client.session() as session:
        await _seconds(session, FLIGHT)
        await _seconds(session, SYMPTOMS)
        total = sum(subjects.memory_of(member).private for member in _family(pid) if not _is_opa(member))
    return Figure("hub, its zygote and two spokes, private (ancestor: 230)", total, "MiB", aim="≤ 160 MiB")


async def _growth(client: HubClient, model: ScriptedModel) -> Figure:
    """Ask the same in one session again and again; return what all prompts of the last took, beside the first."""
    sizes = []
    async with client.session() as session:
        for _ in range(QUERIES):
            model.forget()
            await _seconds(session, FARES)
            sizes.append(float(sum(model.prompt_characters)))
    name = f"prompts of query {QUERIES} in a session; baseline: of the first (ancestor: 82,000; 12,700)"
    return Figure(name, sizes[-1], "characters", sizes[0], aim="bounded")


def _figures(name: str, wish: Wish) -> list[Figure]:
    warm, cold, slow = _ANCESTOR[name]
    most = 1.08 if name in ("an agent", "an annotation") else 1.25
    return [
        Figure(f"wish for {name}, own time, warm (ancestor: {warm})", median(wish.warm_ms), "ms", aim="≤ 60 ms"),
        Figure(f"wish for {name}, own time, cold (ancestor: {cold})", median(wish.cold_ms), "ms", aim="≤ 250 ms"),
        Figure(f"wish for {name}, model calls", wish.model_calls, "", wish.unprotected_calls, aim="+1"),
        Figure(f"wish for {name}, prompts", wish.prompts, "", aim="0"),
        Figure(
            f"wish for {name}, end to end at 0.5 s a model call (ancestor: {slow})",
            wish.slow_seconds,
            "s",
            wish.unprotected_slow_seconds,
            aim=f"ratio ≤ {most}",
        ),
    ]


def _written(directory: Path, case: Case, model: ScriptedModel) -> Path:
    """Write a configuration with the apps that ship, and put an e-mail into the inbox; return where."""
    config = runs.config_of(directory, runs.apps_of(directory, case, "benign"), model, [USER])
    policies = (*config.policies, subjects.unhurried(directory))
    path = directory / "spokegate.yaml"
    path.write_text(config.model_copy(update={"policies": policies}).model_dump_json(exclude_none=True))

    def data(app: str) -> Path:
        kept = directory / "state" / "data" / f"{app}@{USER}"
        kept.mkdir(mode=0o700, parents=True, exist_ok=True)
        return kept

    furnish(data, case, "benign")
    return path


def _family(pid: int) -> Sequence[int]:
    """Return a process and all that it started, in whichever generation."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    found = [pid]
    for member in found:
        found += [child for child, parent in parents.items() if parent == member]
    return found


def _is_opa(pid: int) -> bool:
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "opa"  # noqa: PTH115, PTH119 - of another's /proc
    except OSError:
        return False
