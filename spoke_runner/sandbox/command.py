"""The whole command of a spoke: limits that must precede an exec, the change of uid, the view of the files, bubblewrap.

As an ordinary user::

    prlimit … bwrap …

As root::

    prlimit … [bwrap, as root, only to make a view of the files …] setpriv … bwrap …

Below the level `strict` the inner bubblewrap is missing, and its place is taken by the interpreter itself.

The stack limit is set before the exec because the C library takes the size of every thread's stack from it, once, when
it starts. Root must not run the inner bubblewrap: with it the process inside keeps host uid 0, for which bubblewrap
leaves `/proc/sys` writable.

The view is needed when the spoke's uid cannot walk to a directory that it is to see, for example because the project
lies below `/root`. Opening those parents for everybody would be wrong; copying would be slow. So a first bubblewrap,
which takes nothing away but adds a mount namespace, covers the topmost closed directory with an empty one and puts
back into it what this spoke is given, and nothing else. Its pid namespace is what makes the spoke die with it: it has
dropped its capabilities, so as root it may not signal a process of another uid, and the parent-death signal that the
inner bubblewrap asked for would be refused. When the first process of a pid namespace dies, nobody has to be allowed to
kill the rest.

Invariants:
    * The inner command line is the same pure function of the spec, whoever runs it.
    * As root, nothing that reads a file of the spoke runs before the uid has changed.
    * Every bubblewrap in the chain dies with its parent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spoke_runner.sandbox import bwrap, direct
from spoke_runner.sandbox.places import STRICT
from spoke_runner.sandbox.spec import Limits, SandboxSpec

_RIGHTS: Final = {"r": 4, "x": 1}


@dataclass(frozen=True, slots=True)
class Tools:
    """The paths of the programs that build a sandbox."""

    bwrap: str | None
    prlimit: str
    setpriv: str
    cat: str


def argv(spec: SandboxSpec, *, tools: Tools, covers: tuple[Path, ...] = (), warm: bool = False) -> tuple[str, ...]:
    """Return the whole command that starts a spoke, or what holds the namespaces for one.

    Args:
        spec: What the spoke is given; its uid decides between the two forms.
        tools: Where the programs are.
        covers: As root, the directories that the spoke's uid cannot enter, from `closed_directories`.
        warm: Whether the command only holds namespaces, which a process of the zygote enters.
    """
    line = limited(spec.limits, tools)
    if spec.uid is not None:
        line += _view(spec, _needed(tools.bwrap), covers) if covers else []
        line += [tools.setpriv, "--reuid", str(spec.uid), "--regid", str(spec.uid), "--clear-groups"]
        line += ["--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all", "--no-new-privs", "--"]
    if spec.level != STRICT:
        return (*line, *direct.argv(spec))
    return (*line, *bwrap.argv(spec, program=_needed(tools.bwrap), holder=tools.cat if warm else None))


def limited(limits: Limits, tools: Tools) -> list[str]:
    """Return the words that set the limits which a program reads when it is executed."""
    stack, core = limits.stack_bytes, limits.core_bytes
    return [tools.prlimit, f"--stack={stack}:{stack}", f"--core={core}:{core}", "--"]


def sources(spec: SandboxSpec) -> dict[Path, bool]:
    """Return every host path that a spoke is given, and whether it may write there."""
    found = {mount.source: False for mount in (*spec.python.mounts, *spec.shown)}
    found[spec.app_dir] = False
    found[spec.data_dir] = True
    found[spec.socket_dir] = True
    return found


def closed_directories(paths: Iterable[Path], uid: int) -> tuple[Path, ...]:
    """Return the topmost directories above the paths that the uid, with the gid of the same number, cannot enter.

    Access control lists are not read: who opens a directory to a spoke by one gets a view nevertheless.
    """
    closed: set[Path] = set()
    for path in paths:
        for directory in reversed(path.parents):
            if not _enters(directory, uid):
                closed.add(directory)
                break
    return tuple(sorted(closed))


def unreadable(paths: Iterable[Path], uid: int) -> tuple[Path, ...]:
    """Return the paths that the uid cannot read, which no view can mend: a view shows files with their own rights."""
    return tuple(sorted(path for path in paths if not _may(path, uid, "r" if path.is_file() else "rx")))


def _enters(directory: Path, uid: int) -> bool:
    return _may(directory, uid, "x")


def _may(path: Path, uid: int, rights: str) -> bool:
    status = path.stat()
    shift = 6 if status.st_uid == uid else 3 if status.st_gid == uid else 0
    return all(status.st_mode >> shift & _RIGHTS[right] for right in rights)


def _needed(program: str | None) -> str:
    if program is None:
        raise ValueError("this command needs bubblewrap")
    return program


def _view(spec: SandboxSpec, program: str, covers: tuple[Path, ...]) -> list[str]:
    line = [program, "--die-with-parent", "--unshare-pid", "--dev-bind", "/", "/"]
    for cover in covers:
        line += ["--tmpfs", str(cover)]
    given = sources(spec)
    made: set[Path] = set()
    # Parents sort before what lies in them, so a directory never hides one that was put back already.
    for path in sorted(path for path in given if any(cover in path.parents for cover in covers)):
        for parent in reversed(path.parents):
            # By itself bubblewrap makes the parents of a mount for its own uid only.
            inside = any(cover in parent.parents for cover in covers)
            if inside and parent not in made and not given.keys() & {parent, *parent.parents}:
                line += ["--dir", str(parent)]
                made.add(parent)
        line += ["--bind" if given[path] else "--ro-bind", str(path), str(path)]
    return [*line, "--"]
