"""Look at a sealed process from outside, in the host's `/proc`.

Invariants:
    * What cannot be read is never taken for good: the error leaves, and the spoke is killed for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from spoke_runner.sandbox.report import NAMESPACES, Outside

_CAPABILITIES: Final = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


def threads_of(uid: int) -> int:
    """Return how many threads a uid has on this host."""
    found = 0
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and process.stat().st_uid == uid:
                found += int((process / "stat").read_text().rpartition(")")[2].split()[17])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def look(pid: int, holder: int | None = None) -> Outside:
    """Return what the kernel says about a process.

    Args:
        pid: The host's pid of the process.
        holder: The host's pid of the process in whose namespaces it should be, if it entered any.

    Raises:
        OSError: The process is gone, or its namespaces may not be seen.
        KeyError: The kernel does not state one of the facts.
        ValueError: It states one in a form that is not known.
    """
    process = Path("/proc") / str(pid)
    facts = dict(
        line.split(":", 1) for line in (process / "status").read_text(errors="replace").splitlines() if ":" in line
    )
    mine = _namespaces(process)
    hubs = _namespaces(Path("/proc/self"))
    meant = mine if holder is None else _namespaces(Path("/proc") / str(holder))
    return Outside(
        seccomp=int(facts["Seccomp"]),
        no_new_privs=int(facts["NoNewPrivs"]),
        capabilities={name: int(facts[name], 16) for name in _CAPABILITIES},
        uids=tuple(map(int, facts["Uid"].split())),
        gids=tuple(map(int, facts["Gid"].split())),
        shared_namespaces=tuple(name for name in NAMESPACES if mine[name] == hubs[name]),
        strange_namespaces=tuple(name for name in NAMESPACES if mine[name] != meant[name]),
    )


def _namespaces(process: Path) -> dict[str, Path]:
    return {name: (process / "ns" / name).readlink() for name in NAMESPACES}
