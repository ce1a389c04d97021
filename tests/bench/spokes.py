"""What spokes cost beside the same server without a sandbox: their starts, their calls, and being idle.

Every start is measured up to the answer of a first RPC, in turns with the same server in a new interpreter without a
sandbox. Memory is read from `smaps_rollup` of every process that a spoke needs: the fork, its holder and what
bubblewrap leaves around that. The zygote itself is counted once. Calls are made in turns, a few to each side.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from spokegate.v1 import spoke_pb2_grpc

from spoke_runner.sandbox import SandboxSpec, SpokeProcess, Zygote, launch, spoke_uid
from tests.bench import subjects
from tests.bench.figures import Figure, median
from tests.bench.measure import milliseconds, spoke_call

STARTS = 20
AT_ONCE = 20
IDLE = 200
IDLE_BATCH = 20
SETTLE_SECONDS = 2.0
CALLS = 3000
WARM_UP = 200

_BLOCK = 10


@dataclass(slots=True)
class Starts:
    """Seconds from nothing to the answer of a first RPC."""

    plain: list[float] = field(default_factory=list)
    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Calls:
    """Seconds of single calls, one at a time."""

    plain: list[float] = field(default_factory=list)
    spoke: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Idle:
    """What idle spokes take, in MiB: in sum, and each for itself alone."""

    pss: float
    private: float


def spec_of(directory: Path, name: str) -> SandboxSpec:
    """Return the spec of a spoke of the app, with directories of its own."""
    data, sockets = directory / "data" / name, directory / "run" / name
    for place in (data, sockets):
        place.mkdir(parents=True, exist_ok=True)
    return SandboxSpec(
        app=subjects.APP.name,
        app_dir=subjects.APP,
        data_dir=data,
        socket_dir=sockets,
        uid=spoke_uid(directory / "data", data),
    )


async def starts(zygote: Zygote, directory: Path, count: int) -> Starts:
    """Time starts in the three ways, in turns."""
    found = Starts()
    await (await zygote.launch(spec_of(directory, "first"), entry=subjects.ENTRY)).kill()
    for number in range(count):
        began = time.perf_counter()
        async with subjects.plain_spoke(directory / f"{number}.sock"):
            await first_answer(directory / f"{number}.sock")
            found.plain.append(time.perf_counter() - began)
        for way, seconds in ((launch, found.cold), (zygote.launch, found.warm)):
            spec = spec_of(directory, "one")
            began = time.perf_counter()
            spoke = await way(spec, entry=subjects.ENTRY)
            await first_answer(spoke.socket_path)
            seconds.append(time.perf_counter() - began)
            await spoke.kill()
    return found


async def calls(zygote: Zygote, directory: Path, count: int) -> Calls:
    """Time calls into a warm spoke and into the same server without a sandbox, in turns."""
    found = Calls()
    plain = directory / "calls.sock"
    spoke = await zygote.launch(spec_of(directory, "calls"), entry=subjects.ENTRY)
    try:
        async with (
            subjects.plain_spoke(plain),
            grpc.aio.insecure_channel(f"unix:{plain}") as plain_channel,
            grpc.aio.insecure_channel(f"unix:{spoke.socket_path}") as spoke_channel,
        ):
            sides: list[tuple[spoke_pb2_grpc.SpokeServiceAsyncStub, list[float]]] = [
                (spoke_pb2_grpc.SpokeServiceStub(plain_channel), found.plain),
                (spoke_pb2_grpc.SpokeServiceStub(spoke_channel), found.spoke),
            ]
            for first in range(-WARM_UP, count, _BLOCK):
                # Whoever comes second finds the caches warm, so it is the other's turn each time.
                sides.reverse()
                for stub, seconds in sides:
                    for number in range(first, first + _BLOCK):
                        began = time.perf_counter()
                        await spoke_call(stub, number)
                        if first >= 0:
                            seconds.append(time.perf_counter() - began)
    finally:
        await spoke.kill()
    return found


async def at_once(zygote: Zygote, directory: Path, count: int) -> float:
    """Return the seconds until all of many spokes that were asked for at once have answered."""
    specs = [spec_of(directory, f"at-once-{number}") for number in range(count)]

    async def one(spec: SandboxSpec) -> SpokeProcess:
        spoke = await zygote.launch(spec, entry=subjects.ENTRY)
        await first_answer(spoke.socket_path)
        return spoke

    began = time.perf_counter()
    spokes = await asyncio.gather(*(one(spec) for spec in specs))
    seconds = time.perf_counter() - began
    await asyncio.gather(*(spoke.kill() for spoke in spokes))
    return seconds


async def idle(zygote: Zygote, directory: Path, count: int) -> Idle:
    """Start many spokes, call each once, let them be idle, and read what they take."""
    spokes: list[SpokeProcess] = []
    try:
        for first in range(0, count, IDLE_BATCH):
            specs = [spec_of(directory, f"idle-{number}") for number in range(first, first + IDLE_BATCH)]
            spokes += await asyncio.gather(*(zygote.launch(spec, entry=subjects.ENTRY) for spec in specs))
        for spoke in spokes:
            await first_answer(spoke.socket_path)
        await asyncio.sleep(SETTLE_SECONDS)
        forks = [spoke.pid for spoke in spokes]
        around = processes_naming(directory)
        zygotes = list(zygote.pids)
        pss = sum(subjects.memory_of(pid).proportional for pid in (*forks, *around, *zygotes))
        private = sum(subjects.memory_of(pid).private for pid in (*forks, *around))
        return Idle(pss=pss, private=private / count)
    finally:
        await asyncio.gather(*(spoke.kill() for spoke in spokes))


async def first_answer(socket: Path) -> None:
    """Make one RPC."""
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # the package's types do not know the method
        await stub.Check(health_pb2.HealthCheckRequest(), timeout=10)


def processes_naming(directory: Path) -> list[int]:
    """Return the processes whose command line names a directory, and their children: bubblewraps and holders."""
    named, parents = set(), {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if bytes(directory) in (entry / "cmdline").read_bytes():
                    named.add(int(entry.name))
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    return sorted(named | {pid for pid, parent in parents.items() if parent in named})


async def run(directory: Path) -> list[Figure]:
    """Take every measurement of spokes, and return the figures."""
    async with Zygote(renew_after_forks=10_000) as zygote:
        started = await starts(zygote, directory, STARTS)
        called = await calls(zygote, directory, CALLS)
        together = await at_once(zygote, directory, AT_ONCE)
        resting = await idle(zygote, directory, IDLE)
    plain, cold, warm = (median(milliseconds(seconds)) for seconds in (started.plain, started.cold, started.warm))
    direct, inside = (median(milliseconds(seconds)) for seconds in (called.plain, called.spoke))
    return [
        Figure("call into a warm spoke, median", inside, "ms", direct, aim="ratio ≤ 1.05"),
        Figure("cold start to first RPC, median", cold, "ms", plain),
        Figure("warm start to first RPC, median", warm, "ms", plain, aim="≤ 35 ms, ratio ≤ 0.4"),
        Figure(
            "warm start to first RPC, least", min(milliseconds(started.warm)), "ms", min(milliseconds(started.plain))
        ),
        Figure(f"{AT_ONCE} warm starts at once, all answered", together * 1000, "ms", aim="≤ 1,000 ms"),
        Figure("idle spoke, private with its holder", resting.private, "MiB", aim="≤ 6 MiB"),
        Figure(f"{IDLE} idle spokes and the zygote, PSS", resting.pss, "MiB", aim="≤ 1,430 MiB"),
    ]
