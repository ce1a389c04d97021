"""What a spoke is given, as frozen data.

Invariants:
    * A spec never asks for uid 0.
    * Every path is absolute, so a spec means the same wherever it is used.
    * The host path of the spoke's socket fits into a `sockaddr_un`.
    * A spec asks for `strict` unless another level is named.
    * Nothing that a spoke can write to is ever one of its programs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from spoke_runner.sandbox.host_programs import MAX_PROGRAMS, HostProgram, problem_with_path
from spoke_runner.sandbox.places import NO_USERNS, SOCKET_NAME, STRICT, Level
from spoke_runner.sandbox.runtime import Mount, PythonRuntime, discover_python, find_certificates

MAX_SOCKET_PATH_BYTES: Final = 107

_MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What one spoke may use.

    Attributes:
        memory_bytes: Private writable memory (RLIMIT_DATA); of a spoke with programs, of all its processes together,
            which the launcher looks at, and of each of them.
        file_bytes: The size of any one file (RLIMIT_FSIZE).
        data_bytes: All files of the data directory together, beyond which the spoke is ended.
        temporary_bytes: All of `/tmp` together, which is memory too; at `no-userns` there is no `/tmp`.
        open_files: Descriptors (RLIMIT_NOFILE).
        processes: Threads, and with programs processes, in sum (RLIMIT_NPROC).
        stack_bytes: The stack of every thread. It counts as memory and is therefore far below the usual 8 MiB, with
            which 32 threads would use up everything.
        core_bytes: Core dumps (RLIMIT_CORE).
        log_bytes_per_second: How much of stdout and stderr is kept; what exceeds it is dropped and counted.
    """

    memory_bytes: int = 256 * _MIB
    file_bytes: int = 64 * _MIB
    data_bytes: int = 256 * _MIB
    temporary_bytes: int = 64 * _MIB
    open_files: int = 256
    processes: int = 64
    stack_bytes: int = _MIB
    core_bytes: int = 0
    log_bytes_per_second: int = 64 * 1024

    def __post_init__(self) -> None:
        for name in (
            "memory_bytes",
            "file_bytes",
            "data_bytes",
            "temporary_bytes",
            "open_files",
            "processes",
            "stack_bytes",
        ):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive")
        if self.core_bytes < 0 or self.log_bytes_per_second < 0:
            raise ValueError("a limit must not be negative")


@dataclass(frozen=True, slots=True)
class Delegation:
    """The cgroup v2 that spokes get theirs in, from `cgroup.delegated`.

    Attributes:
        path: Its directory; None where none is delegated to the hub.
        seen_as: Its name in `/proc/PID/cgroup`.
        why: Why there is none.
        mend: What a person can do about it.
    """

    path: Path | None = None
    seen_as: str = ""
    why: str = "not asked for"
    mend: str = ""


NOT_ASKED_FOR: Final = Delegation()


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """Everything that decides how one spoke is walled in.

    Attributes:
        app: The app's name, for messages.
        app_dir: The app's code; read-only inside, at `/app`.
        data_dir: The app's data of one user; writable inside, at `/data`.
        socket_dir: A directory of this spoke alone; the spoke binds its socket there, at `/run/spoke/spoke.sock`.
        level: The walls that must all hold.
        proc: Whether the spoke gets a `/proc`, which a container that masks its own does not let it have (`strict`).
        uid: The host uid (and gid) of the spoke. Must be set when the hub is root, and only then.
        limits: What it may use.
        cgroup: Where it gets a cgroup of its own, if anywhere.
        egress: Whether there is a listener in its network namespace, for the hub's proxy to accept on, and `connect` to
            it. Only `strict` has such a namespace; below, the spoke is started without, and can `fetch`.
        programs: What it may execute; only at `strict`, where a pid namespace bounds what comes of it.
        certificates: What its TLS clients trust, shown to it with `egress`.
        command: Whether the first stage executes a program of the app in its own place; the launcher sets it.
        python: The Python that runs inside; the one that is running now unless another is named.
    """

    app: str
    app_dir: Path
    data_dir: Path
    socket_dir: Path
    level: Level = STRICT
    proc: bool = True
    uid: int | None = None
    limits: Limits = field(default_factory=Limits)
    cgroup: Delegation = NOT_ASKED_FOR
    egress: bool = False
    programs: tuple[HostProgram, ...] = ()
    certificates: Mount | None = field(default_factory=find_certificates)
    command: bool = False
    python: PythonRuntime = field(default_factory=discover_python)

    def __post_init__(self) -> None:
        for name in ("app_dir", "data_dir", "socket_dir"):
            if not getattr(self, name).is_absolute():
                raise ValueError(f"{name} must be absolute: {getattr(self, name)}")
        if self.uid is not None and self.uid <= 0:
            raise ValueError("a spoke never runs as uid 0")
        if len(bytes(self.socket_path)) > MAX_SOCKET_PATH_BYTES:
            raise ValueError(f"the socket path is longer than {MAX_SOCKET_PATH_BYTES} bytes: {self.socket_path}")
        if len(self.programs) > MAX_PROGRAMS:
            raise ValueError(f"{len(self.programs)} programs are more than {MAX_PROGRAMS}")
        for program in self.programs:
            if why := problem_with_path(str(program.path)):
                raise ValueError(f"{program.path}: {why}")

    @property
    def listens(self) -> bool:
        """Whether it opens a listener for the proxy."""
        return self.egress and self.level == STRICT

    @property
    def shown(self) -> tuple[Mount, ...]:
        """What it sees besides its Python and its own directories."""
        found = [Mount(program.source, program.path) for program in self.programs]
        if self.listens and self.certificates is not None:
            found.append(self.certificates)
        return tuple(found)

    @property
    def profile(self) -> str:
        """The name of its seccomp filter."""
        wanted = {
            NO_USERNS: self.level == NO_USERNS,
            "egress": self.listens,
            "programs": bool(self.programs),
            "command": self.command,
        }
        return "-".join(name for name, has in wanted.items() if has) or "plain"

    @property
    def socket_path(self) -> Path:
        """The spoke's socket, as the hub reaches it."""
        return self.socket_dir / SOCKET_NAME
