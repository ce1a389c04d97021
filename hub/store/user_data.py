"""What a user says of themselves, by name, each value with the tags that it carries."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Engine, bindparam, delete, insert, select

from hub.errors import EntityNotFound, QuotaExceeded
from hub.store.audit import AuditLog, Event
from hub.store.database import read
from hub.store.tables import USER_DATA
from hub.store.writer import Write

MAX_ATTRIBUTES: Final = 100

_INSERT: Final = insert(USER_DATA)
_DELETE: Final = delete(USER_DATA).where(
    USER_DATA.c.user == bindparam("of_user"), USER_DATA.c.name == bindparam("of_name")
)


@dataclass(frozen=True, slots=True)
class Attribute:
    """Something about a user."""

    name: str
    value_json: str
    confidentiality: tuple[str, ...] = ()


class UserDataStore:
    """Keeps it. The audit log says that an attribute was set or deleted, never what it holds.

    Args:
        engine: The database; its tables exist.
        audit: Where it is recorded.
    """

    def __init__(self, engine: Engine, audit: AuditLog) -> None:
        self._engine = engine
        self._audit = audit

    async def set(self, user: str, attribute: Attribute) -> None:
        """Store an attribute in place of what stood under its name, and return when it is durable.

        Raises:
            QuotaExceeded: There are too many.
            AuditUnavailable: It could not be written.
        """
        known = {held.name for held in await self.list_for(user)}
        if len(known - {attribute.name}) >= MAX_ATTRIBUTES:
            raise QuotaExceeded(f"{user} has {MAX_ATTRIBUTES} attributes: delete one")
        row = {
            "user": user,
            "name": attribute.name,
            "value_json": attribute.value_json,
            "confidentiality": list(attribute.confidentiality),
            "stored": time.time(),
        }
        await self._audit.record(
            _event("set", user, attribute.name, attribute.confidentiality),
            Write(_DELETE, {"of_user": user, "of_name": attribute.name}),
            Write(_INSERT, row),
        )

    async def list_for(self, user: str, names: Collection[str] | None = None) -> list[Attribute]:
        """Return a user's attributes by name: all, or those of some names.

        Raises:
            AuditUnavailable: The database could not be read.
        """
        query = select(USER_DATA).where(USER_DATA.c.user == user)
        if names is not None:
            query = query.where(USER_DATA.c.name.in_(names))
        rows = await read(self._engine, query, what="the user's data")
        found = [Attribute(row.name, row.value_json, tuple(row.confidentiality)) for row in rows]
        # Not the database's order, which depends on its locale.
        return sorted(found, key=lambda attribute: attribute.name)

    async def delete(self, user: str, name: str) -> None:
        """Remove an attribute, and return when that is durable.

        Raises:
            EntityNotFound: There is none of this name.
            AuditUnavailable: It could not be written.
        """
        found = Write(_DELETE, {"of_user": user, "of_name": name})
        if not await self._audit.record(_event("deleted", user, name), guard=found):
            raise EntityNotFound(f"no attribute {name!r}")


def _event(what: str, user: str, name: str, confidentiality: Collection[str] = ()) -> Event:
    body: dict[str, Any] = {"what": what, "name": name, "confidentiality": sorted(confidentiality)}
    return Event(kind="user_data", body=body, user=user)
