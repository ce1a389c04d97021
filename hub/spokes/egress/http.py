"""HTTP/1.1 over any stream, by h11: one side of it, and which headers go on from one side to the other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol

import h11

from hub.errors import SpokegateError

Headers = list[tuple[bytes, bytes]]

# RFC 9110, 7.6.1: about one connection, never passed on; and what is between an app and its proxy.
_HOP_BY_HOP = frozenset(
    (
        b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authentication-info", b"proxy-authorization",
        b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade",
    )
)  # fmt: skip


_Role = type[h11.CLIENT] | type[h11.SERVER]


class _Stream(Protocol):
    async def receive(self) -> bytes: ...

    async def send(self, data: bytes) -> None: ...


class Wire:
    """One side of HTTP over a stream.

    Args:
        role: Which side this is: `h11.CLIENT` or `h11.SERVER`.
        stream: What it goes over.
        head_bytes: The largest head.
        broken: Makes the error for what the peer must not send.
    """

    def __init__(self, role: _Role, stream: _Stream, head_bytes: int, broken: Callable[[str], SpokegateError]) -> None:
        self.h11 = h11.Connection(role, max_incomplete_event_size=head_bytes)
        self._stream = stream
        self._head_bytes = head_bytes
        self._broken = broken

    async def next(self) -> Any:
        """Return the peer's next h11 event.

        Raises:
            SpokegateError: It broke the protocol, or the stream broke.
        """
        while True:
            try:
                event = self.h11.next_event()
                if event is not h11.NEED_DATA:
                    return self._within_head(event)
                self.h11.receive_data(await self._stream.receive())
            except h11.RemoteProtocolError as error:
                raise self._broken(str(error)) from error

    def _within_head(self, event: Any) -> Any:
        # h11 bounds what it keeps of a head that is not whole yet, not one that comes in one piece.
        headers = event.headers if isinstance(event, (h11.Request, h11.InformationalResponse, h11.Response)) else ()
        if sum(len(name) + len(value) + 4 for name, value in headers) > self._head_bytes:
            raise self._broken(f"a head of more than {self._head_bytes} bytes")
        return event

    async def send(self, event: h11.Event) -> None:
        """Send an h11 event.

        Raises:
            SpokegateError: The peer is not to get it now, or the stream broke.
        """
        try:
            data = self.h11.send(event)
        except h11.LocalProtocolError as error:
            raise self._broken(str(error)) from error
        if data:
            await self._stream.send(data)


async def head_of_response(wire: Wire) -> h11.Response:
    """Return the head of the final response; what was informational is dropped."""
    while True:
        event = await wire.next()
        if isinstance(event, h11.Response):
            return event


async def each_chunk(wire: Wire, take: Callable[[bytes], Awaitable[None]]) -> None:
    """Hand each part of a body on, until the message ends."""
    while not isinstance(event := await wire.next(), h11.EndOfMessage):
        await take(bytes(event.data))


def values_of(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    """Return every value of a header; names are in lower case, as h11 gives them."""
    return [value for key, value in headers if key == name]


def end_to_end(headers: Iterable[tuple[bytes, bytes]], *also_without: bytes) -> Headers:
    """Return the headers that go on to the other side."""
    kept = list(headers)
    dropped = {*_HOP_BY_HOP, *also_without}
    for value in values_of(kept, b"connection"):
        dropped.update(token.strip().lower() for token in value.split(b","))
    # What says how long a message is must not be talked away by naming it.
    dropped -= {b"content-length", b"host"} - set(also_without)
    return [(key, value) for key, value in kept if key not in dropped]


def framing_problem(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Say what leaves open where a message ends, which two readers could read in two ways; empty when nothing does."""
    given = list(headers)
    lengths, encodings = values_of(given, b"content-length"), values_of(given, b"transfer-encoding")
    if lengths and encodings:
        return "a message has a Content-Length or a Transfer-Encoding, not both"
    if len(encodings) > 1:
        return "a message has one Transfer-Encoding"
    return ""
