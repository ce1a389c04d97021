"""What this host can do, layer by layer, found out by doing it: a whole spoke is started and looked at.

Tried and rejected: asking the kernel and the tools one by one what they support. Every one of them may say yes, and
the sandbox still fail on the host's policy (a container's profile, AppArmor, a masked `/proc`).

Invariants:
    * A layer is in force only if it was, around the spoke that was started here.
"""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from spoke_runner.sandbox.diagnosis import check_version, find_tools
from spoke_runner.sandbox.errors import CanaryFailed, SandboxUnavailable, SpokeStartFailed
from spoke_runner.sandbox.launcher import launch
from spoke_runner.sandbox.ownership import spoke_uid
from spoke_runner.sandbox.report import Layer, SandboxReport
from spoke_runner.sandbox.setup import filter_name
from spoke_runner.sandbox.spec import SandboxSpec

_APP: Final = "from spoke_runner.sdk import App\n\napp = App()\n"
_LAYERS: Final = ("bubblewrap", "namespaces", "uid", "capabilities", "no_new_privs", "landlock", "seccomp", "canaries")
_VERSION_SECONDS: Final = 10.0


def preflight() -> list[Layer]:
    """Try the level `strict` for real and return its layers; takes about as long as the start of a spoke.

    May be called with or without a running event loop.
    """
    try:
        version = _bwrap_version()
        # A loop of its own, in a thread of its own, because the caller may be inside one.
        with ThreadPoolExecutor(max_workers=1) as thread:
            report = thread.submit(asyncio.run, _try_for_real()).result()
    except SandboxUnavailable as error:
        return _failed(error.layer, error.why, error.mend)
    except CanaryFailed as error:
        return _failed("canaries", str(error), "report this: the sandbox was built and does not hold")
    except SpokeStartFailed as error:
        said = error.logs[-1] if error.logs else "nothing"
        return _failed("canaries", f"the trial app did not start: {error}; it said: {said}", "run the set-up again")
    return _held(version, report)


def _bwrap_version() -> str:
    answer = subprocess.run(
        [find_tools().bwrap, "--version"], capture_output=True, text=True, timeout=_VERSION_SECONDS, check=False
    )
    return check_version(answer.stdout.strip())


async def _try_for_real() -> SandboxReport:
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
            uid=spoke_uid(root, places["data"]),
        )
        spoke = await launch(spec, entry="trial:app")
        await spoke.kill()
        return spoke.report


def _held(version: str, report: SandboxReport) -> list[Layer]:
    namespaces = "own user, pid, net, ipc, uts, cgroup and mount namespaces, none can be made inside"
    details = {
        "bubblewrap": f"version {version}",
        "namespaces": namespaces,
        "uid": f"a spoke runs as uid {report.outside.uids[0]}",
        "capabilities": "none in any of the five sets",
        "no_new_privs": "set",
        "landlock": f"ABI {report.landlock_abi}",
        "seccomp": f"allow-list {filter_name()}",
        "canaries": f"{len(report.canaries)} forbidden acts tried inside, all refused",
    }
    return [Layer(name=name, in_force=True, detail=details[name]) for name in _LAYERS]


def _failed(layer: str, why: str, mend: str) -> list[Layer]:
    names = _LAYERS if layer in _LAYERS else (layer, *_LAYERS)
    return [
        Layer(name=name, in_force=False, detail=why, mend=mend)
        if name == layer
        else Layer(name=name, in_force=False, detail="not tried")
        for name in names
    ]
