"""What goes over one egress connection: who it is for, what was moved, and how it is cut off."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from hub.spokes.egress.destination import Destination, Scheme


@dataclass(frozen=True, slots=True)
class EgressLimits:
    """What is bounded of every egress connection.

    Attributes:
        connections_per_spoke: How many connections of a spoke are served at once; more wait to be accepted.
        head_bytes: The largest head of a request or response.
        head_seconds: How long a request's head may take, with the wait for it.
        resolve_seconds: How long a name may take to resolve.
        connect_seconds: How long one address may take to connect, with TLS.
        idle_seconds: After how long without a byte either way a connection is cut.
        connection_seconds: After how long it is cut in any case.
        max_sent_bytes: How much may go out over one connection.
        max_received_bytes: How much may come in over one connection.
        refusal_seconds: How long a refused connection keeps its place, so that refusals cannot be had in floods.
    """

    connections_per_spoke: int = 32
    head_bytes: int = 32 << 10
    head_seconds: float = 20.0
    resolve_seconds: float = 5.0
    connect_seconds: float = 10.0
    idle_seconds: float = 60.0
    connection_seconds: float = 600.0
    max_sent_bytes: int = 64 << 20
    max_received_bytes: int = 256 << 20
    refusal_seconds: float = 0.25


@dataclass(slots=True)
class Traffic:
    """What was moved, for the audit log."""

    address: str = ""
    sent_bytes: int = 0
    received_bytes: int = 0


class Connection(Protocol):
    """An open connection to the decided address."""

    async def receive(self) -> bytes:
        """Return what came in; empty at the end.

        Raises:
            SpokegateError: It broke, or a limit was reached.
        """
        ...

    async def send(self, data: bytes) -> None:
        """Send, and return when there is room for more.

        Raises:
            SpokegateError: It broke, or a limit was reached.
        """
        ...

    def send_end(self) -> None:
        """Say that nothing more will be sent."""
        ...

    def abort(self) -> None:
        """Cut it off now; what is in its buffers is lost."""
        ...


class Exchange(ABC):
    """One use of one connection. The mediator decides on it, the connector runs it.

    Attributes:
        destination: Where it goes.
        scheme: `http`, `https`, or `connect` for bytes that the hub cannot look into.
        seconds: How long it may take once it is let through.
        traffic: What was moved so far.
    """

    streams: ClassVar[bool]
    """Whether the spoke can still put data into it after the decision."""

    def __init__(self, destination: Destination, scheme: Scheme, *, seconds: float) -> None:
        self.destination = destination
        self.scheme: Scheme = scheme
        self.seconds = seconds
        self.traffic = Traffic()
        self.revoked = False
        self._abort: Callable[[], None] | None = None

    @property
    @abstractmethod
    def arguments(self) -> dict[str, Any]:
        """What is decided on besides the destination, as JSON types."""

    @abstractmethod
    async def run(self, connection: Connection) -> None:
        """Use the connection until all is said.

        Raises:
            SpokegateError: It failed.
        """

    def opened(self, connection: Connection) -> None:
        """Take note of the connection; one that is revoked already is cut at once."""
        self._abort = connection.abort
        if self.revoked:
            connection.abort()

    def revoke(self) -> None:
        """Take the decision's yes back: not one more byte goes either way."""
        self.revoked = True
        if self._abort is not None:
            self._abort()
