"""What a wish costs behind the hub, beside the same apps and model without it: SecGPT's case studies without an attack.

The hub is a process of its own with all of its apps installed; the model plays a script in this process and takes what
it is told to take. A wish is cold in a new session, whose spokes do not run yet, and warm when it is said again there.
The figures of SecGPT are of its own code with a stand-in for its model, on a machine of 2 cores like this one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from rich.table import Table

from hub.app import model_client, registry_of
from hub.client import HubClient, Session
from hub.config import Config
from hub.lab.unprotected import Unprotected
from hub.model.client import ModelClient
from lab.cases import APPOINTMENT, BOTH_FARES, FLIGHT, LUNCH, MILD_MUSE, NEWEST, SYMPTOMS
from lab.effects import furnish
from lab.runs import Clock, config_of, obedient_model
from scripted_model import ScriptedModel
from tests.bench import subjects
from tests.bench.figures import Figure, median

RUNS = 5
PACED_RUNS = 3
CALL_MS = 500.0
SAID_IN_A_ROW = 10

_WATCH_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class SecGPT:
    """What was measured on SecGPT: calls without and with it, prompts, own milliseconds, end to end over without."""

    calls: tuple[int, int]
    prompts: int
    warm_ms: float
    cold_ms: float
    ratio: float


@dataclass(frozen=True, slots=True)
class Wish:
    """One query of the case studies."""

    name: str
    text: str
    secgpt: SecGPT


WISHES = (
    Wish("1 fares, two apps", BOTH_FARES, SecGPT((7, 23), 4, 756, 1071, 3.63)),
    Wish("2 newest e-mail", NEWEST, SecGPT((4, 6), 1, 232, 716, 1.62)),
    Wish("3a appointment", APPOINTMENT, SecGPT((6, 10), 1, 210, 355, 1.76)),
    Wish("3b flight", FLIGHT, SecGPT((6, 10), 2, 219, 346, 1.92)),
    Wish("4 symptoms", SYMPTOMS, SecGPT((3, 4), 1, 101, 265, 1.52)),
)


@dataclass(slots=True)
class Measured:
    """What one wish cost."""

    wish: Wish
    calls: int
    bare_calls: int
    prompts: int
    warm_ms: float
    cold_ms: float
    bare_ms: float
    seconds: float
    bare_seconds: float

    @property
    def ratio(self) -> float:
        """End to end over the same without the hub."""
        return self.seconds / self.bare_seconds


@dataclass(frozen=True, slots=True)
class Grown:
    """Characters that the model was shown for the first and the last of many wishes, behind the hub and without."""

    first: int
    last: int
    bare_first: int
    bare_last: int


@dataclass(frozen=True, slots=True)
class Taken:
    """Most private memory at one time, in MiB: of the hub and two spokes with all that is around them, and of OPA."""

    hub_and_spokes: float
    opa: float


@dataclass(slots=True)
class Found:
    """All that was measured."""

    wishes: list[Measured]
    grown: Grown
    taken: Taken


async def run(directory: Path) -> Found:
    """Take every measurement of wishes."""
    async with obedient_model() as model:
        config = config_of({"creative_muse": MILD_MUSE}, directory, model, [subjects.USER])
        async with (
            subjects.hub(directory, _written(config, directory)) as pid,
            HubClient(directory / "run" / f"{subjects.USER}.sock") as client,
            Bare(config, directory / "bare") as bare,
        ):
            furnish(lambda app: _made(directory / "state" / "data" / f"{app}@{subjects.USER}"), (LUNCH,), {})
            wishes = [await _measured(wish, client, bare, model) for wish in WISHES]
            grown, taken = await _ten_in_a_row(client, bare, model, pid)
    return Found(wishes, grown, taken)


async def _measured(wish: Wish, client: HubClient, bare: Bare, model: ScriptedModel) -> Measured:
    cold: list[float] = []
    warm: list[float] = []
    without: list[float] = []
    calls = bare_calls = prompts = 0
    for _ in range(RUNS):
        async with client.session() as session:
            for spent in (cold, warm):
                clock = Clock(model)
                asked, _ = await _say(session, wish.text)
                took = clock.took()
                spent.append((took.seconds - took.model_seconds) * 1000)
                calls, prompts = max(calls, took.model_calls), max(prompts, asked)
        world = await bare.world()
        clock = Clock(model)
        await world.say(wish.text)
        took = clock.took()
        without.append((took.seconds - took.model_seconds) * 1000)
        bare_calls = max(bare_calls, took.model_calls)
    paced: list[float] = []
    bare_paced: list[float] = []
    async with client.session() as session:
        await _say(session, wish.text)
        model.call_ms = CALL_MS
        for _ in range(PACED_RUNS):
            clock = Clock(model)
            await _say(session, wish.text)
            paced.append(clock.took().seconds)
            world = await bare.world()
            clock = Clock(model)
            await world.say(wish.text)
            bare_paced.append(clock.took().seconds)
        model.call_ms = 0.0
    return Measured(
        wish=wish,
        calls=calls,
        bare_calls=bare_calls,
        prompts=prompts,
        warm_ms=median(warm),
        cold_ms=median(cold),
        bare_ms=median(without),
        seconds=median(paced),
        bare_seconds=median(bare_paced),
    )


async def _ten_in_a_row(client: HubClient, bare: Bare, model: ScriptedModel, pid: int) -> tuple[Grown, Taken]:
    """Say the same ten times in one session, and look at what the model is shown and at the memory that it takes."""
    shown, bare_shown = [], []
    async with client.session() as session, _watched(pid) as most:
        for _ in range(SAID_IN_A_ROW):
            clock = Clock(model)
            await _say(session, NEWEST)
            shown.append(clock.took().prompt_characters)
    world = await bare.world()
    for _ in range(SAID_IN_A_ROW):
        clock = Clock(model)
        await world.say(NEWEST)
        bare_shown.append(clock.took().prompt_characters)
    taken = Taken(max(rest for rest, _ in most), max(opa for _, opa in most))
    return Grown(shown[0], shown[-1], bare_shown[0], bare_shown[-1]), taken


async def _say(session: Session, text: str) -> tuple[int, str]:
    """Say a wish, and return how many prompts it took and the answer; nobody is there to answer them."""
    final = None
    async for event in session.converse(text):
        if event.HasField("final"):
            final = event.final
    if final is None:
        raise RuntimeError(f"no answer to {text!r}")
    return final.prompts, final.text


class Bare:
    """The same apps and model without a hub: a new conversation whenever one is wanted. Use as `async with`.

    Args:
        config: The apps and the model.
        directory: Where the apps keep their data.
    """

    def __init__(self, config: Config, directory: Path) -> None:
        self._config = config
        self._directory = directory
        self._apps = list(registry_of(config).apps.values())
        self._clients: list[ModelClient] = []

    async def __aenter__(self) -> Self:
        furnish(lambda app: _made(self._directory / app), (LUNCH,), {})
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for client in self._clients:
            await client.close()

    async def world(self) -> Unprotected:
        """Return a new conversation."""
        if self._config.model is None:
            raise ValueError("the configuration has no model")
        self._clients.append(await model_client(self._config.model))
        return Unprotected(self._apps, self._clients[-1], self._directory)


@asynccontextmanager
async def _watched(pid: int) -> AsyncIterator[list[tuple[float, float]]]:
    """Read the private memory of a hub and all below it again and again while the context is open: all but OPA, OPA."""
    found: list[tuple[float, float]] = []

    async def watch() -> None:
        while True:
            found.append(_private_of(pid))
            await asyncio.sleep(_WATCH_SECONDS)

    task = asyncio.create_task(watch())
    try:
        yield found
        found.append(_private_of(pid))
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _private_of(pid: int) -> tuple[float, float]:
    opa = rest = 0.0
    for one in [pid, *_below(pid)]:
        try:
            private = subjects.memory_of(one).private
            name = Path(f"/proc/{one}/comm").read_text().strip()
        except (OSError, KeyError):
            continue  # it has just ended
        if name == "opa":
            opa += private
        else:
            rest += private
    return rest, opa


def _below(pid: int) -> list[int]:
    """Return all processes below one."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, due = [], [pid]
    while due:
        below = children.get(due.pop(), [])
        found += below
        due += below
    return found


