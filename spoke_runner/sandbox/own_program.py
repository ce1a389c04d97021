"""The program of an app that is no Python module: which file it is, and what the kernel must execute for it.

The kernel executes up to three files for one command: the program; the interpreter, when the program begins with `#!`;
and the loader that an ELF file of either names. Landlock lets a spoke execute exactly these. Libraries are not among
them, because they are mapped and not executed.

Invariants:
    * The program is a regular file of the app's own directory, and so a part of the app's digest.
    * What it names beside itself is something that the sandbox shows anyway, or the start is refused.
    * The file is the app author's: nothing that it says is read beyond a bounded length, or taken for a path
      relative to anything.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from spoke_runner.sandbox.elf import NotElf, loader_of
from spoke_runner.sandbox.errors import SpokeStartFailed
from spoke_runner.sandbox.places import APP_DIR, STRICT
from spoke_runner.sandbox.spec import SandboxSpec

Command = tuple[str, ...]
"""A program below the app's directory, such as `./server`, and its arguments."""

_MAX_LINE_BYTES: Final = 256  # as much as the kernel reads of a `#!` line
_MAX_EXECUTED: Final = 3  # a script, its interpreter, the loader
_FOR_OTHERS: Final = stat.S_IXOTH


@dataclass(frozen=True, slots=True)
class OwnProgram:
    """What the first stage executes, by the paths of the inside.

    Attributes:
        words: The program and its arguments.
        executed: Every file that the kernel executes for it.
    """

    words: Command
    executed: tuple[str, ...]


def find_own_program(spec: SandboxSpec, command: Command) -> OwnProgram:
    """Return the program of a command.

    Raises:
        SpokeStartFailed: There is no such program, or the sandbox has nothing that runs it; says what mends it.
    """
    path = _below(spec, command[0])
    inside = str((APP_DIR if spec.level == STRICT else spec.app_dir) / path.relative_to(spec.app_dir))
    executed = [inside]
    try:
        while named := _named_by(path):
            if len(executed) == _MAX_EXECUTED:
                raise OSError("its interpreters are run by further interpreters")
            executed.append(named)
            path = _shown(spec, command[0], named)
    except OSError as error:
        raise SpokeStartFailed(f"{spec.app}: {command[0]} cannot be run as a program: {error}") from error
    return OwnProgram((inside, *command[1:]), tuple(executed))


def _below(spec: SandboxSpec, word: str) -> Path:
    parts = PurePosixPath(word).parts
    path = spec.app_dir.joinpath(*parts)
    if not word.startswith("./") or ".." in parts:
        raise SpokeStartFailed(f"{spec.app}: the program {word} is not of the form ./path in the app's directory")
    try:
        status = path.lstat()
        inside = path.resolve().is_relative_to(spec.app_dir)
    except OSError as error:
        raise SpokeStartFailed(f"{spec.app}: there is no program {path}: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode) or not inside:
        raise SpokeStartFailed(f"{spec.app}: {path} is not a regular file of the app")
    # As root the spoke has a uid that owns nothing of the app.
    if not status.st_mode & (_FOR_OTHERS if spec.uid is not None else stat.S_IXUSR | stat.S_IXGRP | _FOR_OTHERS):
        raise SpokeStartFailed(f"{spec.app}: {path} may not be executed: chmod a+x {path}")
    return path


def _named_by(path: Path) -> str:
    """Return the interpreter or the loader that a program names; nothing when it needs none."""
    with path.open("rb") as file:
        start = file.read(_MAX_LINE_BYTES)
        if start.startswith(b"#!"):
            return (start[2:].split(b"\n")[0].split() or [b"nothing"])[0].decode(errors="replace")
        try:
            return loader_of(file)
        except NotElf as error:
            raise OSError(f"it is neither a 64-bit ELF file nor a script that begins with #!: {error}") from error


def _shown(spec: SandboxSpec, word: str, named: str) -> Path:
    """Return the host's path of what a program names, if the sandbox shows it."""
    path = Path(named)
    for content, link in spec.python.links:
        if path.is_relative_to(link):  # a merged /usr
            path = Path(link).parent / content / path.relative_to(link)
    mounts = [mount for mount in spec.python.mounts if mount.source == mount.target]
    if path.is_absolute() and any(path.is_relative_to(mount.target) for mount in mounts):
        real = path.resolve(strict=True)
        if any(real.is_relative_to(mount.target) for mount in mounts):
            return real
    raise SpokeStartFailed(
        f"{spec.app}: {word} is run by {named}, which the sandbox does not show: put a program into the app's "
        "directory that is linked statically, or against the C library of this host alone"
    )
