"""The labels of the data that apps keep, as rows that are only ever added."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Engine, insert, select

from hub.store.audit import AuditLog, Event
from hub.store.tables import DATA_LABELS
from hub.store.writer import Write

_INSERT: Final = insert(DATA_LABELS)


class DataLabelStore:
    """Keeps them, for the data directories of one hub.

    Args:
        engine: The database.
        audit: Where it is recorded that there are more.
        hub: The hub's name; another hub has other directories.
    """

    def __init__(self, engine: Engine, audit: AuditLog, *, hub: str = "hub") -> None:
        self._engine = engine
        self._audit = audit
        self._hub = hub

    def load(self) -> list[tuple[str, str, str, str]]:
        """Return user, app, kind and label of all that were ever added."""
        query = select(DATA_LABELS.c.user, DATA_LABELS.c.app, DATA_LABELS.c.kind, DATA_LABELS.c.label)
        with self._engine.connect() as connection:
            found = connection.execute(query.where(DATA_LABELS.c.hub == self._hub))
            return [(row.user, row.app, row.kind, row.label) for row in found]

    async def add(self, user: str, app: str, labels: dict[str, list[str]]) -> None:
        """Add labels, by kind, and return when they are durable. The same label may be added more than once.

        Raises:
            AuditUnavailable: They could not be written.
        """
        rows = [
            Write(_INSERT, {"hub": self._hub, "user": user, "app": app, "kind": kind, "label": label})
            for kind, members in labels.items()
            for label in members
        ]
        await self._audit.record(Event(kind="labels", body={"app": app, "added": labels}, user=user), *rows)
