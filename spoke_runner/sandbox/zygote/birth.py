"""The zygote at work: it forks when it is asked to, and each child enters the namespaces that it is given.

Three processes take part in a start. The zygote forks a first child; that one becomes the spoke's uid, when the zygote
is root, and enters all namespaces of the holder at once, by the pidfd that came with the request. The user namespace
lets it in because its uid made it. A pid namespace only takes children in, so it forks the second child, the spoke, and
ends; the zygote, as their subreaper, inherits the spoke and can say later how it ended.

Tried and rejected:
    * A parent-death signal for the spoke. Set before the first child has ended, it kills the spoke; set later, it names
      a zygote that as root has no right to signal another uid. The holder is the first process of the pid namespace,
      so with it the spoke dies whatever anybody may do, and the holder dies with the hub.
    * A pid namespace of the spoke's own, inside the holder's, for it to be pid 1 there: its `/proc` is the holder's.
    * Without the holder's pid namespace at all: no `/proc/self`.

Invariants:
    * Nothing but imports has happened in the zygote: one thread, no event loop, no channel, no server, no app.
    * Every module of the first stage and of the server is loaded before the first fork, so a spoke executes nothing
      between its fork and its seal that could be found elsewhere than at the zygote's own paths.
    * As root it keeps the capabilities to change the uid and no other, and never forks a spoke without a uid.
    * It ends when the hub closes the control socket or dies.
"""

from __future__ import annotations

import array
import asyncio
import ctypes
import fcntl
import gc
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any, Final

from spoke_runner.sandbox.inside.kernel import LIBC, PR_CAPBSET_READ, checked, prctl
from spoke_runner.sandbox.places import DATA_DIR
from spoke_runner.sdk import server

# Loaded to be there, not to be used: what a spoke would otherwise import at its start, each for itself.
LOADED: Final = (asyncio, server, Path)

PID: Final = 2
"""The pid of a spoke in its namespace, where the holder is 1."""

_DESCRIPTORS: Final = 4  # set-up, output, report socket, pidfd of the holder
_MAX_REQUEST_BYTES: Final = 4096
_ABOVE: Final = 16
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_CAPBSET_DROP: Final = 24
_M_ARENA_MAX: Final = -8
_CAPABILITY_VERSION_3: Final = 0x2008_0522
_CAP_SETGID: Final = 6
_CAP_SETUID: Final = 7
_HIGHEST_FD: Final = 2**31 - 1
_EVERY_NAMESPACE: Final = (
    0x1000_0000  # user
    | 0x0002_0000  # mount
    | 0x2000_0000  # pid
    | 0x4000_0000  # network
    | 0x0800_0000  # ipc
    | 0x0400_0000  # uts
    | 0x0200_0000  # cgroup
)


class NotAlone(Exception):
    """The zygote is not what it must be before it forks."""


def serve(control: socket.socket) -> None:
    """Answer the hub's requests. Returns in a spoke, where the first stage is next; the zygote ends here.

    Raises:
        NotAlone: Something happened in this process besides imports.
        OSError: The kernel refuses what it needs.
    """
    _settle_down(control)
    control.send(b'{"ready":true}')
    while True:
        request, descriptors = _receive(control)
        if request is None:
            os._exit(0)
        if "reap" in request:
            _, status = os.waitpid(int(request["reap"]), 0)
            answer: dict[str, Any] = {"status": status}
        else:
            answer = _fork(request.get("uid"), descriptors)
            if not answer:
                control.detach()  # closed already, and its number may soon be another's
                return
        control.send(json.dumps(answer).encode())


def _settle_down(control: socket.socket) -> None:
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    prctl(_PR_SET_CHILD_SUBREAPER, 1)
    prctl(_PR_SET_NO_NEW_PRIVS, 1)
    # Each arena is memory that a spoke dirties for itself.
    LIBC.mallopt(_M_ARENA_MAX, 2)
    _keep_capabilities({_CAP_SETGID, _CAP_SETUID} if os.geteuid() == 0 else set())
    check_alone(control.fileno())
    os.environ.clear()
    gc.collect()
    gc.freeze()


