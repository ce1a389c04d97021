"""The hub's side of `Run` against peers that keep to no rule, while another spoke is at work."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import grpc
import pytest

from hub.errors import AppFailed, DeadlineExceeded, SpokegateError, SpokeUnavailable
from hub.spokes.egress.fetch import FetchRequest, FetchResponse
from hub.spokes.forwarder import Delivery, Forwarder, Generated
from hub.spokes.memory import Forgetting, KeptEntry, Reading, SaidTurn, Told
from hub.spokes.registry import RegisteredFunction
from hub.spokes.starting import SpokeKey
from hub.spokes.supervisor import CHANNEL_OPTIONS, Spoke
from hub.spokes.wire import Wire
from tests.attack.peers.peer import BEHAVIOURS

PROJECT = Path(__file__).resolve().parents[3]
CALL_SECONDS = 0.8
SLACK_SECONDS = 1.5
MAX_GROWTH = 16 << 20
MAX_CPU_SECONDS = 0.7
LONG_ARGUMENTS = ("never_reading", "tiny_windows")
LONG_SECONDS = 12.0
ENDS_WELL = ("flood_after_the_result",)
# gRPC answers these by itself and tells nobody.
BELOW_THE_STREAM = ("settings_flood", "window_flood", "reset_flood")
GOOD_APP = """
from spoke_runner.sdk import App, Call
app = App()

@app.function
async def ok(call: Call): return {}

@app.function
async def talk(call: Call):
    for number in range(1500):
        await call.progress(str(number))
    return {}

@app.function
async def large(call: Call): return {"x": "x" * 2_000_000}
"""
GOOD_SPOKE = """
import asyncio, sys
from pathlib import Path
from spoke_runner.sdk.server import serve
here = Path(sys.argv[1])
asyncio.run(serve(entry="good:app", app_dir=here, data_dir=here, socket_path=here / "good.sock",
                  on_ready=lambda: print("ready", flush=True)))
"""


class NoAsks:
    async def invoke(self, function: str, arguments_json: str) -> str:
        return "{}"

    async def probe(self, patterns: Sequence[str]) -> Sequence[RegisteredFunction]:
        return []

    async def generate(self, request_json: str, on_text: Callable[[str], Awaitable[None]]) -> Generated:
        return Generated('{"role":"assistant","content":""}', "stop", 0, 0)

    async def remember(self, what: KeptEntry | SaidTurn | Forgetting) -> None:
        return None

    async def recall(self, what: Reading) -> Told:
        return Told()

    async def fetch(self, request: FetchRequest) -> FetchResponse:
        return FetchResponse(200, (), b"")


class Bench:
    """One forwarder and the spokes that it talks to."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.forwarder = Forwarder()
        self.issuer = self.forwarder.take_issuer()
        self.retired: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    async def call(self, spoke: Spoke, *, seconds: float, function: str = "ok", arguments: str = "{}") -> str:
        permit = self.issuer.issue(decision_id="d", what=Delivery(function, arguments))
        deadline = asyncio.get_running_loop().time() + seconds
        return await self.forwarder.run(spoke, permit, deadline=deadline, asks=NoAsks())

    @asynccontextmanager
    async def spoke(self, name: str, *, wired: bool = True) -> AsyncIterator[Spoke]:
        """Connect to a socket as the supervisor does; not wired, as it would be without a wire."""
        socket, wire = self.directory / f"{name}.sock", Wire(self.directory / f"{name}.hub")
        wire.lay(to=socket)
        address = f"unix:{wire.path if wired else socket}"
        channel = grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
        try:
            yield Spoke(SpokeKey(name, "ann", "s"), cast(Any, None), wire, channel, self._retire)
        finally:
            await channel.close()
            await wire.close()

    @asynccontextmanager
    async def peer(self, name: str, *, wired: bool = True) -> AsyncIterator[Spoke]:
        """Start a hostile peer and connect to it."""
        socket = self.directory / f"{name}.sock"
        socket.unlink(missing_ok=True)
        line = (sys.executable, "-m", "tests.attack.peers.peer", name, str(socket))
        async with program(*line), self.spoke(name, wired=wired) as spoke:
            yield spoke

    def _retire(self, spoke: Spoke, why: str) -> None:
        self.retired.put_nowait((spoke.name, why))


@asynccontextmanager
async def at_work(directory: Path) -> AsyncIterator[tuple[Bench, Spoke]]:
    """Connect to the good spoke, and call it until everything in the hub is warm."""
    bench = Bench(directory)
    async with bench.spoke("good") as good:
        for _ in range(20):
            await bench.call(good, seconds=5.0)
        yield bench, good


@asynccontextmanager
async def program(*line: str) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(*line, stdout=asyncio.subprocess.PIPE, cwd=PROJECT)
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """Serve the good spoke in a directory, where the peers serve, too."""
    with tempfile.TemporaryDirectory(prefix="sg-") as name:
        (Path(name) / "good.py").write_text(GOOD_APP)
        line = (sys.executable, "-c", GOOD_SPOKE, name)
        with subprocess.Popen(line, stdout=subprocess.PIPE, cwd=PROJECT) as good:
            try:
                assert good.stdout is not None
                assert good.stdout.readline() == b"ready\n"
                yield Path(name)
            finally:
                good.kill()


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


