"""The wire: the hub's own end of a spoke's connection, where what the spoke sends is counted before gRPC reads it.

gRPC answers PING, SETTINGS, WINDOW_UPDATE and whatever else is below the stream by itself, and tells nobody. So it does
not dial the spoke's socket but one of the hub's, and the wire carries the bytes between the two. It reads the headers
of the spoke's HTTP/2 frames and nothing else: each frame costs one of the spoke's credit, and what the hub wrote to
the spoke, and read from it as a message, gives credit back.

Invariants:
    * gRPC gets at most `BURST_FRAMES` frames that no call explains, and `TRICKLE_FRAMES` a second after that, over all
      connections to the spoke. DATA frames of 8 KiB and more, which large messages are made of, count a quarter;
      whatever is not DATA counts once for every 256 bytes.
    * A spoke without credit is not read from; what it has sent meanwhile waits in its own buffers and in one piece
      here. If that lasts for `PATIENCE_SECONDS`, it has flooded its connection.
    * Neither direction is read faster than the other side takes it.

Tried and rejected:
    * asyncio's own server: what it has accepted in the moment that it is closed nobody closes.
    * Options of gRPC: the limits on PING are for servers, and for SETTINGS and WINDOW_UPDATE there are none.
    * Watching the hub's processor time and the sockets' queues: it names the wrong spoke when several are busy, and a
      flood in small pieces leaves the queue empty.
    * The spoke's own processor time: 64 KiB of frames cost it one system call, and the hub milliseconds.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, cast

FRAME_HEADER_BYTES: Final = 9
BURST_FRAMES: Final = 2048
TRICKLE_FRAMES: Final = 100
PATIENCE_SECONDS: Final = 2.0
CALL_FRAMES: Final = 16  # what a call begins and ends with

_DATA = 0
_FULL_BYTES = 8 << 10  # gRPC fills its DATA frames up to 16 KiB, so that these are what large messages are made of
_FULL_PRICE = 0.25
_CONTROL_BYTES = 256  # headers are costly by the byte
_BYTES_PER_FRAME = 32 << 10
_TICK_SECONDS = 0.05
_CLOSE_SECONDS = 1.0
_BACKLOG = 16


class Wire:
    """The connections between gRPC and one spoke.

    Args:
        path: The socket that gRPC dials; nobody but the hub may reach it.

    Attributes:
        on_flood: Called when the spoke has flooded its connection, which is cut by then.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.on_flood: Callable[[], None] = lambda: None
        self._loop = asyncio.get_running_loop()
        self._listener: socket.socket | None = None
        self._spoke_socket = Path()
        self._is_cut = False
        self._ends: set[_End] = set()
        self._no_ends = asyncio.Event()
        self._no_ends.set()
        self._accepting: set[asyncio.Task[None]] = set()
        self._joining: set[asyncio.Task[None]] = set()
        self._credit = float(BURST_FRAMES)
        self._refilled_at = self._loop.time()
        self._starving: dict[_SpokeEnd, int] = {}
        self._ticking: asyncio.TimerHandle | None = None

    def lay(self, *, to: Path) -> None:
        """Listen where gRPC will dial.

        Args:
            to: The spoke's socket; it need not be there before gRPC dials.

        Raises:
            OSError: The path cannot be listened on.
        """
        self._spoke_socket = to
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._listener.bind(str(self.path))
        self._listener.listen(_BACKLOG)
        self._listen()

    def explain(self, size: int, *, frames: int = 1) -> None:
        """Say that a message of so many bytes was written to the spoke, or read from it.

        Args:
            size: The bytes.
            frames: How many frames of the spoke it explains, beside those that its size does.
        """
        self._refill(frames + size // _BYTES_PER_FRAME)
        for end in list(self._starving):
            end.go_on()

    def cut(self) -> None:
        """End every connection and stop listening."""
        self._is_cut = True
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        for task in self._joining:
            task.cancel()
        for end in list(self._ends):
            end.abort()
        if self._ticking is not None:
            self._ticking.cancel()
        self.path.unlink(missing_ok=True)

    async def close(self) -> None:
        """Cut it, and wait until nothing of it is left in the event loop."""
        self.cut()
        async with asyncio.timeout(_CLOSE_SECONDS):
            await asyncio.gather(*self._accepting, *self._joining, return_exceptions=True)
            await self._no_ends.wait()

    def take(self, frames: float) -> bool:
        """Take the price of a frame from the spoke's credit, unless the credit is used up."""
        if self._credit < 1:
            self._refill(0)
            if self._credit < 1:
                return False
        self._credit -= frames
        return True

    def opened(self, end: _End) -> None:
        """Know an end, for `cut`; one that comes later is ended at once."""
        self._ends.add(end)
        self._no_ends.clear()
        if self._is_cut:
            end.abort()

    def closed(self, end: _End) -> None:
        """Forget an end."""
        self._ends.discard(end)
        if not self._ends:
            self._no_ends.set()

    def join(self, hub_end: _HubEnd) -> None:
        """Dial the spoke for a connection that gRPC has made."""
        self._start(self._joining, self._join(hub_end))

    def starve(self, end: _SpokeEnd) -> None:
        """Wait for credit for an end that holds bytes back."""
        self._starving.setdefault(end, 0)
        if self._ticking is None:
            self._ticking = self._loop.call_later(_TICK_SECONDS, self._tick)

    def fed(self, end: _SpokeEnd) -> None:
        """Know that an end holds nothing back any more."""
        self._starving.pop(end, None)

    def _listen(self) -> None:
        if self._listener is not None:
            self._loop.add_reader(self._listener, self._accept, self._listener)

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:  # it went away again, or there is no descriptor left
            self._loop.remove_reader(listener)
            self._loop.call_later(_TICK_SECONDS, self._listen)
            return
        connection.setblocking(False)
        self._start(self._accepting, self._begin(connection))

    async def _begin(self, connection: socket.socket) -> None:
        # Never cancelled, so that it is always an end that holds the socket, which is ended as all of them are.
        try:
            await self._loop.connect_accepted_socket(lambda: _HubEnd(self), connection)
        except BaseException:
            connection.close()  # the loop itself may be at its end, and then nobody else does
            raise

    def _start(self, tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _join(self, hub_end: _HubEnd) -> None:
        spoke_end = _SpokeEnd(self, hub_end)
        hub_end.other = spoke_end
        try:
            await self._loop.create_unix_connection(lambda: spoke_end, str(self._spoke_socket))
        except OSError:
            hub_end.abort()  # gRPC takes it for a spoke that went away, which it is

    def _refill(self, frames: int) -> None:
        now = self._loop.time()
        trickle = (now - self._refilled_at) * TRICKLE_FRAMES
        self._credit = min(BURST_FRAMES, self._credit + trickle + frames)
        self._refilled_at = now

    def _tick(self) -> None:
        for end in list(self._starving):
            self._starving[end] += 1
            end.go_on()
        self._ticking = None
        if not self._starving:
            return
        # Ticks, not seconds: a hub that was held up has not given the spoke its credit in time either.
        if max(self._starving.values()) * _TICK_SECONDS >= PATIENCE_SECONDS:
            self.cut()
            self.on_flood()
        else:
            self._ticking = self._loop.call_later(_TICK_SECONDS, self._tick)


class _End(asyncio.Protocol):
    """One of the two ends that bytes are carried between."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._holds: set[str] = set()
        self.transport: asyncio.Transport | None = None
        self.other: _End | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._wire.opened(self)

    def data_received(self, data: bytes) -> None:
        self.carry(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._wire.closed(self)
        if self.other is not None:
            self.other.end()

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.hold("the other end is full")

    def resume_writing(self) -> None:
        if self.other is not None:
            self.other.let_go("the other end is full")

    def carry(self, data: bytes) -> None:
        """Write to the other end what was read from this one."""
        there = self.other.transport if self.other is not None else None
        if there is not None and not there.is_closing():
            there.write(data)

    def hold(self, why: str) -> None:
        """Stop reading from this end."""
        self._holds.add(why)
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def let_go(self, why: str) -> None:
        """Read from this end again, if nothing else forbids it."""
        self._holds.discard(why)
        if not self._holds and self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def end(self) -> None:
        """Close this end because the other is gone."""
        self.abort()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class _HubEnd(_End):
    """gRPC's end."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire)
        self._early: bytes | None = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._wire.join(self)

    def data_received(self, data: bytes) -> None:
        # Not every asyncio lets a connection be paused while it is made, so what comes before the other end is kept.
        if self._early is None:
            self.carry(data)
        else:
            self._early += data

    def joined(self) -> None:
        """Carry what came before the spoke's end was there."""
        early, self._early = self._early, None
        if early:
            self.carry(early)

    def end(self) -> None:
        # gRPC reads: the spoke's last words are worth waiting for.
        if self.transport is not None:
            self.transport.close()


class _SpokeEnd(_End):
    """The spoke's end, which is counted."""

    def __init__(self, wire: Wire, hub_end: _HubEnd) -> None:
        super().__init__(wire)
        self.other: _HubEnd = hub_end
        self._kept = b""
        self._frame_left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.other.transport is None or self.other.transport.is_closing():
            self.abort()
        else:
            self.other.joined()

    def data_received(self, data: bytes) -> None:
        self._kept = self._kept + data if self._kept else data
        self.go_on()

    def connection_lost(self, error: Exception | None) -> None:
        self._wire.fed(self)
        super().connection_lost(error)

    def go_on(self) -> None:
        """Carry what the credit allows; without credit, keep the rest and read no more."""
        kept = self._kept
        at, starved = self._affordable(kept)
        if at:
            self._kept = kept[at:]
            self.carry(kept if at == len(kept) else kept[:at])
        if starved:
            self.hold("no credit")
            self._wire.starve(self)
        elif "no credit" in self._holds:
            self._wire.fed(self)
            self.let_go("no credit")

    def _affordable(self, data: bytes) -> tuple[int, bool]:
        """Return how many bytes may be carried, and whether it was the credit that set an end to them."""
        size = len(data)
        at = self._frame_left
        while at + FRAME_HEADER_BYTES <= size:
            length = int.from_bytes(data[at : at + 3], "big")
            if not self._wire.take(_price(data[at + 3], length)):
                self._frame_left = 0
                return at, True
            at += FRAME_HEADER_BYTES + length
        if at > size:
            self._frame_left = at - size
            return size, False
        # What is left is less than a header: it waits for its rest.
        self._frame_left = 0
        return at, False


def _price(kind: int, length: int) -> float:
    if kind != _DATA:
        return 1 + length // _CONTROL_BYTES
    return _FULL_PRICE if length >= _FULL_BYTES else 1