def check_alone(control_fd: int) -> None:
    """Make sure that there is nothing in this process for a fork to take along.

    Raises:
        NotAlone: There is.
    """
    threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208
    if threads != 1:
        raise NotAlone(f"there are {threads} threads in the zygote")
    listed = {int(name) for name in os.listdir("/proc/self/fd")}  # noqa: PTH208
    extra = sorted(number for number in listed - {0, 1, 2, control_fd} if _is_open(number))
    if extra:
        raise NotAlone(f"the zygote has inherited the descriptors {extra}")
    # Python itself sets this one, where it finds no locale.
    if extra_names := os.environ.keys() - {"LC_CTYPE"}:
        raise NotAlone(f"the zygote has inherited the variables {sorted(extra_names)}")
    if "hub" in sys.modules:
        raise NotAlone("the zygote has loaded the hub")


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False  # the one that listed the others
    return True


def _receive(control: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    numbers = array.array("i")
    data, ancillary, _, _ = control.recvmsg(_MAX_REQUEST_BYTES, socket.CMSG_SPACE(_DESCRIPTORS * numbers.itemsize))
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers.frombytes(content)
    return (json.loads(data) if data else None), list(numbers)


def _fork(uid: int | None, descriptors: list[int]) -> dict[str, Any]:
    """Return the spoke's pid, or what went wrong; in the spoke, return nothing."""
    told, tell = os.pipe()
    first = os.fork()
    if first == 0:
        try:
            os.close(told)
            _enter(uid, descriptors)
            spoke = os.fork()
            if spoke == 0:
                _become_a_spoke()
                return {}
            os.write(tell, str(spoke).encode())
        except BaseException as error:
            os.write(tell, f"{type(error).__name__}: {error}".encode())
        os._exit(0)
    for number in (tell, *descriptors):
        os.close(number)
    with open(told, "rb") as pipe:  # noqa: PTH123 - a descriptor
        said = pipe.read().decode(errors="replace")
    os.waitpid(first, 0)
    return {"pid": int(said)} if said.isdecimal() else {"error": said or "the first child ended without a word"}


def _enter(uid: int | None, descriptors: list[int]) -> None:
    if len(descriptors) != _DESCRIPTORS:
        raise ValueError(f"{len(descriptors)} descriptors came with the request, not {_DESCRIPTORS}")
    if os.geteuid() == 0:
        if uid is None or uid <= 0:
            raise ValueError("a spoke never runs as uid 0")
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    # Aside first, since one of them may have the number that another is to get.
    setup, output, report, holder = (fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _ABOVE) for number in descriptors)
    for number, place in ((setup, 0), (output, 1), (output, 2), (report, 3)):
        os.dup2(number, place)
    checked(LIBC.setns(holder, _EVERY_NAMESPACE))


def _become_a_spoke() -> None:
    # The pipe to the zygote closes with the rest, which tells it that the spoke is on its own.
    os.closerange(4, _HIGHEST_FD)
    os.setsid()
    os.chdir(DATA_DIR)
    # Entering a user namespace gives every capability in it.
    _keep_capabilities(set())


def _keep_capabilities(kept: set[int]) -> None:
    bounding = True
    for number in range(64):
        try:
            present = prctl(PR_CAPBSET_READ, number)
        except OSError:
            break  # past the last capability that this kernel knows
        if present and number not in kept and bounding:
            try:
                prctl(_PR_CAPBSET_DROP, number)
            except PermissionError:
                bounding = False  # an ordinary user's zygote: it has none, and no_new_privs lets it gain none
    words = sum(1 << number for number in kept)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    checked(LIBC.capset(header, (ctypes.c_uint32 * 6)(words, words, 0, 0, 0, 0)))
