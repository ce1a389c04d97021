"""Forbidden acts, tried by the sealed process itself before it may do anything else.

A wall that was asked for and is not there does not announce itself: a filter that was not loaded refuses nothing. So
each layer is tried by at least one act that only this layer refuses in this way.

Invariants:
    * No act does harm if it succeeds: the process is killed for it right after.
    * Every act runs, whatever the others answered.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import resource
import socket
from collections.abc import Callable, Iterator
from typing import Any, Final

from spoke_runner.sandbox.inside.kernel import LIBC, checked, syscall
from spoke_runner.sandbox.inside.landlock import NET_ABI
from spoke_runner.sandbox.inside.seal import REPORT_FD
from spoke_runner.sandbox.places import PROXY_HOST

DONE: Final = "done"
_CLEAN: Final = ("clean",)
_DONE: Final = (DONE,)
_EPERM: Final = ("EPERM",)
_CLONE_NEWUSER: Final = 0x1000_0000
_PTRACE_ATTACH: Final = 16
_NO_PID: Final = 2**22 - 1
_IO_URING_SETUP: Final = 425
_AF_VSOCK: Final = 40
_IPPROTO_MPTCP: Final = 262
_NO_PORT: Final = 1
_FDS_TO_LOOK_AT: Final = 256
_CLONE_NUMBERS: Final = {"x86_64": 56, "aarch64": 220}


def _read_outside() -> None:
    os.close(os.open("/etc/passwd", os.O_RDONLY))


def _read_ungranted() -> None:
    # Mounted and readable by everybody: only landlock refuses it.
    os.close(os.open("/proc/version", os.O_RDONLY))


def _list_root() -> None:
    os.scandir("/").close()


def _write_outside() -> None:
    os.close(os.open("/opt/canary", os.O_WRONLY | os.O_CREAT, 0o600))


def _socket(family: int, kind: int, protocol: int = 0) -> Callable[[], None]:
    def act() -> None:
        socket.socket(family, kind, protocol).close()

    return act


def _connect() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as end:
        end.connect("/run/spoke/canary")


def _connect_elsewhere() -> None:
    # Nobody listens there. Without landlock the answer is that of the empty namespace.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as end:
        end.connect((PROXY_HOST, _NO_PORT))


def _unshare() -> None:
    checked(LIBC.unshare(_CLONE_NEWUSER))


def _fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _execute() -> None:
    os.execv("/canary", ["/canary"])  # noqa: S606 - it is to fail, and no such program exists


def _execute_written() -> None:
    # What the spoke may write it may not execute, where it may execute something. An empty file is no program.
    path = "./.canary"  # in the data directory, where the first stage stands
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o700))
    try:
        os.execv(path, [path])  # noqa: S606 - it is to fail
    finally:
        os.unlink(path)  # noqa: PTH108 - pathlib would be the heaviest import before the seal


def _clone_into_namespace() -> None:
    # Where children may be made at all, this is what keeps them in.
    child = checked(LIBC.syscall(ctypes.c_long(_CLONE_NUMBERS[os.uname().machine]), ctypes.c_long(_CLONE_NEWUSER | 17)))
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _ptrace() -> None:
    # Nobody has this pid, so without a filter the answer is ESRCH. Asking to be traced would succeed, and stop us.
    checked(LIBC.ptrace(ctypes.c_long(_PTRACE_ATTACH), _NO_PID, None, None))


def _kill() -> None:
    os.kill(os.getpid(), 0)


def _mount() -> None:
    checked(LIBC.mount(b"none", b"/tmp", b"tmpfs", 0, None))


def _memfd() -> None:
    os.close(os.memfd_create("canary"))


def _shared_memory() -> None:
    mmap.mmap(-1, mmap.PAGESIZE).close()


def _io_uring() -> None:
    syscall(_IO_URING_SETUP, 1, ctypes.c_void_p(None))


def _raise_limit() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, resource.getrlimit(resource.RLIMIT_NOFILE))


def _name_other() -> None:
    # Nobody has this pid, so without a filter the answer is ESRCH.
    os.getpgid(_NO_PID)


def _change_mode() -> None:
    # landlock has no say in this, and there is nothing of this name.
    os.chmod("/canary", 0o700)  # noqa: PTH101 - pathlib would be the heaviest import before the seal


def _alone() -> str:
    # The first process, or the one behind a waiting holder, and started by nobody who can be seen from here.
    return f"pid {os.getpid()} of {os.getppid()}"


def _environment() -> str:
    return " ".join(f"{name}={value}" for name, value in sorted(os.environ.items())) or "clean"


def _descriptors() -> str:
    for number in range(REPORT_FD + 1, _FDS_TO_LOOK_AT):
        try:
            os.fstat(number)
        except OSError:
            continue
        return f"descriptor {number}"
    return "clean"


_ALONE: Final = "alone"
_ENVIRONMENT: Final = "environment"
_CONNECT_ELSEWHERE: Final = "connect_elsewhere"
_ACTS: Final[dict[str, tuple[tuple[str, ...], Callable[[], str | None]]]] = {
    "read_outside": (("ENOENT", "EACCES"), _read_outside),
    "read_ungranted": (("EACCES",), _read_ungranted),
    "list_root": (("EACCES",), _list_root),
    "write_outside": (("EACCES", "EROFS"), _write_outside),
    "socket_inet": (_EPERM, _socket(socket.AF_INET, socket.SOCK_STREAM)),
    "socket_vsock": (_EPERM, _socket(_AF_VSOCK, socket.SOCK_STREAM)),
    "socket_datagram": (_EPERM, _socket(socket.AF_UNIX, socket.SOCK_DGRAM)),
    "socket_multipath": (_EPERM, _socket(socket.AF_INET, socket.SOCK_STREAM, _IPPROTO_MPTCP)),
    "socket_inet_datagram": (_EPERM, _socket(socket.AF_INET, socket.SOCK_DGRAM)),
    "connect": (_EPERM, _connect),
    _CONNECT_ELSEWHERE: ((), _connect_elsewhere),  # what is expected depends on the kernel's landlock
    "new_namespace": (_EPERM, _unshare),
    "fork": (_EPERM, _fork),
    "execute": (_EPERM, _execute),
    "execute_written": (("EACCES",), _execute_written),
    "clone_into_namespace": (_EPERM, _clone_into_namespace),
    "ptrace": (_EPERM, _ptrace),
    "kill": (_EPERM, _kill),
    "mount": (_EPERM, _mount),
    "memfd": (_EPERM, _memfd),
    "shared_memory": (_EPERM, _shared_memory),
    "io_uring": (_EPERM, _io_uring),
    "raise_limit": (_EPERM, _raise_limit),
    "name_other_process": (_EPERM, _name_other),
    "change_mode": (_EPERM, _change_mode),
    _ALONE: ((), _alone),  # what is expected depends on the way of the start
    _ENVIRONMENT: (_CLEAN, _environment),
    "descriptors": (_CLEAN, _descriptors),
}

_ONLY_AT: Final = {_ALONE: "strict", "name_other_process": "no-userns", "change_mode": "no-userns"}
_ONLY_WITH: Final = {
    "socket_multipath": ("egress",),
    "socket_inet_datagram": ("egress",),
    _CONNECT_ELSEWHERE: ("egress",),
    "execute_written": ("programs", "command"),
    "clone_into_namespace": ("programs",),
}
# What a profile gives is tried too: a spoke that has less than its profile is not what it says either.
_GIVEN: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "egress": {"socket_inet": _DONE, "connect": ("ENOENT",)},
    "command": {"execute": ("ENOENT",)},
    "programs": {"fork": _DONE, "execute": ("ENOENT",), "kill": _DONE},
}


def names(level: str, *, proc: bool = True, profile: str = "plain") -> tuple[str, ...]:
    """Return the names of all acts that are tried at a level, in their order."""
    if level == "none":
        return ()
    # Without a /proc nothing is left that is shown and not granted, but for the root directory itself.
    left_out = set() if proc else {"read_ungranted"}
    left_out |= {name for name, parts in _ONLY_WITH.items() if not _parts(profile) & set(parts)}
    return tuple(name for name in _ACTS if _ONLY_AT.get(name, level) == level and name not in left_out)


def try_all(setup: dict[str, Any], *, landlock_abi: int, pid: int = 1) -> list[tuple[str, tuple[str, ...], str]]:
    """Try every act of a level; return its name, what should be answered, and what was.

    Args:
        setup: What the first stage was told.
        landlock_abi: The version of landlock that is in force.
        pid: The pid that this process should have where it has a pid namespace.
    """
    profile = setup["profile"]
    environment = " ".join(f"{name}={value}" for name, value in sorted(setup["environment"].items()))
    expected: dict[str, tuple[str, ...]] = {
        _ALONE: (f"pid {pid} of 0",),
        _CONNECT_ELSEWHERE: ("EACCES" if landlock_abi >= NET_ABI else "ECONNREFUSED",),
    }
    if environment:
        expected[_ENVIRONMENT] = (environment,)
    for part in _parts(profile):
        expected |= _GIVEN.get(part, {})
    return list(_try_each(names(setup["level"], proc=setup["proc"], profile=profile), expected))


def _parts(profile: str) -> frozenset[str]:
    return frozenset(profile.split("-"))


def _try_each(
    wanted: tuple[str, ...], otherwise: dict[str, tuple[str, ...]]
) -> Iterator[tuple[str, tuple[str, ...], str]]:
    for name in wanted:
        expected, act = _ACTS[name]
        expected = otherwise.get(name, expected)
        try:
            answer = act() or DONE
        except OSError as error:
            answer = errno.errorcode.get(error.errno or 0, str(error.errno))
        except ValueError as error:  # what `resource` makes of EPERM
            answer = "EPERM" if "not allowed" in str(error) else str(error)
        yield name, expected, answer
