"""The errand `share`: one attribute of the user for a function that is about to run."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hub.mediation import obligations, schema
from hub.mediation.errands.errand import Errand
from hub.mediation.labels import Labels
from hub.mediation.obligations import Obligation
from hub.mediation.request import AttributeFact, GrantScope, Resource
from hub.permit import Door, Permit
from hub.spokes.registry import RegisteredFunction
from hub.store.user_data import Attribute, UserDataStore

_KIND: Final = "user_data"


@dataclass(frozen=True, slots=True)
class Shared:
    """An attribute as a function is told it."""

    name: str
    value_json: str


class Disclosure(Door[Shared | None]):
    """The door through which a function is told of the user.

    Args:
        store: What users say of themselves.
    """

    def __init__(self, store: UserDataStore) -> None:
        super().__init__()
        self._store = store

    async def of(self, user: str, names: Collection[str]) -> list[Attribute]:
        """Return, for the hub alone, which attributes of these names a user has.

        Raises:
            AuditUnavailable: The database could not be read.
        """
        return await self._store.list_for(user, names)

    def tell(self, permit: Permit[Shared | None]) -> Shared | None:
        """Return what a permit lets the function be told."""
        return self.redeem(permit)


class Share(Errand):
    """Telling a function an attribute of the user. The spoke that is to run it asks.

    Args:
        disclosure: The door.
        attribute: The attribute.
        function: The function.
        why: What its manifest says it wants it for.
    """

    action = "share"
    from_user = "/value"
    exact = True

    def __init__(self, disclosure: Disclosure, attribute: Attribute, function: RegisteredFunction, why: str) -> None:
        self._disclosure = disclosure
        self._attribute = attribute
        self._function = function
        self._arguments = {"value": json.loads(attribute.value_json), "function": function.id, "why": why}
        self.shared: Shared | None = None

    @property
    def id(self) -> str:
        """The attribute, `user_data/NAME`."""
        return f"{_KIND}/{self._attribute.name}"

    @property
    def resource(self) -> Resource:
        """The attribute, and what its value carries."""
        fact = AttributeFact(
            name=self._attribute.name,
            function=self._function.name,
            confidentiality=list(self._attribute.confidentiality),
        )
        return Resource(type=_KIND, id=self.id, user_data=fact)

    @property
    def arguments(self) -> dict[str, Any]:
        """What a person who is asked has to see: the value, for whom it is, and why."""
        return self._arguments

    @property
    def labels(self) -> Labels:
        """What the value carries."""
        return Labels.of(confidentiality=self._attribute.confidentiality)

    @property
    def what(self) -> Shared | None:
        """What is left of the value; nothing where an obligation dropped it."""
        if "value" not in self._arguments:
            return None
        return Shared(self._attribute.name, schema.canonical(self._arguments["value"], what="value").decode())

    def offer(self, scope: GrantScope, caller: str) -> str:
        """Return what a yes covers."""
        if scope == "once":
            return f"{caller} gets this value, this time."
        how_long = {"session": "until the session ends", "until": "until the time that you say"}
        ends = how_long.get(scope, "until you revoke it or the app changes")
        return f"{caller} gets this very value for {self._function.id}, {ends}."

    def meet(self, required: Sequence[Obligation]) -> None:
        """Edit the value."""
        edits = [item for item in required if item.on == "arguments"]
        super().meet([item for item in required if item.on != "arguments"])
        self._arguments = obligations.apply(edits, self._arguments, on="arguments")

    async def run(self, permit: Permit[Any]) -> None:
        """Let the function be told."""
        self.shared = self._disclosure.tell(permit)