def _written(config: Config, directory: Path) -> Path:
    path = directory / "spokegate.yaml"
    path.write_text(config.model_dump_json(exclude_none=True))
    return path


def _made(directory: Path) -> Path:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory


def figures(found: Found) -> list[Figure]:
    """Return what was found as figures for the file."""
    listed = []
    for one in found.wishes:
        name = f"wish {one.wish.name}"
        listed += [
            Figure(f"{name}: model calls", one.calls, "calls", one.bare_calls),
            Figure(f"{name}: prompts", one.prompts, "prompts"),
            Figure(f"{name}: own time warm", one.warm_ms, "ms", one.bare_ms),
            Figure(f"{name}: own time cold", one.cold_ms, "ms", one.bare_ms),
            Figure(f"{name}: end to end at {CALL_MS:.0f} ms a call", one.seconds, "s", one.bare_seconds),
        ]
    return [
        *listed,
        Figure("private memory, hub and two spokes", found.taken.hub_and_spokes, "MiB"),
        Figure("private memory, OPA", found.taken.opa, "MiB"),
        Figure(f"prompt characters of wish {SAID_IN_A_ROW} beside the first", found.grown.last, "", found.grown.first),
    ]


def table(found: Found) -> Table:
    """Return what was found beside SecGPT's figures, as a table for a terminal."""
    grown, taken = found.grown, found.taken
    caption = (
        f"In each cell: here, and behind it SecGPT's. Medians of {RUNS} runs, end to end of {PACED_RUNS}; own time is "
        f"what the model does not take. Of {SAID_IN_A_ROW} wishes in one session the first shows the model "
        f"{grown.first:,} characters and the last {grown.last:,} (without the hub {grown.bare_first:,} and "
        f"{grown.bare_last:,}; SecGPT 37,800 and 82,000). Most private memory of the hub and two spokes: "
        f"{taken.hub_and_spokes:.0f} MiB (aim ≤ 160, SecGPT 230), and of OPA {taken.opa:.0f} MiB."
    )
    shown = Table(title="What a wish costs", caption=caption, caption_justify="left", title_justify="left")
    shown.add_column("wish")
    for heading in ("model calls", "prompts", "own ms, warm", "own ms, cold", "end to end ÷ without, 0.5 s a call"):
        shown.add_column(heading, justify="right")
    shown.add_row("aim", "≤ +1", "0", "≤ 60", "≤ 250", "≤ 1.25; one app ≤ 1.08", style="dim", end_section=True)
    for one in found.wishes:
        theirs = one.wish.secgpt
        shown.add_row(
            one.wish.name,
            f"{one.calls} for {one.bare_calls}  [dim]{theirs.calls[1]} for {theirs.calls[0]}[/]",
            f"{one.prompts}  [dim]{theirs.prompts}[/]",
            f"{one.warm_ms:.0f}  [dim]{theirs.warm_ms:.0f}[/]",
            f"{one.cold_ms:.0f}  [dim]{theirs.cold_ms:,.0f}[/]",
            f"{one.ratio:.2f}  [dim]{theirs.ratio:.2f}[/]",
        )
    return shown
