"""A warm spoke as the hub holds it: bubblewrap around a program that waits, and a process of the zygote inside.

The program is `cat` on a socket. It says when the namespaces are ready, because it echoes only once bubblewrap has
executed it; the kernel says with the echo which process that is; and it ends when the hub closes the socket or dies.

Tried and rejected:
    * `sleep` as the holder: nothing says when it runs, except asking `/proc` again and again.
    * `bwrap --block-fd`: the same, and the process that holds is bubblewrap, with its capabilities in the namespace.
    * Python as the holder: 3 MB for every spoke.

Invariants:
    * The process that is looked at, and that is sent the go, is the one that the zygote forked, in the namespaces of
      this spoke's own holder.
    * The spoke is reaped before the holder is ended: the first process of a pid namespace cannot end before the others
      in it are reaped, and only the zygote can do that.
    * When the zygote is gone, the spoke is killed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
from contextlib import suppress
from typing import Final

from spoke_runner.sandbox.channels import Channels
from spoke_runner.sandbox.diagnosis import explain
from spoke_runner.sandbox.errors import ZygoteUnavailable
from spoke_runner.sandbox.launcher import Beginning
from spoke_runner.sandbox.outside import look
from spoke_runner.sandbox.process import REAP_SECONDS, Remains, execute
from spoke_runner.sandbox.report import Outside
from spoke_runner.sandbox.zygote.connection import Connection

_CREDENTIALS: Final = struct.Struct("iII")
_KILLED: Final = 128 + signal.SIGKILL


class WarmRemains(Remains):
    """The operating system's side of a warm spoke; made by `begin_warm`.

    Here `process` is the holder's outermost process.

    Attributes:
        connection: The zygote that forks and reaps it.
        gone: Done once it was killed and everything is closed.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        beginning: Beginning,
        holder: socket.socket,
        connection: Connection,
    ) -> None:
        super().__init__(process, beginning.tail, beginning.log_pipe, beginning.spec.socket_path)
        self._holder = holder
        self._holder_pid = 0
        self._holder_pidfd: int | None = None
        self.connection = connection
        self._uid = beginning.spec.uid
        self._pid = 0
        self._life: asyncio.Task[int] | None = None
        self._entering: asyncio.Task[None] | None = None
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def enter(self, channels: Channels) -> None:
        """Wait for the holder, and have the spoke forked into its namespaces.

        Raises:
            SandboxUnavailable: The holder did not come up.
            ZygoteUnavailable: There was no fork.
        """
        self._holder_pid = await self._echo()
        self._holder_pidfd = os.pidfd_open(self._holder_pid)
        # A second echo, by the same process, proves that the pid was not somebody else's when it was opened.
        if await self._echo() != self._holder_pid:
            raise ZygoteUnavailable("the holder changed while it was looked at")
        # A task, because the answer must be waited for, whoever goes away meanwhile: there is a process to end.
        self._entering = asyncio.create_task(self._fork(channels, self._holder_pidfd))
        await asyncio.shield(self._entering)
        channels.hand_over()

    def look(self, pid: int) -> Outside:
        """Look at the process that reported (see `Remains.look`)."""
        if pid != self._pid:
            raise ValueError(f"process {pid} reported, and {self._pid} was forked")
        return look(pid, holder=self._holder_pid)

    async def _fork(self, channels: Channels, holder_pidfd: int) -> None:
        descriptors = (channels.setup_read, channels.output_write, channels.report_fd, holder_pidfd)
        self._pid = await self.connection.fork(descriptors, self._uid)
        # Nobody but the zygote can reap it, and the zygote does when it is asked: so this is still the same process.
        self.pidfd = os.pidfd_open(self._pid)
        self._life = asyncio.create_task(self._follow(self.pidfd))
        if self.group:
            self.group.add(self._pid)

    async def _follow(self, pidfd: int) -> int:
        ended = asyncio.create_task(_readable(pidfd))
        await asyncio.wait((ended, self.connection.lost), return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            await ended
        try:
            code = await self.connection.reap(self._pid)
        except ZygoteUnavailable:
            code = _KILLED
            # Where the hub is the first process of a container, orphans are its own to reap.
            with suppress(ChildProcessError):
                os.waitpid(self._pid, os.WNOHANG)  # noqa: ASYNC222 - does not wait
        self._holder.close()
        return code

    async def _echo(self) -> int:
        """Return the pid of the holder, which it proves to be alive."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self._holder.send(b".")
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self._holder, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(self._holder)
        with suppress(ConnectionResetError):
            data, ancillary, _, _ = self._holder.recvmsg(1, socket.CMSG_SPACE(_CREDENTIALS.size))
            for level, kind, content in ancillary:
                if data and level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                    pid: int = _CREDENTIALS.unpack(content)[0]
                    return pid
        await self.process.wait()
        raise explain(self.tail.lines())

    async def ended(self) -> int:
        """Wait for the end (see `Remains.ended`)."""
        if self._life is None:
            return await self.process.wait()
        return await asyncio.shield(self._life)

    async def _end(self) -> None:
        if self._entering is not None:
            await asyncio.wait((self._entering,))
        if self._life is not None:
            if self.pidfd is not None and not self._life.done():
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            await asyncio.wait((self._life,), timeout=REAP_SECONDS)
        self._holder.close()

    def _let_go(self) -> None:
        super()._let_go()
        if self._holder_pidfd is not None:
            os.close(self._holder_pidfd)
            self._holder_pidfd = None
        if not self.gone.done():
            self.gone.set_result(None)


async def begin_warm(beginning: Beginning, connection: Connection) -> WarmRemains:
    """Let bubblewrap make the namespaces, around a program that waits."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    near.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    near.setblocking(False)
    try:
        process = await execute(
            beginning.line, stdin=far.fileno(), stdout=far.fileno(), stderr=beginning.channels.output_write
        )
    except BaseException:
        near.close()
        raise
    finally:
        far.close()
    return WarmRemains(process, beginning, near, connection)


async def _readable(number: int) -> None:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(number, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(number)
