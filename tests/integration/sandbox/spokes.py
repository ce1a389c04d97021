"""Real spokes for tests: directories, a start, a call, an end."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from spokegate.v1 import spoke_pb2, spoke_pb2_grpc

from spoke_runner.sandbox import Limits, SandboxSpec, SpokeProcess, Zygote, launch, spoke_uid
from tests.support.processes import processes_of

APPS = Path(__file__).parent / "apps"
PROJECT = Path(__file__).resolve().parents[3]
CALL_SECONDS = 20.0

Launch = Callable[..., Awaitable[SpokeProcess]]
both_ways = pytest.mark.parametrize("way", ["cold", "warm"])


@dataclass(frozen=True)
class Workshop:
    """Where the spokes of one test have their directories."""

    root: Path

    def spec(self, app_dir: Path, *, name: str = "app@ann", limits: Limits | None = None) -> SandboxSpec:
        data, sockets = self.root / "data" / name, self.root / "run" / name
        for directory in (data, sockets):
            directory.mkdir(parents=True, exist_ok=True)
        return SandboxSpec(
            app=app_dir.name,
            app_dir=app_dir,
            data_dir=data,
            socket_dir=sockets,
            uid=spoke_uid(self.root / "data", data),
            limits=limits or Limits(),
        )


_not_mine: set[int] = set()


@contextmanager
def workshop() -> Iterator[Workshop]:
    _not_mine.update(_zygotes_and_forks())  # of hubs that other tests share
    # Not pytest's own directory: its path is too long for a socket below it.
    with tempfile.TemporaryDirectory(prefix="sg-") as name:
        yield Workshop(Path(name))


@asynccontextmanager
async def launcher(way: str) -> AsyncIterator[Launch]:
    """Yield what starts spokes, cold or warm."""
    if way == "cold":
        yield launch
        return
    events: list[str] = []
    async with Zygote(on_event=events.append) as zygote:
        yield zygote.launch
    assert events == []


@asynccontextmanager
async def running(spec: SandboxSpec, entry: str, *, way: str = "cold") -> AsyncIterator[SpokeProcess]:
    async with launcher(way) as start:
        spoke = await start(spec, entry=entry)
        try:
            yield spoke
        finally:
            await spoke.kill()


async def call(spoke: SpokeProcess, function: str, **arguments: Any) -> Any:
    async with grpc.aio.insecure_channel(f"unix:{spoke.socket_path}") as channel:
        stream = spoke_pb2_grpc.SpokeServiceStub(channel).Run(timeout=CALL_SECONDS)
        start = spoke_pb2.Start(function=function, arguments_json=json.dumps(arguments), ask_window=1)
        await stream.write(spoke_pb2.RunRequest(start=start))
        async for response in stream:
            if response.WhichOneof("frame") == "result":
                assert not response.result.HasField("failure"), response.result.failure.detail
                return json.loads(response.result.result_json)
    raise AssertionError("the stream ended without a result")


def zygotes_and_forks() -> list[int]:
    """Return the pids of the zygotes of this source tree that this test started, and of what they forked."""
    return [pid for pid in _zygotes_and_forks() if pid not in _not_mine]


def _zygotes_and_forks() -> list[int]:
    # What a zygote forks keeps its command line.
    return processes_of(PROJECT / "spoke_runner" / "sandbox" / "zygote" / "boot.py")
