"""Run the acts inside live spokes of this host and say which came through.

Invariants:
    * Every act is tried; one that ends in anything but a refusal counts as come through.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import grpc
from spokegate.v1 import spoke_pb2, spoke_pb2_grpc

from spoke_runner.sandbox.escape import ACTS
from spoke_runner.sandbox.escape.kit import Act, World
from spoke_runner.sandbox.escape.world import LIMITS, seen_from_inside, world_outside
from spoke_runner.sandbox.host_programs import find_host_programs
from spoke_runner.sandbox.launcher import launch
from spoke_runner.sandbox.ownership import spoke_uid
from spoke_runner.sandbox.places import STRICT, Level
from spoke_runner.sandbox.process import SpokeProcess
from spoke_runner.sandbox.spec import SandboxSpec

APP: Final = Path(__file__).parent / "app"
ENTRY: Final = "hostile:app"
Start = Callable[..., Awaitable[SpokeProcess]]
"""What starts a spoke: `launch`, or a zygote's."""

PROFILES: Final[dict[Level, tuple[str, ...]]] = {
    "strict": ("plain", "egress", "programs", "egress-programs"),
    "no-userns": ("no-userns",),
    "none": ("plain",),
}
"""What spokes of a level there are."""

PROGRAM: Final = "/bin/sh"
"""What a spoke with programs may execute here."""

_REFUSALS: Final = frozenset(
    ["EPERM", "EACCES", "ENOENT", "EROFS", "ENOSYS", "EXDEV", "EBADF", "ESRCH", "SIGSYS", "ECONNREFUSED", "EADDRINUSE"]
)
_EXHAUSTED: Final = frozenset(["EAGAIN", "ENOMEM", "EMFILE", "EFBIG", "ENOSPC", "MemoryError"])
_IMPORT: Final = ("ImportError", "ModuleNotFoundError", "EACCES")
_CALL_SECONDS: Final = 20.0
_SIGSYS_EXIT: Final = 128 + 31
_MAX_KEPT_LINES: Final = 202


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one act inside a live spoke."""

    act: str
    answer: str
    blocked: bool


async def run(level: Level = STRICT, *, proc: bool = True) -> list[Outcome]:
    """Try every act at a level, inside a spoke that asks for nothing, and one that asks for egress.

    Raises:
        SandboxError: A spoke of that level cannot be started.
    """

    async def in_a_world_of_its_own(profile: str) -> list[Outcome]:
        with tempfile.TemporaryDirectory(prefix="sg-") as name, world_outside(Path(name)) as world:
            return await run_in(Path(name), world, level, proc=proc, profile=profile)

    plain_and_egress = PROFILES[level][:2]
    found = await asyncio.gather(*map(in_a_world_of_its_own, plain_and_egress))
    return [outcome for outcomes in found for outcome in outcomes]


def acts_of(profile: str) -> list[Act]:
    """Return the acts that are hostile in a spoke of a profile."""
    return [act for act in ACTS.values() if act.tried_with(profile)]


async def run_in(
    root: Path, world: World, level: Level, *, proc: bool = True, start: Start = launch, profile: str = "plain"
) -> list[Outcome]:
    """Try every act at a level, in a world that was planted already, inside spokes that are started in one way."""
    spec = spec_in(root, level, proc=proc, profile=profile)
    inside = seen_from_inside(world, spec)
    outcomes = []
    async with _running(spec, start) as spoke, _stub(spoke) as stub:
        for act in acts_of(profile):
            if act.ends_spoke:
                continue
            try:
                outcome = _judged(act.name, await _call(stub, "act", name=act.name, world=inside))
            except grpc.aio.AioRpcError as error:
                outcome = Outcome(act.name, error.code().name, False)
            if act.name == "log_bomb":  # stopped or not, only the hub's side can tell
                kept = spoke.logs
                outcome = replace(outcome, blocked=len(kept) <= _MAX_KEPT_LINES and "bytes dropped" in kept[-1])
            outcomes.append(outcome)
    for act in acts_of(profile):
        if act.ends_spoke:
            # A directory of its own, because what it leaves behind may bar the next start.
            own = spec_in(root, level, proc=proc, name=f"{act.name}@ann", profile=profile)
            async with _running(own, start) as spoke, _stub(spoke) as stub:
                outcomes.append(await _ended_by(spoke, stub, act.name, seen_from_inside(world, own)))
    return outcomes


def spec_in(
    root: Path, level: Level, *, proc: bool = True, name: str = "hostile@ann", profile: str = "plain"
) -> SandboxSpec:
    """Return the spec of the hostile app's spoke."""
    data, sockets = root / "data" / name, root / "run" / name
    for directory in (data, sockets):
        directory.mkdir(parents=True, exist_ok=True)
    return SandboxSpec(
        app="hostile",
        app_dir=APP,
        data_dir=data,
        socket_dir=sockets,
        level=level,
        proc=proc,
        uid=spoke_uid(root / "data", data),
        limits=LIMITS,
        egress="egress" in profile,
        programs=find_host_programs([PROGRAM]) if "programs" in profile else (),
    )


def _judged(name: str, answer: str) -> Outcome:
    expected = _EXHAUSTED | _REFUSALS if ACTS[name].bomb else _REFUSALS
    return Outcome(name, answer, answer in (_IMPORT if name == "import_hub" else expected))


async def _ended_by(spoke: SpokeProcess, stub: Any, name: str, world: World) -> Outcome:
    try:
        return _judged(name, await _call(stub, "act", name=name, world=world))
    except grpc.aio.AioRpcError:
        code = await asyncio.wait_for(spoke.wait(), _CALL_SECONDS)
    if ACTS[name].bomb:
        return Outcome(name, "ended", bool(spoke.ended_because))
    return Outcome(name, "SIGSYS" if code == _SIGSYS_EXIT else f"exit {code}", code == _SIGSYS_EXIT)


@asynccontextmanager
async def _running(spec: SandboxSpec, start: Start) -> AsyncIterator[SpokeProcess]:
    spoke = await start(spec, entry=ENTRY)
    try:
        yield spoke
    finally:
        await spoke.kill()


@asynccontextmanager
async def _stub(spoke: SpokeProcess) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(f"unix:{spoke.socket_path}") as channel:
        yield spoke_pb2_grpc.SpokeServiceStub(channel)


async def _call(stub: Any, function: str, **arguments: Any) -> str:
    return str((await _answer(stub, function, **arguments))["answer"])


async def _answer(stub: Any, function: str, **arguments: Any) -> Any:
    stream = stub.Run(timeout=_CALL_SECONDS)
    start = spoke_pb2.Start(function=function, arguments_json=json.dumps(arguments), ask_window=1)
    await stream.write(spoke_pb2.RunRequest(start=start))
    async for response in stream:
        if response.WhichOneof("frame") == "result":
            if response.result.HasField("failure"):
                return {"answer": f"failed: {response.result.failure.detail}"}
            return json.loads(response.result.result_json)
    raise ConnectionError("the stream ended without a result")
