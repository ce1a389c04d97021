"""Seal the process: descriptors, environment, limits, capabilities, no_new_privs, landlock, seccomp, in this order.

Each step needs what a later one takes away, so the order is the only one: limits cannot be set behind seccomp, a
filter cannot be loaded without privileges before no_new_privs, landlock's calls are not in the filter.

Invariants:
    * The process has one thread throughout, because landlock and seccomp bind only the thread that asks for them.
    * It ends sealed or it raises; nothing is skipped because it does not work.
"""

from __future__ import annotations

import ctypes
import os
import resource
from typing import Any, Final

from spoke_runner.sandbox.inside import landlock
from spoke_runner.sandbox.inside.kernel import (
    LIBC,
    PR_CAP_AMBIENT,
    PR_CAP_AMBIENT_CLEAR_ALL,
    PR_CAPBSET_READ,
    PR_SET_NO_NEW_PRIVS,
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
_CAPABILITY_VERSION_3: Final = 0x2008_0522


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def seal(setup: dict[str, Any]) -> int:
    """Put every layer in force; return the landlock ABI.

    Raises:
        LayerMissing: The kernel refuses a layer.
    """
    with open(setup["filter"], "rb") as file:  # noqa: PTH123 - pathlib would be the heaviest import before the seal
        program = file.read()
    _close_descriptors(setup)
    os.environ.clear()
    _limit(setup["limits"])
    _drop_capabilities()
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    threads = sum(1 for _ in os.scandir("/proc/self/task"))
    if threads != 1:
        raise LayerMissing("landlock", f"there are {threads} threads, and only one would be bound", "report this")
    abi = landlock.restrict(setup["grants"])
    _load_filter(program)
    return abi


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


def _drop_capabilities() -> None:
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    checked(LIBC.capset(header, (ctypes.c_uint32 * 6)()))
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


def _load_filter(program: bytes) -> None:
    buffer = ctypes.create_string_buffer(program, len(program))
    header = _Program(length=len(program) // 8, filter=ctypes.cast(buffer, ctypes.c_void_p))
    try:
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.cast(ctypes.pointer(header), ctypes.c_void_p))
    except OSError as error:
        raise LayerMissing(
            "seccomp", f"the kernel answers {error.strerror!r}", "boot a kernel with CONFIG_SECCOMP_FILTER"
        ) from error
