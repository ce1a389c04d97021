"""Permits: the proof that the mediator let a request through. The doors of the hub take nothing else.

A door is where something leaves the hub: the forwarder into a spoke, the egress connector, the model, the memory. Each
makes one issuer and gives it out once, at start-up, to the mediator. Only permits of that issuer open the door, each of
them once. So a request that did not go through the mediator has nothing to show, and what is delivered, connected to or
asked of the model is what the permit was made for.

Invariants:
    * A permit is redeemed at most once.
    * A door redeems only permits of its own issuer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

What = TypeVar("What")


class PermitInvalid(RuntimeError):
    """A permit was used twice or at another door: a fault in the hub itself."""


@dataclass(slots=True, eq=False, kw_only=True)
class Permit(Generic[What]):
    """Lets one request through, once. Made by `Issuer.issue` alone.

    Attributes:
        decision_id: The decision on record that lets it through.
        what: What exactly it lets through.
    """

    issuer: object
    decision_id: str
    what: What
    _redeemed: bool = field(default=False, init=False)

    def redeem(self, issuer: object) -> What:
        """Use the permit up, and return what it is for.

        Raises:
            PermitInvalid: It is used already, or of another issuer.
        """
        if self.issuer is not issuer or self._redeemed:
            raise PermitInvalid(f"permit of {self.decision_id}: used twice or foreign")
        self._redeemed = True
        return self.what


class Issuer(Generic[What]):
    """Makes the permits that one door takes."""

    def issue(self, *, decision_id: str, what: What) -> Permit[What]:
        """Return a permit for exactly this.

        Args:
            decision_id: The decision on record that lets it through.
            what: What it lets through.
        """
        return Permit(issuer=self, decision_id=decision_id, what=what)


class Door(Generic[What]):
    """A way out of the hub, which opens for permits of its own issuer."""

    def __init__(self) -> None:
        self._issuer: Issuer[What] = Issuer()
        self._issuer_taken = False

    def take_issuer(self) -> Issuer[What]:
        """Return the issuer of the only permits that this door redeems. It is given out once."""
        if self._issuer_taken:
            raise RuntimeError("the permit issuer is taken: there is one mediator")
        self._issuer_taken = True
        return self._issuer

    def redeem(self, permit: Permit[What]) -> What:
        """Use a permit up, and return what it is for.

        Raises:
            PermitInvalid: It is used already, or of another door's issuer.
        """
        return permit.redeem(self._issuer)
