"""The egress connector: the one door out of the system. It takes a permit of its own kind and nothing else.

Invariants:
    * Nothing is resolved, and nothing connected to, without a permit of this connector's own issuer.
    * The name is resolved once; if any address that it has may not be connected to, none is.
    * The connection goes to an address that was looked at, and for https the certificate must name the host.
    * Every await has a deadline; bytes are counted both ways and bounded.
    * What went wrong beyond the hub is one error, whatever it was: a refused address looks like a dead host.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from hub.errors import DeadlineExceeded, HostUnavailable, PolicyDenied, QuotaExceeded
from hub.permit import Door, Permit
from hub.spokes.egress.addresses import Address, Resolve, is_public, parse_address, system_resolver
from hub.spokes.egress.destination import Destination
from hub.spokes.egress.exchange import EgressLimits, Exchange, Traffic

_CHUNK_BYTES = 64 << 10

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Way:
    """What a permit lets out of the system.

    Attributes:
        destination: Where to.
        tls: Whether the hub itself speaks TLS on it.
        max_received_bytes: What the decision lets come in over it at most.
    """

    destination: Destination
    tls: bool
    max_received_bytes: int | None


class EgressConnector(Door[Way]):
    """Opens permitted connections and lets their exchanges run.

    Args:
        limits: What is bounded.
        private_addresses: Addresses with ports that the owner lets connections go to though they are not public.
        ca_file: Certificates to trust besides those of the machine.
        resolve: How names become addresses.
    """

    def __init__(
        self,
        *,
        limits: EgressLimits = EgressLimits(),  # noqa: B008 - frozen
        private_addresses: Collection[tuple[Address, int]] = (),
        ca_file: Path | None = None,
        resolve: Resolve = system_resolver,
    ) -> None:
        super().__init__()
        self.limits = limits
        self._private_addresses = frozenset(private_addresses)
        self._resolve = resolve
        self._tls = ssl.create_default_context()
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
        if ca_file is not None:
            self._tls.load_verify_locations(ca_file)

    async def run(self, permit: Permit[Way], exchange: Exchange) -> None:
        """Connect to where a permit leads and run an exchange over the connection, until that is over.

        Raises:
            HostUnavailable: The host cannot be resolved or connected to, may not be, or broke off.
            DeadlineExceeded: It took too long, or nothing moved for too long.
            QuotaExceeded: More bytes than may be.
            PolicyDenied: The exchange was revoked while it ran.
        """
        way = self.redeem(permit)
        try:
            async with asyncio.timeout(exchange.seconds):
                addresses = await self._addresses(way.destination)
                reader, writer = await self._open(way, addresses, exchange.traffic)
                try:
                    await self._run(way, exchange, reader, writer)
                finally:
                    writer.transport.abort()
        except TimeoutError:
            raise DeadlineExceeded(f"{way.destination.id}: more than {exchange.seconds} s") from None
        except Exception as error:
            if exchange.revoked:
                raise _revoked(way) from error
            raise
        if exchange.revoked:
            raise _revoked(way)

    async def _run(
        self, way: Way, exchange: Exchange, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        idle = self.limits.idle_seconds
        received = self.limits.max_received_bytes
        if way.max_received_bytes is not None:
            received = min(received, way.max_received_bytes)
        try:
            async with asyncio.timeout(idle) as quiet:
                connection = _Connection(
                    way.destination.id, reader, writer, exchange.traffic, quiet, idle, self.limits, received
                )
                exchange.opened(connection)
                await exchange.run(connection)
        except TimeoutError:
            if not quiet.expired():
                raise
            raise DeadlineExceeded(f"{way.destination.id}: nothing moved for {idle} s") from None

    async def _addresses(self, destination: Destination) -> list[str]:
        try:
            async with asyncio.timeout(self.limits.resolve_seconds):
                found = list(await self._resolve(destination.host, destination.port))
        except (OSError, UnicodeError, TimeoutError) as error:
            raise HostUnavailable(f"{destination.id} cannot be resolved: {error!r}") from error
        refused = [address for address in found if not self._may_go_to(address, destination.port)]
        if refused or not found:
            _log.warning("a host is not public", host=destination.id, addresses=refused)
            raise HostUnavailable(f"{destination.id} is at {', '.join(refused) or 'no address'}, which is not public")
        return found

    def _may_go_to(self, address: str, port: int) -> bool:
        if is_public(address):
            return True
        try:
            return (parse_address(address), port) in self._private_addresses
        except ValueError:
            return False

    async def _open(
        self, way: Way, addresses: Sequence[str], traffic: Traffic
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        error: Exception | None = None
        for address in addresses:
            try:
                async with asyncio.timeout(self.limits.connect_seconds):
                    streams = await asyncio.open_connection(
                        address,
                        way.destination.port,
                        limit=_CHUNK_BYTES,
                        ssl=self._tls if way.tls else None,
                        server_hostname=way.destination.host if way.tls else None,
                    )
                traffic.address = address
                return streams
            except (OSError, TimeoutError) as failed:  # ssl.SSLError is an OSError
                error = failed
        raise HostUnavailable(f"{way.destination.id} cannot be connected to: {error!r}") from error


class _Connection:
    """See `Connection`."""

    def __init__(
        self,
        name: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        traffic: Traffic,
        quiet: asyncio.Timeout,
        idle_seconds: float,
        limits: EgressLimits,
        max_received_bytes: int,
    ) -> None:
        self._name = name
        self._reader = reader
        self._writer = writer
        self._traffic = traffic
        self._quiet = quiet
        self._idle_seconds = idle_seconds
        self._max_sent_bytes = limits.max_sent_bytes
        self._max_received_bytes = max_received_bytes
        self._aborted = False

    async def receive(self) -> bytes:
        try:
            data = await self._reader.read(_CHUNK_BYTES)
        except OSError as error:
            raise HostUnavailable(f"{self._name} broke off: {error!r}") from error
        self._moved()
        self._traffic.received_bytes += len(data)
        if self._traffic.received_bytes > self._max_received_bytes:
            raise QuotaExceeded(f"{self._name} sent more than {self._max_received_bytes} bytes")
        return data

    async def send(self, data: bytes) -> None:
        if self._aborted or self._writer.is_closing():
            raise HostUnavailable(f"{self._name} broke off")
        if self._traffic.sent_bytes + len(data) > self._max_sent_bytes:
            raise QuotaExceeded(f"{self._name} was sent more than {self._max_sent_bytes} bytes")
        self._traffic.sent_bytes += len(data)
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError as error:
            raise HostUnavailable(f"{self._name} broke off: {error!r}") from error
        self._moved()

    def send_end(self) -> None:
        if not self._writer.is_closing() and self._writer.can_write_eof():
            try:
                self._writer.write_eof()
            except OSError as error:
                raise HostUnavailable(f"{self._name} broke off: {error!r}") from error

    def abort(self) -> None:
        self._aborted = True
        self._writer.transport.abort()

    def _moved(self) -> None:
        if self._aborted:
            raise HostUnavailable(f"{self._name}: cut off")
        if not self._quiet.expired():
            self._quiet.reschedule(asyncio.get_running_loop().time() + self._idle_seconds)


def _revoked(way: Way) -> PolicyDenied:
    return PolicyDenied(f"{way.destination.id}: the spoke has learnt what the decision did not know of")
