"""The sandbox runner: starts an app in a process of its own that can reach nothing but the hub.

`launch` starts a spoke cold, a `Zygote` warm; `preflight` says what this host can do. The names are loaded when they
are first used, because the first stage of a spoke lives in this package too and should not load the launcher into the
sandbox.

Invariants:
    * What a level asks for and cannot be built is refused with the layer, the reason and the mend. No level turns into
      another by itself: whoever launches names one.
    * Nothing in this package imports the hub.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spoke_runner.sandbox.cgroup import delegated
    from spoke_runner.sandbox.errors import (
        CanaryFailed,
        SandboxError,
        SandboxUnavailable,
        SpokeStartFailed,
        ZygoteUnavailable,
    )
    from spoke_runner.sandbox.host_programs import HostProgram, find_host_programs
    from spoke_runner.sandbox.launcher import launch
    from spoke_runner.sandbox.logs import LogTail
    from spoke_runner.sandbox.ownership import spoke_uid
    from spoke_runner.sandbox.places import Level
    from spoke_runner.sandbox.process import SpokeProcess
    from spoke_runner.sandbox.report import Canary, Layer, Outside, SandboxReport
    from spoke_runner.sandbox.runtime import Mount, PythonRuntime, discover_python
    from spoke_runner.sandbox.spec import Delegation, Limits, SandboxSpec
    from spoke_runner.sandbox.trial import Footing, preflight, settle
    from spoke_runner.sandbox.zygote.keeper import Zygote

__all__ = [
    "Canary",
    "CanaryFailed",
    "Delegation",
    "Footing",
    "HostProgram",
    "Layer",
    "Level",
    "Limits",
    "LogTail",
    "Mount",
    "Outside",
    "PythonRuntime",
    "SandboxError",
    "SandboxReport",
    "SandboxSpec",
    "SandboxUnavailable",
    "SpokeProcess",
    "SpokeStartFailed",
    "Zygote",
    "ZygoteUnavailable",
    "delegated",
    "discover_python",
    "find_host_programs",
    "launch",
    "preflight",
    "settle",
    "spoke_uid",
]

_HOMES = {
    "cgroup": ("delegated",),
    "errors": ("CanaryFailed", "SandboxError", "SandboxUnavailable", "SpokeStartFailed", "ZygoteUnavailable"),
    "launcher": ("launch",),
    "logs": ("LogTail",),
    "ownership": ("spoke_uid",),
    "places": ("Level",),
    "trial": ("Footing", "preflight", "settle"),
    "process": ("SpokeProcess",),
    "host_programs": ("HostProgram", "find_host_programs"),
    "report": ("Canary", "Layer", "Outside", "SandboxReport"),
    "runtime": ("Mount", "PythonRuntime", "discover_python"),
    "spec": ("Delegation", "Limits", "SandboxSpec"),
    "zygote.keeper": ("Zygote",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
