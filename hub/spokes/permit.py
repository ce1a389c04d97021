"""Permits: the proof that the mediator let a request through. The forwarder takes nothing else.

Each forwarder makes one issuer and gives it out once, at start-up, to the mediator. Only permits of that issuer open
its door, each of them once. So a call that did not go through the mediator has nothing to show, and the bytes that are
delivered are the ones that the permit was made for.

Invariants:
    * A permit is redeemed at most once.
    * A forwarder redeems only permits of its own issuer.
"""

from __future__ import annotations

from dataclasses import dataclass, field


class PermitInvalid(RuntimeError):
    """A permit was used twice or at another forwarder's door: a fault in the hub itself."""


@dataclass(slots=True, eq=False)
class Permit:
    """Lets one call through. Made by `PermitIssuer.issue` alone."""

    issuer: PermitIssuer
    decision_id: str
    function: str
    arguments_json: str
    _redeemed: bool = field(default=False, init=False)

    def redeem(self, issuer: PermitIssuer) -> None:
        """Use the permit up.

        Raises:
            PermitInvalid: It is used already, or of another issuer.
        """
        if self.issuer is not issuer or self._redeemed:
            raise PermitInvalid(f"permit of {self.decision_id} for {self.function}: used twice or foreign")
        self._redeemed = True


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
