"""cgroup v2, where the hub's own cgroup is delegated to it: one child for each spoke, with its memory and processes.

Real means: memory and pids are there to be handed on, and the directory may be written. That is so for root on a host
with cgroup v2 alone, in a systemd unit with `Delegate=yes`, or under `systemd-run --user --scope -p Delegate=yes`. A
cgroup that hands controllers on may hold no processes itself, so the hub moves itself, with its children, to a leaf
beside those of the spokes, and back at its end.

The limits are a second net: rlimits stop an app and let it go on, a cgroup ends it. So they are a little wider, by what
is around the app. Whatever a spoke's chain starts is in its cgroup from the start: the command begins with a shell that
moves itself there; and a fork of the zygote, which clones without us, is moved before it is sent its set-up.

Tried and rejected:
    * Moving the first process of a chain after its start: what it has forked by then stays outside.
    * `CLONE_INTO_CGROUP`: Python has no way to it.
    * Moving other people's processes out of the way: whoever started them put them there.

Invariants:
    * The layer is said to be in force only when it was read back: the process's cgroup, and every value.
    * What cannot be had is absent with a reason and a mend, and nothing of the attempt is left.
    * A directory carries the pid and the start time of its hub, so whose hub is gone can be told, and is removed.
"""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from spoke_runner.sandbox.errors import SandboxUnavailable
from spoke_runner.sandbox.report import Layer
from spoke_runner.sandbox.spec import Delegation, Limits

_NEEDED: Final = ("memory", "pids")
_NAME: Final = re.compile(r"(?:spoke|hub)-(\d+)-(\d+)(?:-\d+)?")
_BESIDE_BYTES: Final = 64 << 20  # the interpreter's own pages, the holder, sockets, and what the kernel keeps for them
_BESIDE_PROCESSES: Final = 8  # bubblewrap, twice as root, and the holder
_REMOVE_SECONDS: Final = 2.0
_UNIFIED: Final = "boot with systemd.unified_cgroup_hierarchy=1"
_SCOPE: Final = (
    "start the hub as `systemd-run --user --scope -p Delegate=yes spokegate up`, or by a unit with Delegate=yes"
)
_numbers = itertools.count(1)


class _Absent(Exception):
    def __init__(self, why: str, mend: str) -> None:
        super().__init__(why)
        self.delegation = Delegation(None, why=why, mend=mend)


@contextmanager
def delegated() -> Iterator[Delegation]:
    """Take the hub's own cgroup over while the context is open, if it is delegated; say why not if it is not."""
    try:
        path, seen_as = _own()
        _check(path)
        clear_leftovers(path)
        leaf, enabled = _hand_on(path)
    except _Absent as absent:
        yield absent.delegation
        return
    except OSError as error:
        yield Delegation(None, why=f"the hub's cgroup cannot be divided: {error}", mend=_SCOPE)
        return
    try:
        yield Delegation(path, seen_as)
    finally:
        for group in path.glob(f"spoke-{_identity()}-*"):
            _remove(group)
        _take_back(path, leaf, enabled)


def layer_of(delegation: Delegation) -> Layer:
    """Return the layer as it is for a spoke without a cgroup of its own."""
    return Layer("cgroup", False, f"absent: {delegation.why}", delegation.mend, required=False)


class Group:
    """The cgroup of one spoke; made by `make`.

    Attributes:
        path: Its directory.
        values: What was written to its files.
    """

    def __init__(self, path: Path, seen_as: str, values: dict[str, str]) -> None:
        self.path = path
        self.values = values
        self._seen_as = seen_as

    @property
    def layer(self) -> Layer:
        """The layer, once `breaches` has found none."""
        text = ", ".join(f"{name}={value}" for name, value in self.values.items())
        return Layer("cgroup", True, text, required=False)

    def entered(self, line: tuple[str, ...]) -> tuple[str, ...]:
        """Return a command that begins in the cgroup."""
        return ("/bin/sh", "-c", 'echo 0 >"$0" && exec "$@"', str(self.path / "cgroup.procs"), *line)

    def add(self, pid: int) -> None:
        """Move a process, all of its threads, into the cgroup.

        Raises:
            OSError: It is gone, or the kernel refuses.
        """
        (self.path / "cgroup.procs").write_text(str(pid))

    def breaches(self, pid: int) -> tuple[str, ...]:
        """Return what is not as it should be, for a process that should be in the cgroup."""
        try:
            found = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
            lines = [] if f"0::{self._seen_as}" in found else [f"process {pid} is not in the cgroup {self._seen_as}"]
            read = {name: (self.path / name).read_text().strip() for name in self.values}
        except OSError as error:
            return (f"the cgroup cannot be read back: {error}",)
        wrong = [name for name, value in self.values.items() if read[name] != value]
        return (*lines, *(f"{name} of the cgroup is {read[name]}, not {self.values[name]}" for name in wrong))

    def remove(self) -> None:
        """Kill what is left in it, and remove it. May be called more than once.

        Raises:
            OSError: It cannot be removed.
        """
        _remove(self.path)


