"""The egress proxy: what a spoke's unmodified HTTP clients find at the one address in their network.

One proxy serves one spoke. Who asks is the listener that a connection came in on, which was opened in the spoke's own
network namespace; no header can say otherwise. Each request is taken to the mediator by itself, the second of a kept
connection like the first. Absolute-form requests are for plain http, CONNECT is for the rest.

Invariants:
    * No byte leaves, and no name is resolved, before the mediator has let that very request through.
    * Where a request goes is said once: a Host header that says anything else is refused.
    * A request that two readers could read in two ways is refused, and its connection closed.
    * Everything has an end: heads in size and time, connections in number, time, silence and bytes.
    * Neither side is read faster than the other takes it.

Tried and rejected:
    * Accepting beyond the limit to say no: a closed door costs nothing, and the kernel's queue is bounded.
    * Keeping upstream connections: a connection belongs to the decision that opened it.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Protocol

import h11
import structlog

from hub.errors import (
    Cancelled,
    DeadlineExceeded,
    FunctionNotFound,
    HostUnavailable,
    QuotaExceeded,
    Refused,
    RequestInvalid,
    SpokegateError,
    Unavailable,
    public_message,
    reason_name,
)
from hub.spokes.egress.destination import DestinationInvalid, Url, parse_authority, parse_url
from hub.spokes.egress.exchange import EgressLimits, Exchange
from hub.spokes.egress.http import Wire, framing_problem, values_of
from hub.spokes.egress.relay import Relay, Tunnel

_CHUNK_BYTES = 64 << 10
_CLOSE_SECONDS = 5.0

_STATUS: dict[type[SpokegateError], int] = {
    RequestInvalid: 400,
    Refused: 403,
    FunctionNotFound: 403,
    QuotaExceeded: 429,
    HostUnavailable: 502,
    Unavailable: 503,
    DeadlineExceeded: 504,
}

_log = structlog.get_logger(__name__)


class Connects(Protocol):
    """Mediates what one spoke connects to."""

    async def connect(self, exchange: Exchange) -> None:
        """Decide on an exchange and let it run.

        Raises:
            SpokegateError: It was refused, or failed.
        """
        ...


class EgressProxy:
    """Serves the listener of one spoke until it is closed.

    Args:
        listener: A listening, non-blocking socket; whoever made it closes it, after this.
        connects: Mediates, in the name of the spoke.
        limits: What is bounded.
    """

    def __init__(self, listener: socket.socket, connects: Connects, limits: EgressLimits) -> None:
        self._listener = listener
        self._connects = connects
        self._limits = limits
        self._open: set[asyncio.Task[None]] = set()
        self._accepting = asyncio.create_task(self._accept())

    async def close(self) -> None:
        """End every connection and return when nothing runs any more."""
        self._accepting.cancel()
        await asyncio.gather(self._accepting, return_exceptions=True)
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        places = asyncio.Semaphore(self._limits.connections_per_spoke)
        while True:
            await places.acquire()
            try:
                accepted, _ = await loop.sock_accept(self._listener)
            except OSError as error:
                places.release()
                if self._listener.fileno() < 0:
                    return
                _log.warning("egress: a connection was not accepted", error=str(error))
                await asyncio.sleep(self._limits.refusal_seconds)
                continue
            task = asyncio.create_task(self._serve(accepted))
            self._open.add(task)
            task.add_done_callback(self._open.discard)
            task.add_done_callback(lambda _: places.release())

    async def _serve(self, accepted: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_CHUNK_BYTES)
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, accepted)
        except OSError:
            accepted.close()
            return
        except asyncio.CancelledError:
            accepted.close()
            raise
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        try:
            await _Client(reader, writer, self._connects, self._limits).serve()
        except SpokegateError as error:
            _log.debug("egress: a connection ended", why=str(error))
        except Exception:
            _log.exception("an egress connection failed in the hub")
        finally:
            transport.abort()


class _Client:
    """One connection of the spoke."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connects: Connects, limits: EgressLimits
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._connects = connects
        self._limits = limits
        self._wire = Wire(h11.SERVER, self, limits.head_bytes, RequestInvalid)
        self._takes_body = True

    async def serve(self) -> None:
        while True:
            try:
                try:
                    async with asyncio.timeout(self._limits.head_seconds):
                        request = await self._wire.next()
                except TimeoutError:
                    return None
                if not isinstance(request, h11.Request):
                    return None
                self._takes_body = request.method != b"HEAD"
                await self._connects.connect(self._exchange(request))
            except SpokegateError as error:
                return await self._refuse(error)
            if self._wire.h11.our_state is not h11.DONE or self._wire.h11.their_state is not h11.DONE:
                return await self._end()
            self._wire.h11.start_next_cycle()

    async def receive(self) -> bytes:
        """Read from the spoke.

        Raises:
            Cancelled: It went away.
        """
        try:
            return await self._reader.read(_CHUNK_BYTES)
        except OSError as error:
            raise Cancelled(f"the app closed its connection: {error!r}") from error

    async def send(self, data: bytes) -> None:
        """Write to the spoke, and return when there is room for more.

        Raises:
            Cancelled: It went away.
        """
        if self._writer.is_closing():
            raise Cancelled("the app closed its connection")
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError as error:
            raise Cancelled(f"the app closed its connection: {error!r}") from error

    def send_end(self) -> None:
        """Say that nothing more will be written."""
        if not self._writer.is_closing() and self._writer.can_write_eof():
            try:
                self._writer.write_eof()
            except OSError as error:
                raise Cancelled(f"the app closed its connection: {error!r}") from error

    def _exchange(self, request: h11.Request) -> Exchange:
        """Return what a request asks for.

        Raises:
            RequestInvalid: It is not a request to a proxy, or could be read in two ways.
        """
        target = request.target.decode("ascii")
        if request.http_version not in (b"1.0", b"1.1"):
            raise RequestInvalid("the proxy speaks HTTP/1.1")
        if problem := framing_problem(request.headers):
            raise RequestInvalid(problem)
        if values_of(request.headers, b"transfer-encoding") and request.http_version != b"1.1":
            raise RequestInvalid("HTTP/1.0 has no Transfer-Encoding")
        hosts = [value.decode("ascii", "replace") for value in values_of(request.headers, b"host")]
        try:
            if request.method == b"CONNECT":
                destination = parse_authority(target)
                if any(parse_authority(host, default_port=destination.port) != destination for host in hosts):
                    raise RequestInvalid("the Host header names another host than the request")
                return Tunnel(destination, self, self._wire, seconds=self._limits.connection_seconds)
            url = parse_url(target)
            if url.scheme != "http":
                raise RequestInvalid("the proxy takes https by CONNECT alone")
            self._check_host(hosts, url)
        except DestinationInvalid as error:
            raise RequestInvalid(f"target: {error}") from None
        if values_of(request.headers, b"upgrade"):
            raise RequestInvalid("the proxy does not upgrade connections")
        return Relay(request, url, self._wire, self._limits)

    @staticmethod
    def _check_host(hosts: list[str], url: Url) -> None:
        if any(parse_authority(host, default_port=80) != url.destination for host in hosts):
            raise RequestInvalid("the Host header names another host than the request")

    async def _refuse(self, error: SpokegateError) -> None:
        """Say no, if nothing was said yet, and keep the place for a while."""
        if self._wire.h11.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return  # the response has begun: cutting it off is what tells that it is not whole
        status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500)
        text = f"{reason_name(error)}: {public_message(error)} {error.decision_id}".strip().encode() + b"\n"
        headers: list[tuple[str, Any]] = [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(text))),
            ("Connection", "close"),
            ("Spokegate-Reason", reason_name(error)),
            ("Spokegate-Decision", error.decision_id),
        ]
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._wire.send(h11.Response(status_code=status, headers=headers))
                if self._takes_body:
                    await self._wire.send(h11.Data(data=text))
                await self._wire.send(h11.EndOfMessage())
                await self._end()
                await asyncio.sleep(self._limits.refusal_seconds)
        except TimeoutError:
            return

    async def _end(self) -> None:
        """Close, so that what was written arrives: a socket closed with unread bytes in it takes them back."""
        self.send_end()
        try:
            async with asyncio.timeout(self._limits.refusal_seconds):
                while await self.receive():
                    continue
        except TimeoutError:
            return
