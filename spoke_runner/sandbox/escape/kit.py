"""What hostile acts are made of: the register, the raw syscalls, and how an answer is read.

An act raises OSError when something stops it and returns when it came through. The same code runs inside a spoke and,
as the control, in a process without walls.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

World = dict[str, Any]
Deed = Callable[[World], object]

PLAIN: Final = ""
ROOT: Final = "needs root, and is asserted when root runs the suite"
DONE: Final = "done"
LIBC: Final = ctypes.CDLL(None, use_errno=True)

SYSCALLS: Final = {
    "x86_64": {
        "socket": 41,
        "clone": 56,
        "modify_ldt": 154,
        "syslog": 103,
        "mq_open": 240,
        "mq_unlink": 241,
        "add_key": 248,
        "keyctl": 250,
        "tkill": 200,
        "tgkill": 234,
        "io_setup": 206,
        "inotify_init1": 294,
        "rt_sigqueueinfo": 129,
        "perf_event_open": 298,
        "prlimit64": 302,
        "name_to_handle_at": 303,
        "setns": 308,
        "process_vm_readv": 310,
        "kcmp": 312,
        "finit_module": 313,
        "bpf": 321,
        "execveat": 322,
        "userfaultfd": 323,
        "fsopen": 430,
        "open_tree": 428,
        "clone3": 435,
        "pidfd_getfd": 438,
        "process_madvise": 440,
        "memfd_secret": 447,
    },
    "aarch64": {
        "socket": 198,
        "clone": 220,
        "syslog": 116,
        "mq_open": 180,
        "mq_unlink": 181,
        "add_key": 217,
        "keyctl": 219,
        "tkill": 130,
        "tgkill": 131,
        "io_setup": 0,
        "inotify_init1": 26,
        "rt_sigqueueinfo": 138,
        "perf_event_open": 241,
        "prlimit64": 261,
        "name_to_handle_at": 264,
        "setns": 268,
        "process_vm_readv": 270,
        "kcmp": 272,
        "finit_module": 273,
        "bpf": 280,
        "execveat": 281,
        "userfaultfd": 282,
        "fsopen": 430,
        "open_tree": 428,
        "clone3": 435,
        "pidfd_getfd": 438,
        "process_madvise": 440,
        "memfd_secret": 447,
    },
}


@dataclass(frozen=True, slots=True)
class Act:
    """One hostile act.

    Attributes:
        name: The function's name.
        deed: The function.
        control: Empty when the act comes through in any process without walls; else why there is no such control.
        ends_spoke: Being stopped is the end of the spoke, so it gets one of its own.
        bomb: It uses something up; the answer is what its limit says, and other walls have no part in it.
        open_at: The levels that do not stop it, which `docs/sandbox.md` names.
        given: What gives it to an app that asks for it in its manifest: `egress` or `programs`.
    """

    name: str
    deed: Deed
    control: str
    ends_spoke: bool
    bomb: bool
    open_at: tuple[str, ...]
    given: tuple[str, ...]

    def tried_with(self, profile: str) -> bool:
        """Return whether it is hostile in a spoke of a profile, and not what the profile is for."""
        return not set(self.given) & set(profile.split("-"))


ACTS: Final[dict[str, Act]] = {}


def act(
    *,
    control: str = PLAIN,
    ends_spoke: bool = False,
    bomb: bool = False,
    open_at: tuple[str, ...] = (),
    given: tuple[str, ...] = (),
    machine: str = "",
) -> Callable[[Deed], Deed]:
    """Register an act under its function's name; one that is only for some machine, on that one."""

    def register(deed: Deed) -> Deed:
        if machine in ("", platform.machine()):
            ACTS[deed.__name__] = Act(deed.__name__, deed, control, ends_spoke, bomb, open_at, given)
        return deed

    return register


def attempt(name: str, world: World) -> str:
    """Return `done`, or what stopped the act."""
    try:
        ACTS[name].deed(world)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error.errno))
    except (ImportError, MemoryError) as error:
        return type(error).__name__
    except RuntimeError as error:
        return "EAGAIN" if "start new thread" in str(error) else f"RuntimeError {error}"
    except ValueError as error:
        return "EPERM" if "not allowed" in str(error) else f"ValueError {error}"
    return DONE


def checked(result: int) -> int:
    """Return the result of a C call, or raise its errno."""
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def syscall(name: str | int, *arguments: Any) -> int:
    """Call the kernel; integers are passed in full width."""
    number = SYSCALLS[platform.machine()][name] if isinstance(name, str) else name
    wide = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return checked(LIBC.syscall(ctypes.c_long(number), *wide))


def read(path: str) -> bytes:
    """Return what a file holds."""
    return Path(path).read_bytes()