def make(delegation: Delegation, limits: Limits) -> Group | None:
    """Make the cgroup of a spoke; None where there is no delegation.

    Raises:
        SandboxUnavailable: There is one, and the kernel refuses.
    """
    if delegation.path is None:
        return None
    path = delegation.path / f"spoke-{_identity()}-{next(_numbers)}"
    memory = limits.memory_bytes + limits.temporary_bytes + _BESIDE_BYTES
    page = os.sysconf("SC_PAGE_SIZE")
    values = {
        "memory.max": str(-(-memory // page) * page),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "pids.max": str(limits.processes + _BESIDE_PROCESSES),
    }
    try:
        path.mkdir()
        if not (path / "memory.swap.max").exists() and not _swaps():
            del values["memory.swap.max"]
        for name, value in values.items():
            (path / name).write_text(value)
    except OSError as error:
        with suppress(OSError):
            _remove(path)
        raise SandboxUnavailable("cgroup", f"{path} cannot be set up: {error}", "restart the hub") from error
    return Group(path, f"{delegation.seen_as.rstrip('/')}/{path.name}", values)


def clear_leftovers(path: Path) -> None:
    """Remove what hubs left that were killed; those that live keep theirs."""
    for group in path.iterdir():
        named = _NAME.fullmatch(group.name)
        if named and _start_time(int(named[1])) != named[2]:
            if group.name.startswith("spoke-"):
                _remove(group)
            else:
                with suppress(OSError):  # it may hold what is not ours to kill
                    group.rmdir()


def _own() -> tuple[Path, str]:
    seen_as = next(
        (line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")), None
    )
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if seen_as is not None and after.split()[0] == "cgroup2":
            root, mount = before.split()[3:5]
            below = seen_as.removeprefix(root.rstrip("/"))
            if (below.startswith("/") or not below) and ".." not in below:
                return Path(mount + below), seen_as
    raise _Absent("no cgroup v2 that shows the hub's own is mounted", _UNIFIED)


def _check(path: Path) -> None:
    there = (path / "cgroup.controllers").read_text().split()
    if missing := [name for name in _NEEDED if name not in there]:
        whole = path if _is_root(path) else None
        why = f"{path} has no controllers {' and '.join(missing)}" + (": cgroup v1 has them" if whole else "")
        raise _Absent(why, _UNIFIED if whole else _SCOPE)
    for name in ("", "cgroup.procs", "cgroup.subtree_control"):
        if not os.access(path / name, os.W_OK):
            raise _Absent(f"{path / name} may not be written by uid {os.geteuid()}: it is not delegated", _SCOPE)


def _hand_on(path: Path) -> tuple[Path | None, str]:
    """Make room for children with limits; return the leaf that the hub moved to, if it had to, and what to undo."""
    leaf = None
    enabled = set((path / "cgroup.subtree_control").read_text().split())
    more = " ".join(f"+{name}" for name in _NEEDED if name not in enabled)
    try:
        if not _is_root(path):
            inside = _processes(path)
            if strangers := sorted(set(inside) - _family(inside)):
                raise _Absent(f"{path} holds other processes than the hub's: {strangers[:5]}", _SCOPE)
            leaf = path / f"hub-{_identity()}"
            leaf.mkdir()
            for pid in inside:
                with suppress(ProcessLookupError):
                    (leaf / "cgroup.procs").write_text(str(pid))
        if more:
            (path / "cgroup.subtree_control").write_text(more)
    except OSError:
        _take_back(path, leaf, "")
        raise
    return leaf, more


def _take_back(path: Path, leaf: Path | None, enabled: str) -> None:
    with suppress(OSError):  # another hub's spokes may still need them
        if enabled:
            (path / "cgroup.subtree_control").write_text(enabled.replace("+", "-"))
    if leaf is not None:
        with suppress(OSError):
            for pid in _processes(leaf):
                (path / "cgroup.procs").write_text(str(pid))
            leaf.rmdir()


def _remove(group: Path) -> None:
    end = time.monotonic() + _REMOVE_SECONDS
    while True:
        try:
            (group / "cgroup.kill").write_text("1")
            group.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.005)


def _processes(path: Path) -> list[int]:
    return [int(line) for line in (path / "cgroup.procs").read_text().split()]


def _family(pids: list[int]) -> set[int]:
    """Return those of the processes that are this one, or descend from it."""
    found = {os.getpid()}
    parents = {pid: int(fields[1]) for pid in pids if (fields := _stat(pid))}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def _is_root(path: Path) -> bool:
    return not (path / "cgroup.type").exists()


def _identity() -> str:
    return f"{os.getpid()}-{_start_time(os.getpid())}"


def _start_time(pid: int) -> str:
    fields = _stat(pid)
    return fields[19] if fields else ""


def _stat(pid: int) -> list[str]:
    """Return the fields of `/proc/PID/stat` behind the name; none when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _swaps() -> bool:
    try:
        return len(Path("/proc/swaps").read_text().splitlines()) > 1
    except FileNotFoundError:
        return False
