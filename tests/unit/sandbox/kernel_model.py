"""What the kernel does with a seccomp filter: classic BPF over the words of one syscall, for any machine's filter."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

ALLOW: Final = 0x7FFF_0000
EPERM: Final = 0x0005_0000 | 1
ENOSYS: Final = 0x0005_0000 | 38
KILL_PROCESS: Final = 0x8000_0000

# From <linux/audit.h>.
ARCHITECTURES: Final = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7, "i386": 0x4000_0003, "arm": 0x4000_0028}

_LOAD, _AND, _RETURN, _JUMP = 0x20, 0x54, 0x06, 0x05
_CONDITIONS: Final[dict[int, Callable[[int, int], bool]]] = {
    0x15: lambda word, value: word == value,
    0x25: lambda word, value: word > value,
    0x35: lambda word, value: word >= value,
    0x45: lambda word, value: bool(word & value),
}


def answer(program: bytes, architecture: str, number: int, *arguments: int) -> int:
    """Return what a filter says to a syscall.

    Raises:
        ValueError: The filter does something that this model does not know.
    """
    words = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("<IIQ6Q", number, ARCHITECTURES[architecture], 0, *(word % 2**64 for word in words))
    code = list(struct.iter_unpack("<HBBI", program))
    word = at = 0
    while True:
        operation, if_true, if_false, value = code[at]
        at += 1
        if operation == _LOAD:
            (word,) = struct.unpack_from("<I", data, value)
        elif operation == _AND:
            word &= value
        elif operation == _JUMP:
            at += value
        elif operation == _RETURN:
            return int(value)
        elif operation in _CONDITIONS:
            at += if_true if _CONDITIONS[operation](word, value) else if_false
        else:
            raise ValueError(f"operation {operation:#x} at {at - 1}")
