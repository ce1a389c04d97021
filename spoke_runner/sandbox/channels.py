"""What the hub and a starting spoke talk over: set-up and go on stdin, reports on a socket, output on a pipe.

The reports come over a socket and not a pipe because the kernel then says, with every message, which process sent it,
as a pid of the hub's own pid namespace. So what is looked at from outside is the very process that reported.

Invariants:
    * Nothing is ever written to the report socket, and descriptors that come with a message are closed by the kernel,
      because there is no room left for them: an app that gets hold of its end gains nothing.
    * Room for one is left once, when a listener is asked for: for the first message, which the first stage sends before
      any app code. What comes with that message besides is closed, and the one with it.
    * A message is one report or it is cut; no spoke can make the hub hold more than `_MAX_REPORT_BYTES`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from typing import Final

from spoke_runner.sandbox.logs import LogPipe

_MAX_REPORT_BYTES: Final = 64 * 1024
_CREDENTIALS: Final = struct.Struct("iII")
_DESCRIPTOR: Final = struct.Struct("i")


class Channels:
    """Both ends of everything, until the process is started; then the hub's."""

    def __init__(self) -> None:
        self._report, self._far_report = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._report.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._report.setblocking(False)
        self.setup_read, self._setup_write = os.pipe()
        self._output_read, self.output_write = os.pipe()
        self._open = {self.setup_read, self._setup_write, self._output_read, self.output_write}

    @property
    def report_fd(self) -> int:
        """The spoke's end of the report socket."""
        return self._far_report.fileno()

    def hand_over(self) -> None:
        """Close the far ends, which the spoke has now."""
        self._far_report.close()
        for end in (self.setup_read, self.output_write):
            self._close(end)

    async def read_output(self, log_pipe: LogPipe) -> None:
        """Begin to read the output."""
        self._open.discard(self._output_read)
        # The transport closes itself when the last process that holds the other end is gone.
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: log_pipe, os.fdopen(self._output_read, "rb", buffering=0)
        )

    def send(self, data: bytes) -> None:
        """Write to the spoke's stdin; both things that are ever written fit into an empty pipe.

        Nothing happens when the spoke has ended: what it left on the other channels says so better.
        """
        try:
            os.write(self._setup_write, data)
        except BrokenPipeError:
            return

    async def receive(self) -> tuple[int, bytes]:
        """Return who sent the next report, and the report; zero and nothing when nobody holds the other end."""
        pid, data, _ = await self._receive(descriptor=False)
        return pid, data

    async def receive_with_socket(self) -> tuple[int, bytes, socket.socket | None]:
        """Do the same, and return the one socket that came with the report, which is the caller's to close."""
        return await self._receive(descriptor=True)

    async def _receive(self, *, descriptor: bool) -> tuple[int, bytes, socket.socket | None]:
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self._report, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(self._report)
        # Exact, since a byte more to spare is room for a descriptor more.
        room = socket.CMSG_SPACE(_CREDENTIALS.size) + (socket.CMSG_LEN(_DESCRIPTOR.size) if descriptor else 0)
        try:
            data, ancillary, flags, _ = self._report.recvmsg(_MAX_REPORT_BYTES, room, socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            return 0, b"", None
        pid, end = 0, None
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                pid = _CREDENTIALS.unpack(content)[0]
            elif level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS and len(content) == _DESCRIPTOR.size:
                end = _as_socket(_DESCRIPTOR.unpack(content)[0])
        if end is not None and (flags & socket.MSG_CTRUNC or not pid):
            end.close()
            end = None
        return (pid, data, end) if data else (0, b"", end)

    def close(self) -> None:
        """Close what is still open, the output excepted once somebody reads it."""
        self._report.close()
        self._far_report.close()
        for end in list(self._open):
            self._close(end)

    def _close(self, end: int) -> None:
        self._open.discard(end)
        os.close(end)


def _as_socket(number: int) -> socket.socket | None:
    """Return a descriptor as a socket that never waits; close it when it is none."""
    try:
        end = socket.socket(fileno=number)
    except OSError:
        os.close(number)
        return None
    end.setblocking(False)
    return end
