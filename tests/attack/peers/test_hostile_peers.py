"""The hub's side of `Run` against peers that keep to no rule, while another spoke is at work."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import grpc
import pytest

from hub.errors import AppFailed, DeadlineExceeded, SpokegateError, SpokeUnavailable
from hub.spokes.egress.fetch import FetchRequest, FetchResponse
from hub.spokes.forwarder import Forwarder
from hub.spokes.permit import PermitIssuer
from hub.spokes.registry import RegisteredFunction
from hub.spokes.supervisor import CHANNEL_OPTIONS, Spoke, SpokeKey
from tests.attack.peers.peer import BEHAVIOURS

PROJECT = Path(__file__).resolve().parents[3]
CALL_SECONDS = 2.0
SLACK_SECONDS = 1.5
MAX_GROWTH = 16 << 20
MAX_CPU_SECONDS = 1.0
# gRPC answers these by itself and tells nobody, so they cost up to a core for as long as the call may last.
BELOW_THE_STREAM = ("ping_flood", "settings_flood", "window_flood")
GOOD_APP = "from spoke_runner.sdk import App, Call\napp = App()\n\n@app.function\nasync def ok(call: Call): return {}\n"
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

    async def probe(self) -> Sequence[RegisteredFunction]:
        return []

    async def fetch(self, request: FetchRequest) -> FetchResponse:
        return FetchResponse(200, (), b"")


class Bench:
    """One forwarder and the spokes that it talks to."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.forwarder = Forwarder()
        self.issuer: PermitIssuer = self.forwarder.take_issuer()

    async def call(self, spoke: Spoke, *, seconds: float, arguments: str = "{}") -> str:
        permit = self.issuer.issue(decision_id="d", function="ok", arguments_json=arguments)
        deadline = asyncio.get_running_loop().time() + seconds
        return await self.forwarder.run(spoke, permit, deadline=deadline, asks=NoAsks())

    def spoke(self, name: str) -> Spoke:
        channel = grpc.aio.insecure_channel(f"unix:{self.directory / name}.sock", options=CHANNEL_OPTIONS)
        return Spoke(SpokeKey(name, "ann", "s"), cast(Any, None), channel, lambda spoke, why: None)


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
def directory() -> Any:
    with tempfile.TemporaryDirectory(prefix="sg-") as name:
        (Path(name) / "good.py").write_text(GOOD_APP)
        yield Path(name)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


class Watch:
    """The most that this process held, looked at often."""

    def __init__(self) -> None:
        self.before = self.most = resident()

    async def look(self) -> None:
        while True:
            self.most = max(self.most, resident())
            await asyncio.sleep(0.02)


async def keep_calling(bench: Bench, good: Spoke, done: list[str]) -> None:
    while True:
        done.append(await bench.call(good, seconds=5.0))
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("name", BEHAVIOURS)
async def test_a_hostile_peer_ends_in_a_clear_status_and_costs_the_hub_little(name: str, directory: Path) -> None:
    bench = Bench(directory)
    good_line = (sys.executable, "-c", GOOD_SPOKE, str(directory))
    peer_line = (sys.executable, "-m", "tests.attack.peers.peer", name, str(directory / f"{name}.sock"))
    (directory / "good.sock").unlink(missing_ok=True)
    async with program(*good_line), program(*peer_line):
        good, bad = bench.spoke("good"), bench.spoke(name)
        for _ in range(20):
            await bench.call(good, seconds=5.0)
        done: list[str] = []
        watch, descriptors = Watch(), open_descriptors()
        tasks = [asyncio.create_task(keep_calling(bench, good, done)), asyncio.create_task(watch.look())]
        cpu, began = time.process_time(), time.monotonic()
        outcome: SpokegateError | str
        try:
            arguments = '{"x": "' + "x" * (2 << 20) + '"}' if name == "never_reading" else "{}"
            outcome = await bench.call(bad, seconds=CALL_SECONDS, arguments=arguments)
        except SpokegateError as error:
            outcome = error
        took = time.monotonic() - began
        await bad.channel.close()
        await asyncio.sleep(0.1)
        cpu = time.process_time() - cpu
        # Not one call of the other spoke was lost, and they went on meanwhile.
        assert not tasks[0].done(), tasks[0].exception()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        left = open_descriptors() - descriptors
        await good.channel.close()
    growth = watch.most - watch.before
    print(
        f"{name:<30} {type(outcome).__name__:<18} {took:5.2f} s {growth / 2**20:6.1f} MiB {cpu:5.2f} s CPU {len(done)}"
    )

    assert isinstance(outcome, (AppFailed, DeadlineExceeded, SpokeUnavailable)), outcome
    assert took < CALL_SECONDS + SLACK_SECONDS
    assert growth < MAX_GROWTH
    assert cpu < (took if name in BELOW_THE_STREAM else MAX_CPU_SECONDS)
    assert left <= 2
    assert done
