"""Bound what the processes of a spoke hold in memory, in sum: it is ended once that is more than its limit.

RLIMIT_DATA is a limit of each process, so a spoke that makes processes could hold it as often as RLIMIT_NPROC lets it.
Where a cgroup is delegated the kernel counts for all of them; everywhere, the launcher looks as often as at the disk.
How far a spoke can come beyond its limit is what its processes write in a quarter of a second, each up to RLIMIT_DATA.

Invariants:
    * What several processes share is counted once, in parts: a fork that has changed nothing yet adds nothing.
    * What cannot be read in that form is counted whole: the sum is never too low because a process hides.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_PAGE_BYTES: Final = resource.getpagesize()
_PRIVATE: Final = ("Pss_Anon:", "SwapPss:")


def can_count() -> bool:
    """Return whether this kernel says which children a process has."""
    return Path(f"/proc/self/task/{os.getpid()}/children").exists()


def used_bytes(first: int) -> int:
    """Return what a process and all that descend from it hold; of the first of a pid namespace, that is everything."""
    total = 0
    waiting, seen = [first], {first}
    while waiting:
        process = _PROC / str(waiting.pop())
        try:
            total += _held_by(process)
            for thread in list((process / "task").iterdir()):
                children = [int(word) for word in (thread / "children").read_text().split()]
                waiting += [child for child in children if child not in seen]
                seen.update(children)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended, and its children have gone to the first
    return total


def _held_by(process: Path) -> int:
    try:
        lines = (process / "smaps_rollup").read_text().splitlines()
        found = [int(line.split()[1]) << 10 for line in lines if line.startswith(_PRIVATE)]
    except PermissionError:
        found = []
    if len(found) == len(_PRIVATE):
        return sum(found)
    _, resident, shared, *_ = map(int, (process / "statm").read_text().split())
    return (resident - shared) * _PAGE_BYTES
