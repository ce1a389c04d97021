"""The errand `connect`: one connection to a host outside of the system."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from hub.mediation.caller import Caller
from hub.mediation.errands.errand import Errand
from hub.mediation.labels import Labels
from hub.mediation.obligations import Obligation, received_cap
from hub.mediation.request import GrantScope, HostFact, Resource
from hub.permit import Permit
from hub.spokes.egress.connector import EgressConnector, Way
from hub.spokes.egress.exchange import Exchange

_UNKNOWN = ""


class Connect(Errand):
    """A connection, and what goes over it.

    Args:
        exchange: What goes over it.
        connector: The door out of the system.
    """

    action = "connect"

    def __init__(self, exchange: Exchange, connector: EgressConnector) -> None:
        self._exchange = exchange
        self._connector = connector
        self._max_received_bytes: int | None = None
        self.streams = exchange.streams

    @property
    def id(self) -> str:
        """The host, `host:port`."""
        return self._exchange.destination.id

    @property
    def resource(self) -> Resource:
        """The host: all that is known of it before anything is asked about it is its name."""
        to = self._exchange.destination
        host = HostFact(name=to.host, port=to.port, scheme=self._exchange.scheme, origin=to.origin)
        return Resource(type="host", id=self.id, host=host)

    @property
    def arguments(self) -> dict[str, Any]:
        """What is known of the request."""
        return self._exchange.arguments

    @property
    def labels(self) -> Labels:
        """Whatever comes over a connection is untrusted."""
        return Labels.of(integrity=[self._exchange.destination.origin])

    @property
    def what(self) -> Way:
        """The one destination."""
        return Way(self._exchange.destination, self._exchange.scheme == "https", self._max_received_bytes)

    async def run(self, permit: Permit[Any]) -> None:
        """Connect, and let the exchange run until it is over."""
        await self._connector.run(permit, self._exchange)

    @contextmanager
    def counted(self, caller: Caller) -> Iterator[None]:
        """Count the connection; what is asked for in vain must not fill the memory."""
        declared = caller.app is not None and self.id in caller.app.egress
        caller.session.count_errand(self.id if declared else _UNKNOWN)
        yield

    def offer(self, scope: GrantScope, caller: str) -> str:
        """Return what a yes covers."""
        if scope == "once":
            return f"This one connection to {self.id}, for exactly this request."
        return f"Every connection of {caller} to {self.id}, whatever it sends, until the session ends."

    def meet(self, obligations: Sequence[Obligation]) -> None:
        """Cap what may come in; it is never whole in the hub, so nothing else can be done to it."""
        self._max_received_bytes = received_cap(obligations)

    @property
    def account(self) -> dict[str, Any]:
        """What was moved."""
        return {"traffic": asdict(self._exchange.traffic)}

    def revoke(self) -> None:
        """Cut the connection."""
        self._exchange.revoke()
