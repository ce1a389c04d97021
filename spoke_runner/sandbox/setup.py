"""What the first stage is told on stdin: a pure function of the spec, beside the command line of `bwrap`.

Invariants:
    * What landlock grants is at most what the mounts show: the same spec makes both.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

from spoke_runner.sandbox.errors import SandboxUnavailable
from spoke_runner.sandbox.own_program import OwnProgram
from spoke_runner.sandbox.places import (
    APP_DIR,
    DATA_DIR,
    PACKAGES_DIR,
    PROJECT_DIR,
    PROXY_HOST,
    PROXY_PORT,
    PROXY_VARIABLES,
    SOCKET_DIR,
    SOCKET_NAME,
    STRICT,
)
from spoke_runner.sandbox.spec import SandboxSpec

# Not all of /proc/self: its `mountinfo` tells where the hub keeps its files.
_OWN_FACTS: Final = ("/proc/self/stat", "/proc/self/statm", "/proc/self/status")
_FILTERS: Final = Path(__file__).parent / "seccomp"
_PROXY: Final = f"http://{PROXY_HOST}:{PROXY_PORT}"


def filter_name(profile: str = "plain") -> str:
    """Return the file name of a seccomp filter for this machine.

    Raises:
        SandboxUnavailable: There is none for this architecture.
    """
    machine = os.uname().machine
    name = f"{profile}-{machine}.bpf"
    if not (_FILTERS / name).is_file():
        known = ", ".join(sorted(path.stem.removeprefix("plain-") for path in _FILTERS.glob("plain-*.bpf")))
        raise SandboxUnavailable("seccomp", f"there is no filter for {machine}", f"use a machine of type {known}")
    return name


def setup(
    spec: SandboxSpec, *, entry: str | OwnProgram, report_fd: int, seccomp_filter: str, other_threads: int = 0
) -> dict[str, Any]:
    """Return the set-up of the first stage.

    Args:
        spec: What the spoke is given.
        entry: `module:attribute` of the app's `App`, in its app_dir; or the program to execute.
        report_fd: The descriptor that it reports on.
        seccomp_filter: The file name of the filter, from `filter_name`.
        other_threads: How many threads the spoke's uid has already; without a user namespace the kernel counts them
            against the same limit.
    """
    limits = spec.limits
    strict = spec.level == STRICT
    project = PROJECT_DIR / "spoke_runner" if strict else Path(__file__).parent.parent
    places = {
        "app_dir": str(APP_DIR if strict else spec.app_dir),
        "data_dir": str(DATA_DIR if strict else spec.data_dir),
        "socket_dir": str(SOCKET_DIR if strict else spec.socket_dir),
    }
    return {
        "level": spec.level,
        "profile": spec.profile,
        "proc": spec.proc,
        "own_uid": spec.uid is not None,
        "entry": entry if isinstance(entry, str) else "",
        "command": None if isinstance(entry, str) else _command(spec, entry, places),
        "reaper": bool(spec.programs),
        **places,
        "report_fd": report_fd,
        "filter": str(project / "sandbox" / "seccomp" / seccomp_filter),
        "limits": {
            "memory_bytes": limits.memory_bytes,
            "file_bytes": limits.file_bytes,
            "open_files": limits.open_files,
            "processes": limits.processes + other_threads,
        },
        # Not ALL_PROXY: the hub's proxy speaks HTTP, and who would use it for more is better told that there is no way.
        "environment": _proxies(spec),
        "port": PROXY_PORT if spec.listens else None,
        "grants": {
            "list": _listed(spec),
            "read": [
                *_runtime(spec),
                *(str(mount.target) for mount in spec.shown),
                places["app_dir"],
                *(_OWN_FACTS if spec.proc else ()),
            ],
            "execute": [*_executed(spec), *(() if isinstance(entry, str) else entry.executed)],
            # Without namespaces /tmp is everybody's, and temporary files go to the data directory.
            "write": [places["data_dir"], *(["/tmp"] if strict else [])],  # noqa: S108 - the spoke's own
            "listen": [places["socket_dir"]],
            "read_device": ["/dev/random", "/dev/urandom"],
            "write_device": ["/dev/null", "/dev/full"],
        },
    }


def _proxies(spec: SandboxSpec) -> dict[str, str]:
    return dict.fromkeys(PROXY_VARIABLES, _PROXY) if spec.listens else {}


def _command(spec: SandboxSpec, program: OwnProgram, places: dict[str, str]) -> dict[str, Any]:
    """Return what the first stage executes, and the whole of the environment that it gives it."""
    environment = {
        "SPOKEGATE_SOCKET": f"{places['socket_dir']}/{SOCKET_NAME}",
        "SPOKEGATE_DATA_DIR": places["data_dir"],
        "HOME": places["data_dir"],
        "TMPDIR": "/tmp" if spec.level == STRICT else places["data_dir"],  # noqa: S108 - the spoke's own
        **_proxies(spec),
    }
    return {"words": list(program.words), "environment": environment}


def _runtime(spec: SandboxSpec) -> list[str]:
    if spec.level == STRICT:
        return [str(mount.target) for mount in spec.python.mounts]
    shared = _listed(spec)
    found = [str(mount.source) for mount in spec.python.mounts if str(mount.source) not in shared]
    return found + sorted(str(entry) for name in shared for entry in Path(name).iterdir() if entry.name != "hub")


def _listed(spec: SandboxSpec) -> list[str]:
    """Return the directories that hold packages beside the hub: those may be listed, and read but for the hub."""
    if spec.level == STRICT or PACKAGES_DIR / "hub" not in spec.python.hidden:
        return []
    return [str(mount.source) for mount in spec.python.mounts if mount.target == PACKAGES_DIR]


def _executed(spec: SandboxSpec) -> list[str]:
    """Return what may be executed: the programs, and what the kernel starts them by."""
    loaders = {str(program.loader) for program in spec.programs if program.loader is not None}
    return [*(str(program.path) for program in spec.programs), *sorted(loaders)]


def encode(document: dict[str, Any]) -> bytes:
    """Return the set-up as the one line that the first stage reads."""
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"
