"""Bound what a spoke keeps on disk, in sum: it is ended once its data directory holds more than its limit.

No limit of the kernel does this for an ordinary user. Project quotas need root, a file system that has them, and a
mount option; a file system of its own for every directory needs root or FUSE. So the directory is looked at, four times
a second while the spoke works. What it can write in a quarter of a second is how far it can come beyond its limit.

A spoke that does nothing costs a reading of its processor clock: to write, a process must run. The seccomp filter
has no `fallocate`, which would take up gigabytes in no time at all.

Invariants:
    * A spoke beyond its limit is killed, and none is started in a directory that is beyond it already.
    * Links are not followed, and a file with several names is counted under each: the sum is never too low.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

LOOK_SECONDS: Final = 0.25
MAX_ENTRIES: Final = 100_000
_ENTRY_BYTES: Final = 4096
_IDLE_NANOSECONDS: Final = 1_000_000
_BLOCK_BYTES: Final = 512


def used_bytes(directory: Path) -> int:
    """Return what a directory takes up, each entry at least a block; what vanishes meanwhile is not counted.

    Counting ends at `MAX_ENTRIES`, since a directory with more should not cost the hub more: such a one is too large.
    """
    total = entries = 0
    waiting = [os.fspath(directory)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as found:
                for entry in found:
                    entries += 1
                    status = entry.stat(follow_symlinks=False)
                    total += max(_ENTRY_BYTES, status.st_blocks * _BLOCK_BYTES)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    if entries >= MAX_ENTRIES:
                        return max(total, 1 << 62)
        except FileNotFoundError:
            continue
    return total


async def exceeds(directory: Path, limit_bytes: int, pid: int, *, look_beside: Callable[[], bool] | None = None) -> int:
    """Return when a directory holds more than its limit, and how much it holds; only while the process lives.

    Args:
        directory: Which one.
        limit_bytes: The limit.
        pid: The process that works.
        look_beside: Where it is not the only one that works: called at each look, which no idle clock puts off then,
            in a thread; to return whether something else is beyond its limit, which is returned as zero.
    """
    clock = (~pid << 3) | 2  # the processor clock of another process, see clock_getcpuclockid(3)
    looked_at = -_IDLE_NANOSECONDS
    while True:
        try:
            now = time.clock_gettime_ns(clock)
        except OSError:
            await asyncio.get_running_loop().create_future()  # it has ended, and whoever waits for it will know
        if look_beside is not None and await asyncio.to_thread(look_beside):
            return 0
        if look_beside is not None or now - looked_at >= _IDLE_NANOSECONDS:
            looked_at = now
            used = await asyncio.to_thread(used_bytes, directory)
            if used > limit_bytes:
                return used
        await asyncio.sleep(LOOK_SECONDS)
