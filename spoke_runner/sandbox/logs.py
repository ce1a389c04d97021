"""Keep the last lines that a spoke wrote, at a bounded cost to the hub.

Invariants:
    * The hub never blocks on a spoke's output, and holds at most `MAX_LINES` lines of `MAX_LINE_CHARACTERS`.
    * Over any second at most `bytes_per_second` are kept; what exceeds it is dropped, counted, and said in the tail.
    * A spoke that floods slows itself: the hub drains at most `_DRAIN_FACTOR` times what it keeps, then lets the pipe
      fill up for a moment.
    * Text comes out printable: undecodable bytes are replaced, control characters escaped, so a log that is shown in a
      terminal cannot drive the terminal.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final, cast

MAX_LINES: Final = 200
MAX_LINE_CHARACTERS: Final = 2000
_DRAIN_FACTOR: Final = 64
_PAUSE_SECONDS: Final = 0.1


class LogTail:
    """The last lines of a stream of bytes, rate limited.

    Args:
        bytes_per_second: How much is kept; bursts of as much are, too.
        clock: Seconds, monotonic.
    """

    def __init__(self, bytes_per_second: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = bytes_per_second
        self._clock = clock
        self._allowance = float(bytes_per_second)
        self._filled = clock()
        self._lines: deque[str] = deque(maxlen=MAX_LINES)
        self._open = b""
        self.dropped_bytes = 0

    def feed(self, data: bytes) -> None:
        """Take what the spoke wrote."""
        now = self._clock()
        self._allowance = min(float(self._rate), self._allowance + (now - self._filled) * self._rate)
        self._filled = now
        kept = data[: int(self._allowance)]
        self._allowance -= len(kept)
        self.dropped_bytes += len(data) - len(kept)
        *whole, self._open = (self._open + kept).split(b"\n")
        self._lines.extend(map(_printable, whole))
        # A line without an end would otherwise grow for as long as the spoke likes.
        while len(self._open) > MAX_LINE_CHARACTERS:
            self._lines.append(_printable(self._open[:MAX_LINE_CHARACTERS]))
            self._open = self._open[MAX_LINE_CHARACTERS:]

    def lines(self) -> tuple[str, ...]:
        """Return the tail, with a last line that says how much was dropped, if any was."""
        tail = list(self._lines)
        if self._open:
            tail.append(_printable(self._open))
        if self.dropped_bytes:
            tail.append(f"[{self.dropped_bytes} bytes dropped: more than {self._rate} a second]")
        return tuple(tail)


class LogPipe(asyncio.Protocol):
    """Drains a spoke's output into a `LogTail`."""

    def __init__(self, tail: LogTail, bytes_per_second: int) -> None:
        self._tail = tail
        self._budget = max(1, int(bytes_per_second * _DRAIN_FACTOR * _PAUSE_SECONDS))
        self._drained = 0
        self._window = 0.0
        self._transport: asyncio.ReadTransport | None = None
        self._closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport, to pause it."""
        self._transport = cast(asyncio.ReadTransport, transport)

    def data_received(self, data: bytes) -> None:
        """Keep what may be kept; pause when too much came in the current window."""
        self._tail.feed(data)
        loop = asyncio.get_running_loop()
        if loop.time() - self._window > _PAUSE_SECONDS:
            self._window = loop.time()
            self._drained = 0
        self._drained += len(data)
        if self._drained > self._budget and self._transport is not None:
            self._transport.pause_reading()
            loop.call_later(_PAUSE_SECONDS, self._resume)

    def connection_lost(self, exc: Exception | None) -> None:
        """Say that no process holds the other end any more."""
        self._transport = None
        if not self._closed.done():
            self._closed.set_result(None)

    async def ended(self, seconds: float) -> None:
        """Wait until no process holds the other end.

        Raises:
            TimeoutError: One still does after so many seconds.
        """
        await asyncio.wait_for(asyncio.shield(self._closed), seconds)

    def _resume(self) -> None:
        self._drained = 0
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()


def _printable(line: bytes) -> str:
    text = line.decode("utf-8", "replace")[:MAX_LINE_CHARACTERS]
    return "".join(
        character if character.isprintable() or character == "\t" else character.encode("unicode_escape").decode()
        for character in text.rstrip("\r")
    )
