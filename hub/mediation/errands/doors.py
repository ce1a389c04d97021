"""The doors of the hub's own errands. The mediator takes their issuers; an errand brings its permit to its door."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hub.mediation.errands.share import Disclosure
from hub.mediation.memory import Memory
from hub.mediation.request import ActionName
from hub.model.client import ModelClient
from hub.permit import Issuer
from hub.spokes.egress.connector import EgressConnector


@dataclass(frozen=True, slots=True)
class Doors:
    """The doors.

    Attributes:
        connector: The door out of the system.
        memory: The door to what is remembered.
        disclosure: The door through which a function is told of the user.
        model: The door to the model; None where the hub has none.
    """

    connector: EgressConnector
    memory: Memory
    disclosure: Disclosure
    model: ModelClient | None = None

    def take_issuers(self) -> dict[ActionName, Issuer[Any]]:
        """Return the issuers of the permits, by the action that takes them. They are given out once."""
        memory = self.memory.take_issuer()
        issuers: dict[ActionName, Issuer[Any]] = {
            "connect": self.connector.take_issuer(),
            "remember": memory,
            "recall": memory,
            "share": self.disclosure.take_issuer(),
        }
        if self.model is not None:
            issuers["generate"] = self.model.take_issuer()
        return issuers
