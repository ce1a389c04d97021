"""As root, every spoke gets a uid of its own, and its directories belong to that uid.

The uid is recorded where it matters, as the owner of the app's data directory, so there is no second register that
could disagree with the files.

Invariants:
    * Two data directories below one root never have the same owner out of the range.
    * Nothing here follows a symbolic link: an app may have filled its directory with links to the hub's files.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from spoke_runner.sandbox.errors import SandboxUnavailable

FIRST_UID: Final = 58000
LAST_UID: Final = 59999
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def spoke_uid(data_root: Path, data_dir: Path) -> int | None:
    """Return the uid for the spokes that use a data directory, and make it the directory's owner.

    Args:
        data_root: Where the data directories of all apps and users lie, all of them equally deep.
        data_dir: One of them; it must exist.

    Returns:
        The uid; None when the hub is not root, since then a spoke has the hub's own.

    Raises:
        SandboxUnavailable: Every uid of the range has a directory.
        ValueError: `data_dir` is not below `data_root`.
        OSError: The directory cannot be changed.
    """
    if os.geteuid() != 0:
        return None
    depth = len(data_dir.relative_to(data_root).parts)
    if depth == 0:
        raise ValueError("the data directory must be below the root of all data directories")
    with _locked(data_root):
        mine = data_dir.lstat()
        taken = {
            status.st_uid
            for status in _directories(data_root, depth)
            if (status.st_dev, status.st_ino) != (mine.st_dev, mine.st_ino)
        }
        if FIRST_UID <= mine.st_uid <= LAST_UID and mine.st_uid not in taken:
            return mine.st_uid
        free = next((uid for uid in range(FIRST_UID, LAST_UID + 1) if uid not in taken), None)
        if free is None:
            raise SandboxUnavailable(
                "uid", f"all uids from {FIRST_UID} to {LAST_UID} own a data directory", f"remove some below {data_root}"
            )
        give(data_dir, free)
        return free


def give(directory: Path, uid: int) -> None:
    """Make a uid the owner of a directory and all that is in it, and close the directory to everybody else.

    Raises:
        OSError: The directory is a link, or cannot be changed.
    """
    descriptor = os.open(directory, _DIRECTORY)
    try:
        _own(descriptor, os.fstat(descriptor), uid)
        os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)
    for _, directories, files, parent in os.fwalk(directory, follow_symlinks=False):
        for name in (*directories, *files):
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if status.st_uid != uid:
                os.chown(name, uid, uid, dir_fd=parent, follow_symlinks=False)


def _own(descriptor: int, status: os.stat_result, uid: int) -> None:
    if (status.st_uid, status.st_gid) != (uid, uid):
        os.fchown(descriptor, uid, uid)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, _DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _directories(root: Path, depth: int) -> Iterator[os.stat_result]:
    with os.scandir(root) as entries:
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                continue
            if depth == 1:
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    yield status
            else:
                yield from _directories(Path(entry.path), depth - 1)
