"""The few kernel calls that Python has no name for."""

from __future__ import annotations

import ctypes
import os
from typing import Final

LIBC: Final = ctypes.CDLL(None, use_errno=True)

PR_CAPBSET_READ: Final = 23
PR_SET_PDEATHSIG: Final = 1
PR_SET_SECCOMP: Final = 22
PR_SET_NO_NEW_PRIVS: Final = 38
PR_CAP_AMBIENT: Final = 47
PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
SECCOMP_MODE_FILTER: Final = 2


class LayerMissing(Exception):
    """The kernel refuses a layer.

    Args:
        layer: Its name, as `preflight` has it.
        why: What was tried and what the kernel answered.
        mend: What a person can do about it.
    """

    def __init__(self, layer: str, why: str, mend: str) -> None:
        super().__init__(f"{layer}: {why}")
        self.layer = layer
        self.why = why
        self.mend = mend


def prctl(option: int, *arguments: int | ctypes.Array[ctypes.c_char] | ctypes.c_void_p) -> int:
    """Set or get a fact of this process; every argument is passed in full width, as the kernel reads it.

    Raises:
        OSError: The kernel refuses.
    """
    wide = [ctypes.c_ulong(value) if isinstance(value, int) else value for value in arguments]
    wide += [ctypes.c_ulong(0)] * (4 - len(wide))
    return checked(LIBC.prctl(ctypes.c_int(option), *wide))


def syscall(number: int, *arguments: int | ctypes.c_void_p) -> int:
    """Call a syscall by its number.

    Raises:
        OSError: The kernel refuses.
    """
    wide = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return checked(LIBC.syscall(ctypes.c_long(number), *wide))


def checked(result: int) -> int:
    """Return the result of a C call, or raise its errno.

    Raises:
        OSError: The result is -1.
    """
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
