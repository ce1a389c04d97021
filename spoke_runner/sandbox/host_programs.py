"""The host's programs that an app may execute, and what the kernel needs to start one of them.

A program is seen inside at its own path, by its own right: the file itself is bound there, so a link of the host's
(`/bin/sh`) shows what it leads to. With it goes the loader that its header names; the shared libraries are those that
every spoke sees. Programs that keep more than that beside them (Perl, git) do not find it.

Invariants:
    * Only root can have written what is executed, or replaced it: the file and every directory above it are root's, and
      nobody else may write there.
    * Nothing is executed that would change the uid, and no script without its interpreter being listed, too.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spoke_runner.sandbox.elf import NotElf, loader_of
from spoke_runner.sandbox.errors import SandboxUnavailable

MAX_PROGRAMS: Final = 16

# Where a program cannot be: what a spoke can write to, and what has its own meaning inside.
_TAKEN: Final = ("/app", "/data", "/dev", "/opt/spokegate", "/proc", "/run", "/sys", "/tmp")  # noqa: S108
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_SPECIAL: Final = stat.S_ISUID | stat.S_ISGID


@dataclass(frozen=True, slots=True)
class HostProgram:
    """A program of the host that an app may execute.

    Attributes:
        path: Where the app finds it.
        source: The file itself, behind any links.
        loader: What the kernel starts it by; None for one that is linked statically.
    """

    path: Path
    source: Path
    loader: Path | None


def problem_with_path(path: str) -> str:
    """Return what is wrong with a program's path, on any host; nothing when it is well."""
    if not path.startswith("/") or path != os.path.normpath(path) or path.startswith("//") or "\0" in path:
        return "write the whole path, from / on and without `..`"
    if any(path == taken or path.startswith(taken + "/") for taken in _TAKEN):
        return f"a program of the host is not below {', '.join(_TAKEN)}"
    return ""


def find_host_programs(paths: Iterable[str | Path]) -> tuple[HostProgram, ...]:
    """Return the programs at some paths of this host.

    Raises:
        SandboxUnavailable: One is not there, or is not to be trusted; says which, why, and the mend.
    """
    return tuple(_program(Path(path)) for path in paths)


def _program(path: Path) -> HostProgram:
    if why := problem_with_path(os.fspath(path)):
        raise _refused(path, f"it cannot be a program's path: {why}", "correct `programs` in the manifest")
    try:
        source = path.resolve(strict=True)
        status = source.stat()
    except (OSError, RuntimeError) as error:
        raise _refused(path, f"it cannot be found: {error}", "install it, or remove it from the manifest") from error
    if not stat.S_ISREG(status.st_mode):
        raise _refused(path, "it is no regular file", "name a program")
    if status.st_mode & _SPECIAL:
        raise _refused(path, "it changes the uid or the gid of who executes it", "name another program")
    for owned in (source, *source.parents, *path.parents):
        found = owned.stat()
        # In a sticky directory nobody can replace what is another's.
        shared = found.st_mode & _OTHERS_WRITE and not (owned.is_dir() and found.st_mode & stat.S_ISVTX)
        if found.st_uid != 0 or shared:
            raise _refused(path, f"others than root can change {owned}", f"chown root {owned}; chmod go-w {owned}")
    if not status.st_mode & stat.S_IXOTH or not status.st_mode & stat.S_IROTH:
        raise _refused(path, "not everybody may read and execute it", f"chmod o+rx {source}")
    return HostProgram(path=path, source=source, loader=_loader(path, source))


def _loader(path: Path, source: Path) -> Path | None:
    with source.open("rb") as file:
        try:
            loader = loader_of(file)
        except NotElf as error:
            raise _refused(
                path, str(error), "name the program that interprets it, and give it the script as data"
            ) from error
    return Path(loader) if loader else None


def _refused(path: Path, why: str, mend: str) -> SandboxUnavailable:
    return SandboxUnavailable("programs", f"{path}: {why}", mend)
