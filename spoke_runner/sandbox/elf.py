"""The loader that a 64-bit ELF file names, by which the kernel starts the program.

Invariants:
    * A file may be an app author's: a bounded part of it is read, and what is cut short or of another kind is an error.
"""

from __future__ import annotations

import struct
from typing import BinaryIO, Final

_IDENTITY: Final = b"\x7fELF\x02\x01"  # 64 bits, little-endian
_HEADER: Final = struct.Struct("<32xQ14xHH6x")  # e_phoff, e_phentsize, e_phnum
_PART: Final = struct.Struct("<I4xQ16xQ16x")  # p_type, p_offset, p_filesz
_PT_INTERP: Final = 3
_MAX_PARTS: Final = 64
_MAX_PATH_BYTES: Final = 4096


class NotElf(Exception):
    """The file is no 64-bit program."""


def loader_of(file: BinaryIO) -> str:
    """Return the loader's path, empty for a program that is linked statically.

    Raises:
        NotElf: It is no such file.
        OSError: It cannot be read.
    """
    file.seek(0)
    header = file.read(_HEADER.size)
    if not header.startswith(_IDENTITY):
        raise NotElf("it is no 64-bit program")
    try:
        offset, size, count = _HEADER.unpack(header)
        for number in range(min(count, _MAX_PARTS)):
            file.seek(offset + number * size)
            kind, place, length = _PART.unpack(file.read(_PART.size))
            if kind == _PT_INTERP:
                file.seek(place)
                return file.read(min(length, _MAX_PATH_BYTES)).split(b"\0")[0].decode(errors="replace")
    except (struct.error, OverflowError) as error:
        raise NotElf(f"its headers cannot be read: {error}") from error
    return ""
