"""Permits: the proof that the mediator let a request through. The forwarder and the egress connector take nothing else.

Each of the two makes one issuer and gives it out once, at start-up, to the mediator. Only permits of that issuer open
its door, each of them once. So a request that did not go through the mediator has nothing to show, and what is
delivered, or connected to, is what the permit was made for.

Invariants:
    * A permit is redeemed at most once.
    * A door redeems only permits of its own issuer, which are of its own kind.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hub.spokes.egress.destination import Destination


class PermitInvalid(RuntimeError):
    """A permit was used twice or at another forwarder's door: a fault in the hub itself."""


@dataclass(slots=True, eq=False, kw_only=True)
class _Permit:
    """Lets one request through, once."""

    issuer: object
    decision_id: str
    _redeemed: bool = field(default=False, init=False)

    def redeem(self, issuer: object) -> None:
        """Use the permit up.

        Raises:
            PermitInvalid: It is used already, or of another issuer.
        """
        if self.issuer is not issuer or self._redeemed:
            raise PermitInvalid(f"permit of {self.decision_id}: used twice or foreign")
        self._redeemed = True


@dataclass(slots=True, eq=False, kw_only=True)
class Permit(_Permit):
    """Lets one call through. Made by `PermitIssuer.issue` alone."""

    function: str
    arguments_json: str


@dataclass(slots=True, eq=False, kw_only=True)
class ConnectPermit(_Permit):
    """Lets one connection through. Made by `ConnectPermitIssuer.issue` alone."""

    destination: Destination
    tls: bool
    max_received_bytes: int | None


class PermitIssuer:
    """Makes the permits that one forwarder takes."""

    def issue(self, *, decision_id: str, function: str, arguments_json: str) -> Permit:
        """Return a permit for exactly these bytes.

        Args:
            decision_id: The decision on record that lets the call through.
            function: The function's name within its app.
            arguments_json: The canonical JSON to deliver.
        """
        return Permit(issuer=self, decision_id=decision_id, function=function, arguments_json=arguments_json)


class ConnectPermitIssuer:
    """Makes the permits that one egress connector takes."""

    def issue(
        self, *, decision_id: str, destination: Destination, tls: bool, max_received_bytes: int | None
    ) -> ConnectPermit:
        """Return a permit for one connection to exactly this destination.

        Args:
            decision_id: The decision on record that lets the connection through.
            destination: Where to.
            tls: Whether the hub itself speaks TLS on it.
            max_received_bytes: What the decision lets come in over it at most.
        """
        return ConnectPermit(
            issuer=self,
            decision_id=decision_id,
            destination=destination,
            tls=tls,
            max_received_bytes=max_received_bytes,
        )
