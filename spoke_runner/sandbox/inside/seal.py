"""Seal the process: descriptors, environment, listener, limits, capabilities, no_new_privs, landlock, seccomp.

They come in this order. Each step needs what a later one takes away, so the order is the only one: limits cannot be
set behind seccomp, a filter cannot be loaded without privileges before no_new_privs, landlock's calls are not in the
filter.

Invariants:
    * The process has one thread throughout, because landlock and seccomp bind only the thread that asks for them.
    * It ends sealed or it raises; nothing is skipped because it does not work.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import struct
from typing import Any, Final

from spoke_runner.sandbox.inside import landlock, listener
from spoke_runner.sandbox.inside.kernel import (
    LIBC,
    PR_CAP_AMBIENT,
    PR_CAP_AMBIENT_CLEAR_ALL,
    PR_CAPBSET_READ,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    PR_SET_SECCOMP,
    SECCOMP_MODE_FILTER,
    LayerMissing,
    checked,
    prctl,
)

REPORT_FD: Final = 3
_HIGHEST_FD: Final = 2**31 - 1
_LIMITS: Final = {
    "memory_bytes": resource.RLIMIT_DATA,
    "file_bytes": resource.RLIMIT_FSIZE,
    "open_files": resource.RLIMIT_NOFILE,
    "processes": resource.RLIMIT_NPROC,
}
_NOTHING_OF: Final = (resource.RLIMIT_CORE, resource.RLIMIT_MEMLOCK, resource.RLIMIT_MSGQUEUE)
_CLONE_THREAD: Final = 0x0001_0000
# By the position of the argument that names a process: prlimit64, tgkill, getpgid, getsid, sched_getaffinity,
# sched_getparam, sched_getscheduler; getpriority.
_NAMING_CALLS: Final = {
    "x86_64": {0: (302, 234, 121, 124, 204, 143, 145), 1: (140,)},
    "aarch64": {0: (261, 131, 155, 156, 123, 121, 120), 1: (141,)},
}
_CAPABILITY_VERSION_3: Final = 0x2008_0522


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def arrive(setup: dict[str, Any]) -> None:
    """Take what is no wall: the report descriptor alone, the environment, the directory, the hub's end as one's own."""
    _close_descriptors(setup)
    os.environ.clear()
    os.environ.update(setup["environment"])
    if setup["level"] != "strict":
        # bubblewrap does both of these; a hub that is gone before is noticed by the go that does not come.
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.chdir(setup["data_dir"])


def seal(setup: dict[str, Any]) -> int:
    """Put every layer of a level in force; return the landlock ABI.

    Raises:
        LayerMissing: The kernel refuses a layer.
    """
    with open(setup["filter"], "rb") as file:  # noqa: PTH123 - pathlib would be the heaviest import before the seal
        program = file.read()
    arrive(setup)
    strict = setup["level"] == "strict"
    if setup["port"] is not None:
        listener.hand_over(REPORT_FD, setup["port"])
    _limit(setup["limits"])
    _drop_capabilities(bounding=strict or setup["own_uid"])
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    _check_one_thread(setup["proc"])
    minimum = landlock.MINIMUM_ABI if strict else landlock.MINIMUM_ABI_WITHOUT_NAMESPACES
    abi = landlock.restrict(setup["grants"], minimum=minimum, port=setup["port"])
    if not strict:
        load_filter(own_process_only(os.getpid(), os.uname().machine))
    load_filter(program)
    return abi


def own_process_only(pid: int, machine: str) -> bytes:
    """Return a filter that refuses calls which name another process, where no pid namespace ends what can be named.

    The shipped filter cannot hold it, because it compares with a pid. It only takes away: it runs beside that filter,
    and the kernel obeys the stricter answer.
    """
    load, equal, answer = 0x20, 0x15, 0x06
    allow, refuse = 0x7FFF_0000, 0x0005_0000 | errno.EPERM
    code = [(load, 0, 0, 0)]
    for position, calls in _NAMING_CALLS[machine].items():
        for number in calls:
            # Of the argument the kernel reads the lower half only. Zero is the caller itself.
            check = [(load, 0, 0, 16 + 8 * position), (equal, 2, 0, 0), (equal, 1, 0, pid)]
            check += [(answer, 0, 0, refuse), (answer, 0, 0, allow)]
            code += [(equal, 0, len(check), number), *check]
    code.append((answer, 0, 0, allow))
    return b"".join(struct.pack("HBBI", *instruction) for instruction in code)


def _check_one_thread(proc: bool) -> None:
    if proc:  # noqa: SIM108 - the comment belongs to one side
        alone = sum(1 for _ in os.scandir("/proc/self/task")) == 1
    else:
        # A process with more than one thread may not ask for this, and for another it does nothing.
        alone = LIBC.unshare(_CLONE_THREAD) == 0
    if not alone:
        raise LayerMissing("landlock", "there are several threads, and only one would be bound", "report this")


def _close_descriptors(setup: dict[str, Any]) -> None:
    if setup["report_fd"] != REPORT_FD:
        os.dup2(setup["report_fd"], REPORT_FD)
    os.closerange(REPORT_FD + 1, _HIGHEST_FD)
    setup["report_fd"] = REPORT_FD


def _limit(limits: dict[str, int]) -> None:
    for name, number in _LIMITS.items():
        resource.setrlimit(number, (limits[name], limits[name]))
    for number in _NOTHING_OF:
        resource.setrlimit(number, (0, 0))


def _drop_capabilities(*, bounding: bool) -> None:
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    checked(LIBC.capset(header, (ctypes.c_uint32 * 6)()))
    if not bounding:
        return  # only who has privileges can drop it, and behind no_new_privs nobody gains from it
    for capability in range(64):
        try:
            kept = prctl(PR_CAPBSET_READ, capability)
        except OSError:
            return  # past the last capability that this kernel knows
        if kept:
            raise LayerMissing(
                "capabilities",
                f"capability {capability} is in the bounding set",
                "update bubblewrap: it should drop it",
            )


def load_filter(program: bytes) -> None:
    """Bind the process to a seccomp filter, for good.

    Raises:
        LayerMissing: The kernel has no such thing.
    """
    buffer = ctypes.create_string_buffer(program, len(program))
    header = _Program(length=len(program) // 8, filter=ctypes.cast(buffer, ctypes.c_void_p))
    try:
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.cast(ctypes.pointer(header), ctypes.c_void_p))
    except OSError as error:
        raise LayerMissing(
            "seccomp", f"the kernel answers {error.strerror!r}", "boot a kernel with CONFIG_SECCOMP_FILTER"
        ) from error