class Cost:
    """What this process has used since, and the most that it held, looked at often."""

    def __init__(self) -> None:
        gc.collect()
        self._before = self._most = resident()
        self._descriptors = open_descriptors()
        self._cpu, self._began = time.process_time(), time.monotonic()

    async def look(self) -> None:
        while True:
            self._most = max(self._most, resident())
            await asyncio.sleep(0.02)

    @property
    def growth(self) -> int:
        return self._most - self._before

    @property
    def descriptors(self) -> int:
        return open_descriptors() - self._descriptors

    @property
    def cpu_seconds(self) -> float:
        return time.process_time() - self._cpu

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began


async def keep_calling(bench: Bench, good: Spoke, done: list[str]) -> None:
    while True:
        done.append(await bench.call(good, seconds=5.0))
        await asyncio.sleep(0.02)


def arguments_for(name: str) -> str:
    return '{"x": "' + "x" * (2 << 20) + '"}' if name in LONG_ARGUMENTS else "{}"


@pytest.mark.parametrize("name", [name for name in BEHAVIOURS if name not in ENDS_WELL])
async def test_a_hostile_peer_ends_in_a_clear_status_and_costs_the_hub_little(name: str, directory: Path) -> None:
    async with at_work(directory) as (bench, good), bench.peer(name) as bad:
        arguments, done = arguments_for(name), list[str]()
        cost = Cost()
        tasks = [asyncio.create_task(keep_calling(bench, good, done)), asyncio.create_task(cost.look())]
        outcome: SpokegateError | str
        try:
            outcome = await bench.call(bad, seconds=CALL_SECONDS, arguments=arguments)
        except SpokegateError as error:
            outcome = error
        took = cost.seconds
        await bad.channel.close()
        await bad.wire.close()
        await asyncio.sleep(0.1)
        cpu = cost.cpu_seconds
        # Not one call of the other spoke was lost, and they went on meanwhile.
        assert not tasks[0].done(), tasks[0].exception()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        left = cost.descriptors
    print(
        f"{name:<34} {type(outcome).__name__:<18} {took:5.2f} s {cost.growth / 2**20:6.1f} MiB {cpu:5.2f} s CPU"
        f" {len(done)} calls beside"
    )

    assert isinstance(outcome, (AppFailed, DeadlineExceeded, SpokeUnavailable)), outcome
    assert took < CALL_SECONDS + SLACK_SECONDS
    assert cost.growth < MAX_GROWTH
    assert cpu < MAX_CPU_SECONDS
    assert left <= 2
    assert done


@pytest.mark.parametrize("name", ["window_flood", "ping_flood_without_reading", "flood_after_the_result"])
async def test_a_peer_that_goes_on_flooding_is_ended_with_or_without_a_call(name: str, directory: Path) -> None:
    async with at_work(directory) as (bench, _), bench.peer(name) as bad:
        cost = Cost()
        if name in ENDS_WELL:
            assert await bench.call(bad, seconds=LONG_SECONDS) == "{}"
        else:
            with pytest.raises(SpokeUnavailable):
                await bench.call(bad, seconds=LONG_SECONDS)
        async with asyncio.timeout(LONG_SECONDS):
            assert await bench.retired.get() == (name, "flooded its connection")
        print(f"{name:<34} ended after {cost.seconds:5.2f} s and {cost.cpu_seconds:5.2f} s CPU")
        assert cost.cpu_seconds < MAX_CPU_SECONDS


@pytest.mark.parametrize("name", BELOW_THE_STREAM)
async def test_control_without_the_wire_the_same_peer_costs_many_times_as_much(name: str, directory: Path) -> None:
    costs = {}
    for wired in (True, False):
        async with at_work(directory) as (bench, _), bench.peer(name, wired=wired) as bad:
            cost = Cost()
            with pytest.raises(SpokegateError):
                await bench.call(bad, seconds=CALL_SECONDS)
            costs[wired] = cost.cpu_seconds
    print(f"{name:<34} {costs[False]:5.2f} s CPU without the wire, {costs[True]:5.2f} s with it")

    assert costs[False] > 3 * costs[True]


async def test_control_an_obedient_peer_with_as_much_to_say_is_not_held_up(directory: Path) -> None:
    async with at_work(directory) as (bench, good):
        for _ in range(3):
            assert await bench.call(good, seconds=CALL_SECONDS * 5, function="talk") == "{}"
        async with asyncio.timeout(CALL_SECONDS * 5):
            large = await asyncio.gather(*(bench.call(good, seconds=20.0, function="large") for _ in range(16)))
        assert all(len(text) > 2_000_000 for text in large)
        assert bench.retired.empty()
