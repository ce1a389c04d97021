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
from spoke_runner.sandbox.places import APP_DIR, DATA_DIR, PROJECT_DIR, SOCKET_DIR
from spoke_runner.sandbox.spec import SandboxSpec

# Not all of /proc/self: its `mountinfo` tells where the hub keeps its files.
_OWN_FACTS: Final = ("/proc/self/stat", "/proc/self/statm", "/proc/self/status")
_FILTERS: Final = Path(__file__).parent / "seccomp"


def filter_name() -> str:
    """Return the file name of this machine's seccomp filter.

    Raises:
        SandboxUnavailable: There is none for this architecture.
    """
    machine = os.uname().machine
    name = f"plain-{machine}.bpf"
    if not (_FILTERS / name).is_file():
        known = ", ".join(sorted(path.stem.removeprefix("plain-") for path in _FILTERS.glob("plain-*.bpf")))
        raise SandboxUnavailable("seccomp", f"there is no filter for {machine}", f"use a machine of type {known}")
    return name


def setup(spec: SandboxSpec, *, entry: str, report_fd: int, seccomp_filter: str) -> dict[str, Any]:
    """Return the set-up of the first stage.

    Args:
        spec: What the spoke is given.
        entry: `module:attribute` of the app's `App`, in its app_dir.
        report_fd: The descriptor that it reports on.
        seccomp_filter: The file name of the filter, from `filter_name`.
    """
    limits = spec.limits
    return {
        "entry": entry,
        "report_fd": report_fd,
        "filter": str(PROJECT_DIR / "spoke_runner" / "sandbox" / "seccomp" / seccomp_filter),
        "limits": {
            "memory_bytes": limits.memory_bytes,
            "file_bytes": limits.file_bytes,
            "open_files": limits.open_files,
            "processes": limits.processes,
        },
        "grants": {
            "read": [*(str(mount.target) for mount in spec.python.mounts), str(APP_DIR), *_OWN_FACTS],
            "write": [str(DATA_DIR), "/tmp"],  # noqa: S108 - the spoke's own
            "listen": [str(SOCKET_DIR)],
            "read_device": ["/dev/random", "/dev/urandom"],
            "write_device": ["/dev/null", "/dev/full"],
        },
    }


def encode(document: dict[str, Any]) -> bytes:
    """Return the set-up as the one line that the first stage reads."""
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"
