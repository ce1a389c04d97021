"""A running spoke, as its supervisor holds it.

Invariants:
    * After `kill` none of its processes is left, nor its socket, whatever state it was in.
    * Its pid is only ever used through a pidfd, so a reused pid is never signalled.
    * A command is executed whole or not at all, whoever is cancelled meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from spoke_runner.sandbox import memory
from spoke_runner.sandbox.cgroup import Group
from spoke_runner.sandbox.channels import Channels
from spoke_runner.sandbox.disk import exceeds
from spoke_runner.sandbox.logs import LogPipe, LogTail
from spoke_runner.sandbox.outside import look
from spoke_runner.sandbox.report import Outside, SandboxReport

REAP_SECONDS: Final = 5.0


async def execute(
    line: Sequence[str], *, stdin: int, stdout: int, stderr: int, pass_fds: Sequence[int] = ()
) -> asyncio.subprocess.Process:
    """Execute the outermost command of a chain, with an empty environment.

    asyncio, cancelled while it starts a process, would kill that one alone. A bubblewrap that has just cloned its
    child, and has not yet told it to go on, leaves it waiting forever then.
    """
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *line,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=pass_fds,
            env={},
            cwd="/",
            # Its own session, so that a Ctrl-C at the hub's terminal leaves the order of the ending to the hub.
            start_new_session=True,
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.shield(_undo(starting))
        raise


async def _undo(starting: asyncio.Future[asyncio.subprocess.Process]) -> None:
    with suppress(OSError):
        process = await starting
        kill_group(process)
        await process.wait()


def kill_group(process: asyncio.subprocess.Process) -> None:
    """Kill a command that `execute` started, and what it has started and not yet told to die with it."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


class Remains:
    """The operating system's side of a spoke: its outermost process, its pidfd, its output, its sockets."""

    def __init__(self, process: asyncio.subprocess.Process, tail: LogTail, pipe: LogPipe, socket_path: Path) -> None:
        self.process = process
        self.tail = tail
        self.pipe = pipe
        self.socket_path = socket_path
        self.pidfd: int | None = None
        self.group: Group | None = None
        self.listener: socket.socket | None = None
        self._lock = asyncio.Lock()

    async def enter(self, channels: Channels) -> None:
        """Let the first stage have its ends of the channels."""
        channels.hand_over()

    def look(self, pid: int) -> Outside:
        """Look at the process that reported, and hold it from now on.

        Raises:
            OSError: It is gone, or may not be seen.
            KeyError: The kernel does not state one of the facts.
            ValueError: It states one in a form that is not known, or this is not the process that was started.
        """
        self.pidfd = os.pidfd_open(pid)
        return look(pid)

    def held(self) -> int:
        """Return the pidfd of the process that was looked at.

        Raises:
            ValueError: None was.
        """
        if self.pidfd is None:
            raise ValueError("no process is held")
        return self.pidfd

    async def wait(self) -> int:
        """Wait for the end, and until all output is read."""
        code = await self.ended()
        with suppress(TimeoutError):
            await self.pipe.ended(REAP_SECONDS)
        return code

    async def kill(self) -> None:
        """End everything, at once and for good."""
        async with self._lock:
            await self._end()
            try:
                await asyncio.wait_for(self.process.wait(), REAP_SECONDS)
            except TimeoutError:
                kill_group(self.process)
                await self.process.wait()
            try:
                # Every process of the spoke holds this pipe, so its end is the end of the last of them.
                await self.pipe.ended(REAP_SECONDS)
            finally:
                self._let_go()
                self.socket_path.unlink(missing_ok=True)
                if self.group:
                    # Empty by now; if not, this is what ends the rest.
                    await asyncio.to_thread(self.group.remove)

    async def ended(self) -> int:
        """Wait for the end, and return the code; what is around the spoke may still be ending."""
        code = await self.process.wait()
        # Where no bubblewrap stands between, a signal is a negative number.
        return code if code >= 0 else 128 - code

    async def _end(self) -> None:
        """Do what makes all processes end."""
        # The process inside is killed first, so that the bubblewraps around it reap it and end by themselves. Before
        # its pid is known there is only the outermost, at whose death the rest dies.
        if self.pidfd is None:
            kill_group(self.process)
        else:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def _let_go(self) -> None:
        """Close what was opened for the spoke."""
        if self.listener is not None:
            self.listener.close()
            self.listener = None
        if self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None


class SpokeProcess:
    """One sealed, serving spoke.

    Attributes:
        pid: The host's pid of the process inside.
        socket_path: Its socket, on the host's side.
        report: What is in force around it.
        start_milliseconds: From `launch` to ready.
        listener: A listening socket of its own network namespace, for the hub's egress proxy; None where it has none.
        ended_because: Why the runner ended it; empty when it did not.
    """

    def __init__(self, remains: Remains, *, pid: int, report: SandboxReport, start_milliseconds: float) -> None:
        self._remains = remains
        self.pid = pid
        self.socket_path = remains.socket_path
        self.report = report
        self.start_milliseconds = start_milliseconds
        self.ended_because = ""
        self._watch: asyncio.Task[None] | None = None

    @property
    def listener(self) -> socket.socket | None:
        """Where the hub's proxy accepts what this spoke connects to; None without egress, and once it was killed.

        Non-blocking. `kill` closes it, so whoever accepts on it stops before.
        """
        return self._remains.listener

    @property
    def logs(self) -> tuple[str, ...]:
        """The last lines that it wrote: text from an untrusted source, made printable."""
        return self._remains.tail.lines()

    def bound(self, directory: Path, limit_bytes: int, *, memory_bytes: int | None = None) -> None:
        """End it when a directory of its own holds more than its limit, or its processes together more memory.

        Args:
            directory: Its data directory.
            limit_bytes: What that may hold.
            memory_bytes: What its processes may hold together; None where there is only one, and the kernel counts.
        """
        self._watch = asyncio.create_task(self._bound(directory, limit_bytes, memory_bytes))

    async def _bound(self, directory: Path, limit_bytes: int, memory_bytes: int | None) -> None:
        def too_much_memory() -> bool:
            return memory_bytes is not None and memory.used_bytes(self.pid) > memory_bytes

        beside = too_much_memory if memory_bytes is not None else None
        used = await exceeds(directory, limit_bytes, self.pid, look_beside=beside)
        self.ended_because = f"its data directory holds {used >> 20} MiB, and {limit_bytes >> 20} are its limit"
        if not used and memory_bytes is not None:
            self.ended_because = f"its processes together hold more memory than its limit of {memory_bytes >> 20} MiB"
        await self._remains.kill()

    async def wait(self) -> int:
        """Wait until it ends; return its exit code, or 128 and the signal's number.

        Returns at once then, because the next call should not find it; `kill` sees to what is left of it.
        """
        code = await self._remains.ended()
        self._stop_watching()
        return code

    async def kill(self) -> None:
        """Kill it, reap it, remove its socket. May be called at any time, and more than once."""
        self._stop_watching()
        await self._remains.kill()

    def _stop_watching(self) -> None:
        # Not while it is the one that kills.
        if self._watch is not None and not self.ended_because:
            self._watch.cancel()
