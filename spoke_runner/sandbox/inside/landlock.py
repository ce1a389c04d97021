"""Landlock: which files the process may touch at all, whatever the mounts show it.

Every right that the kernel's version knows is handled, so what is not granted below is refused: run a program that is
not listed, make a symbolic link, a device or a fifo (a hub that later walks the data must meet only files and
directories), use a device's ioctl, listen on TCP or connect to any port but the proxy's, signal or reach by an abstract
socket a process outside.

A right that a kernel's version cannot handle is granted without a word, so the floor is the version below which another
layer would be alone. At ABI 2 (kernel 5.19) those are: truncation (3), of files that are mounted read-only anyway; TCP
(4), which the seccomp filter and the empty network namespace refuse; ioctls of devices (5), of which there are four
harmless ones; signals and abstract sockets (6), which the pid and network namespaces end. The report names the version.
A spoke with egress may connect, so below ABI 4 it may connect to any port: of a network namespace with a loopback in it
and nothing else, where nobody listens but the hub's proxy and the spoke itself.

The right to execute is asked for by `execve`, and by nothing else: a granted loader will map any file that may be read
and run it. What runs so is behind the same landlock and the same filter as whoever started it.

Invariants:
    * Nothing is granted that the set-up does not name.
    * The rules bind the calling thread, so they are put in force while it is the only one.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any, Final

from spoke_runner.sandbox.inside.kernel import LayerMissing, syscall

MINIMUM_ABI: Final = 2
# Without a network namespace landlock is the second wall around TCP, and has to be there.
MINIMUM_ABI_WITHOUT_NAMESPACES: Final = 4
_COVERS: Final = {2: "renames", 4: "TCP, which no network namespace does here"}
_KERNELS: Final = {2: "5.19", 4: "6.7"}
_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_VERSION_FLAG: Final = 1
_PATH_BENEATH: Final = 1
_NET_PORT: Final = 2

_EXECUTE: Final = 1 << 0
_WRITE_FILE: Final = 1 << 1
_READ_FILE: Final = 1 << 2
_READ_DIR: Final = 1 << 3
_REMOVE_DIR: Final = 1 << 4
_REMOVE_FILE: Final = 1 << 5
_MAKE_DIR: Final = 1 << 7
_MAKE_REG: Final = 1 << 8
_MAKE_SOCK: Final = 1 << 9
_REFER: Final = 1 << 13
_TRUNCATE: Final = 1 << 14

_HANDLED_BITS: Final = {2: 14, 3: 15, 4: 15, 5: 16}  # the rights of files that each ABI knows
NET_ABI: Final = 4
_NET_BIND_AND_CONNECT_TCP: Final = 0b11
_NET_CONNECT_TCP: Final = 0b10
_SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS: Final = 0b11
_SCOPE_ABI: Final = 6

_GRANTS: Final = {
    "list": _READ_DIR,
    "read": _READ_FILE | _READ_DIR,
    "execute": _READ_FILE | _EXECUTE,
    "write": _READ_FILE
    | _READ_DIR
    | _WRITE_FILE
    | _TRUNCATE
    | _MAKE_REG
    | _MAKE_DIR
    | _REMOVE_FILE
    | _REMOVE_DIR
    | _REFER,
    "listen": _READ_DIR | _MAKE_SOCK | _REMOVE_FILE,
    "read_device": _READ_FILE,
    "write_device": _READ_FILE | _WRITE_FILE,
}
_FILE_RIGHTS: Final = _EXECUTE | _READ_FILE | _WRITE_FILE | _TRUNCATE


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


class _NetPort(ctypes.Structure):
    _fields_ = (("allowed", ctypes.c_uint64), ("port", ctypes.c_uint64))


def version(minimum: int = MINIMUM_ABI) -> int:
    """Return the kernel's landlock ABI.

    Raises:
        LayerMissing: There is none, or it is too old.
    """
    try:
        abi = syscall(_CREATE_RULESET, ctypes.c_void_p(None), 0, _VERSION_FLAG)
    except OSError as error:
        raise LayerMissing(
            "landlock",
            f"the kernel answers {error.strerror!r}",
            "boot a kernel of version 5.19 or newer with `landlock` in its `lsm=` parameter; "
            "in a container, use a seccomp profile that allows the landlock calls",
        ) from error
    if abi < minimum:
        raise LayerMissing(
            "landlock",
            f"the kernel has ABI {abi}, and {minimum} is the least that covers {_COVERS[minimum]}",
            f"boot a kernel of version {_KERNELS[minimum]} or newer",
        )
    return abi


def restrict(grants: dict[str, list[str]], *, minimum: int = MINIMUM_ABI, port: int | None = None) -> int:
    """Grant the given paths, refuse everything else, for good; return the ABI that was used.

    Args:
        grants: Paths by kind: list, read, execute, write, listen, read_device, write_device.
        minimum: The least ABI that will do.
        port: The one port that may be connected to by TCP.

    Raises:
        LayerMissing: The kernel has no landlock, or one that is too old.
        OSError: A path that is to be granted does not exist.
    """
    abi = version(minimum)
    attributes, size = _ruleset_of(abi)
    ruleset = syscall(_CREATE_RULESET, _pointer(attributes), size, 0)
    try:
        for kind, paths in grants.items():
            for path in paths:
                _grant(ruleset, path, _GRANTS[kind] & attributes.fs)
        if port is not None and abi >= NET_ABI:
            rule = _NetPort(allowed=_NET_CONNECT_TCP, port=port)
            syscall(_ADD_RULE, ruleset, _NET_PORT, _pointer(rule), 0)
        syscall(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return abi


def _ruleset_of(abi: int) -> tuple[_Ruleset, int]:
    """Return what an ABI can handle, and how much of the structure it knows."""
    handled = (1 << _HANDLED_BITS[min(abi, max(_HANDLED_BITS))]) - 1
    if abi < NET_ABI:
        return _Ruleset(fs=handled, net=0, scoped=0), _Ruleset.net.offset
    if abi < _SCOPE_ABI:
        return _Ruleset(fs=handled, net=_NET_BIND_AND_CONNECT_TCP, scoped=0), _Ruleset.scoped.offset
    whole = _Ruleset(fs=handled, net=_NET_BIND_AND_CONNECT_TCP, scoped=_SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS)
    return whole, ctypes.sizeof(whole)


def _grant(ruleset: int, path: str, rights: int) -> None:
    parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not os.path.isdir(path):  # noqa: PTH112 - pathlib would be the heaviest import before the seal
            rights &= _FILE_RIGHTS
        rule = _PathBeneath(allowed=rights, parent=parent)
        syscall(_ADD_RULE, ruleset, _PATH_BENEATH, _pointer(rule), 0)
    finally:
        os.close(parent)


def _pointer(structure: Any) -> ctypes.c_void_p:
    return ctypes.cast(ctypes.pointer(structure), ctypes.c_void_p)
