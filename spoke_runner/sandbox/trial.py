"""What this host can do, layer by layer, found out by doing it: a whole spoke is started and looked at.

Tried and rejected: asking the kernel and the tools one by one what they support. Every one of them may say yes, and
the sandbox still fail on the host's policy (a container's profile, AppArmor, a masked `/proc`).

Invariants:
    * A layer is in force only if it was, around the spoke that was started here.
    * A weaker level is found out about only where it is allowed by name, and a wall that was built and does not hold
      is never a reason to try a weaker one.
"""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spoke_runner.sandbox.cgroup import delegated
from spoke_runner.sandbox.diagnosis import check_version, find_tools
from spoke_runner.sandbox.errors import CanaryFailed, SandboxUnavailable, SpokeStartFailed
from spoke_runner.sandbox.launcher import launch
from spoke_runner.sandbox.ownership import spoke_uid
from spoke_runner.sandbox.places import NO_USERNS, NONE, STRICT, Level
from spoke_runner.sandbox.report import Layer, SandboxReport
from spoke_runner.sandbox.setup import filter_name
from spoke_runner.sandbox.spec import NOT_ASKED_FOR, Delegation, SandboxSpec

_APP: Final = "from spoke_runner.sdk import App\n\napp = App()\n"
_SEALS: Final = ("uid", "capabilities", "no_new_privs", "landlock", "seccomp", "canaries")
_LAYERS: Final[dict[Level, tuple[str, ...]]] = {
    "strict": ("bubblewrap", "namespaces", *_SEALS),
    "no-userns": _SEALS,
    "none": (),
}
_VERSION_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Footing:
    """What the spokes of a hub are started with, all of them alike.

    Attributes:
        level: The level.
        proc: Whether they get a `/proc`.
        report: What was in force around the spoke that was tried; None at `none`, where nothing is.
        why: Why it is not more, in one line; empty at `strict`.
    """

    level: Level
    proc: bool = True
    report: SandboxReport | None = None
    why: str = ""


async def settle(minimum: Level = STRICT) -> Footing:
    """Return the best level that this host can build, by building it, and nothing below the minimum.

    Raises:
        SandboxUnavailable: A layer of the minimum is missing.
        CanaryFailed: A wall does not hold.
        SpokeStartFailed: The trial spoke did not come up.
    """
    if minimum == NONE:
        return Footing(NONE, why="the sandbox was switched off")
    try:
        return await _settle_strict()
    except SandboxUnavailable as error:
        if minimum == STRICT:
            raise
        report = await _try_for_real(NO_USERNS)
        return Footing(NO_USERNS, report=report, why=str(error))


async def _settle_strict(cgroup: Delegation = NOT_ASKED_FOR) -> Footing:
    check_version(await asyncio.to_thread(_bwrap_answer))
    try:
        return Footing(STRICT, report=await _try_for_real(STRICT, cgroup))
    except SandboxUnavailable as error:
        if error.layer != "proc":
            raise
        return Footing(STRICT, proc=False, report=await _try_for_real(STRICT, cgroup, proc=False))


def preflight(level: Level = STRICT) -> list[Layer]:
    """Try a level for real and return its layers, the optional one last; takes about as long as the start of a spoke.

    May be called with or without a running event loop.
    """
    try:
        version = check_version(_bwrap_answer()) if level == STRICT else ""
        # A loop of its own, in a thread of its own, because the caller may be inside one.
        with delegated() as cgroup, ThreadPoolExecutor(max_workers=1) as thread:
            work = _settle_strict(cgroup) if level == STRICT else _settle_at(level, cgroup)
            footing = thread.submit(asyncio.run, work).result()
    except SandboxUnavailable as error:
        return _failed(level, error.layer, error.why, error.mend)
    except CanaryFailed as error:
        return _failed(level, "canaries", str(error), "report this: the sandbox was built and does not hold")
    except SpokeStartFailed as error:
        said = error.logs[-1] if error.logs else "nothing"
        why = f"the trial app did not start: {error}; it said: {said}"
        return _failed(level, "canaries", why, "run the set-up again")
    return _held(version, footing)


async def _settle_at(level: Level, cgroup: Delegation) -> Footing:
    return Footing(level, report=await _try_for_real(level, cgroup) if level != NONE else None)


def _bwrap_answer() -> str:
    program = find_tools().bwrap or "bwrap"
    answer = subprocess.run(
        [program, "--version"], capture_output=True, text=True, timeout=_VERSION_SECONDS, check=False
    )
    return answer.stdout.strip()


async def _try_for_real(
    level: Level,
    cgroup: Delegation = NOT_ASKED_FOR,
    *,
    proc: bool = True,
) -> SandboxReport:
    with tempfile.TemporaryDirectory(prefix="spokegate-") as name:
        root = Path(name)
        places = {place: root / place for place in ("app", "data", "run")}
        for place in places.values():
            place.mkdir()
        (places["app"] / "trial.py").write_text(_APP)
        places["app"].chmod(0o755)  # read by the trial spoke, which may have another uid
        (places["app"] / "trial.py").chmod(0o644)
        spec = SandboxSpec(
            app="trial",
            app_dir=places["app"],
            data_dir=places["data"],
            socket_dir=places["run"],
            level=level,
            proc=proc,
            uid=spoke_uid(root, places["data"]),
            cgroup=cgroup,
        )
        spoke = await launch(spec, entry="trial:app")
        await spoke.kill()
        return spoke.report


def _held(version: str, footing: Footing) -> list[Layer]:
    report = footing.report
    if report is None:
        return []
    namespaces = "own user, pid, net, ipc, uts, cgroup and mount namespaces, none can be made inside"
    details = {
        "bubblewrap": f"version {version}",
        "namespaces": namespaces if footing.proc else f"{namespaces}; without a /proc, which this host masks",
        "uid": f"a spoke runs as uid {report.outside.uids[0]}",
        "capabilities": "none in any of the five sets" if not report.outside.capabilities["CapBnd"] else "none held",
        "no_new_privs": "set",
        "landlock": f"ABI {report.landlock_abi}",
        "seccomp": f"allow-list {filter_name('plain' if footing.level == STRICT else footing.level)}",
        "canaries": f"{len(report.canaries)} forbidden acts tried inside, all refused",
    }
    layers = [Layer(name=name, in_force=True, detail=details[name]) for name in _LAYERS[footing.level]]
    return [*layers, report.cgroup]


def _failed(level: Level, layer: str, why: str, mend: str) -> list[Layer]:
    layers = _LAYERS[level]
    names = layers if layer in layers else (layer, *layers)
    return [
        Layer(name=name, in_force=False, detail=why, mend=mend)
        if name == layer
        else Layer(name=name, in_force=False, detail="not tried")
        for name in names
    ]
