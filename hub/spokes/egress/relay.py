"""The exchanges of the proxy: one plain HTTP request, and one tunnel.

Both go on while they are open, so a spoke may put into them what it learns after the decision: they stream, and are
revoked when the spoke's labels grow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

import h11

from hub.errors import HostUnavailable
from hub.spokes.egress.destination import Destination, Url
from hub.spokes.egress.exchange import Connection, EgressLimits, Exchange
from hub.spokes.egress.http import Wire, each_chunk, end_to_end, framing_problem, head_of_response, values_of


class Client(Protocol):
    """The spoke's end."""

    async def receive(self) -> bytes:
        """Return what came in; empty at the end."""
        ...

    async def send(self, data: bytes) -> None:
        """Send, and return when there is room for more."""
        ...

    def send_end(self) -> None:
        """Say that nothing more will be sent."""
        ...


class Relay(Exchange):
    """One plain HTTP request and its response."""

    streams = True

    def __init__(self, request: h11.Request, url: Url, client: Wire, limits: EgressLimits) -> None:
        super().__init__(url.destination, url.scheme, seconds=limits.connection_seconds)
        self._request = request
        self._url = url
        self._client = client
        self._head_bytes = limits.head_bytes

    @property
    def arguments(self) -> dict[str, Any]:
        """What was asked for; the body follows only once it is let through."""
        return {"method": self._request.method.decode("ascii"), "url": str(self._url)}

    async def run(self, connection: Connection) -> None:
        """Pass the request on, and the response back, both as they come."""
        host = self.destination.host
        upstream = Wire(h11.CLIENT, connection, self._head_bytes, lambda what: HostUnavailable(f"{host}: {what}"))
        await upstream.send(self._head())
        await _until_second(self._pass_request(upstream), self._pass_response(upstream))

    def _head(self) -> h11.Request:
        given = self._request.headers
        headers = [(b"Host", self.destination.authority("http").encode())]
        headers += end_to_end(given, b"host", b"expect")
        if values_of(given, b"transfer-encoding"):
            headers.append((b"Transfer-Encoding", b"chunked"))
        headers.append((b"Connection", b"close"))
        return h11.Request(method=self._request.method, target=self._url.target, headers=headers)

    async def _pass_request(self, upstream: Wire) -> None:
        if self._client.h11.they_are_waiting_for_100_continue:
            await self._client.send(h11.InformationalResponse(status_code=100, headers=[]))

        async def pass_on(chunk: bytes) -> None:
            await upstream.send(h11.Data(data=chunk))

        await each_chunk(self._client, pass_on)
        await upstream.send(h11.EndOfMessage())

    async def _pass_response(self, upstream: Wire) -> None:
        head = await head_of_response(upstream)
        if problem := framing_problem(head.headers):
            raise HostUnavailable(f"{self.destination.host}: {problem}")
        await self._client.send(
            h11.Response(status_code=head.status_code, headers=end_to_end(head.headers), reason=head.reason)
        )

        async def pass_on(chunk: bytes) -> None:
            await self._client.send(h11.Data(data=chunk))

        await each_chunk(upstream, pass_on)
        await self._client.send(h11.EndOfMessage())


class Tunnel(Exchange):
    """A CONNECT: bytes both ways, which the hub does not look into."""

    streams = True

    def __init__(self, destination: Destination, client: Client, wire: Wire, *, seconds: float) -> None:
        super().__init__(destination, "connect", seconds=seconds)
        self._client = client
        self._wire = wire

    @property
    def arguments(self) -> dict[str, Any]:
        """Nothing more is known of it."""
        return {"method": "CONNECT"}

    async def run(self, connection: Connection) -> None:
        """Say that it is open, and move bytes until the host has ended."""
        # The request ends before the answer: h11 holds back what came behind it for whoever asks.
        while isinstance(await self._wire.next(), (h11.Data, h11.EndOfMessage)):
            continue
        await self._wire.send(h11.Response(status_code=200, headers=[], reason=b"Connection established"))
        early, _ = self._wire.h11.trailing_data
        await _until_second(self._out(connection, early), self._back(connection))

    async def _out(self, connection: Connection, early: bytes) -> None:
        data = early or await self._client.receive()
        while data:
            await connection.send(data)
            data = await self._client.receive()
        connection.send_end()

    async def _back(self, connection: Connection) -> None:
        while data := await connection.receive():
            await self._client.send(data)
        self._client.send_end()


async def _until_second(out: Coroutine[Any, Any, None], back: Coroutine[Any, Any, None]) -> None:
    """Run both ways until the way back has ended, or the spoke has broken off."""
    ways = [asyncio.create_task(out), asyncio.create_task(back)]
    try:
        done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        if ways[0] in done and (failed := ways[0].exception()) and not isinstance(failed, HostUnavailable):
            raise failed
        # A host may answer and close before it has read all; what it said is the answer.
        await ways[1]
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
