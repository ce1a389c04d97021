"""What apps remember of a user, and the hub under its own name: entries by key, a history of turns, and its summary.

Whoever reads an item carries its labels, so they are kept with each one. Hubs that share a database share what is
remembered in it.

Invariants:
    * Every statement names the user and the app: nothing of another one is read, written or removed by any of them.
    * A write returns when it is durable, with its event in the audit log, whose lock puts hubs in an order.
    * What an app forgets while it carries labels leaves a trace that carries them: that something is gone is news too.
    * A turn leaves the history only once a summary speaks of it, or when it is forgotten; and what is forgotten while
      it is summarised is in no summary.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import Engine, bindparam, delete, func, insert, select, update

from hub.errors import QuotaExceeded
from hub.store.audit import AuditLog, Event
from hub.store.database import read
from hub.store.tables import MEMORY_ENTRIES, MEMORY_SUMMARIES, MEMORY_TURNS
from hub.store.writer import Write

Role = Literal["user", "assistant", "tool"]
StoredLabels = Mapping[str, list[str]]
"""Confidentiality and integrity, as sorted lists."""

_PAGE: Final = 200

_MINE: Final = {
    table: (table.c.user == bindparam("of_user")) & (table.c.app == bindparam("of_app"))
    for table in (MEMORY_ENTRIES, MEMORY_TURNS, MEMORY_SUMMARIES)
}
_DROP: Final = {table: delete(table).where(mine) for table, mine in _MINE.items()}
_DROP_ENTRY: Final = _DROP[MEMORY_ENTRIES].where(MEMORY_ENTRIES.c.key == bindparam("of_key"))
# No JSON is empty.
_HAS_VALUE: Final = MEMORY_ENTRIES.c.value_json != ""
_ADD: Final = {table: insert(table) for table in _MINE}
_LAST: Final[Any] = bindparam("last")
# Of all who summarise up to one turn, the database lets the first: it stands for whether they are there, and open.
_CLAIM: Final = (
    update(MEMORY_TURNS)
    .where(_MINE[MEMORY_TURNS], MEMORY_TURNS.c.id == _LAST, MEMORY_TURNS.c.summarised.is_(False))
    .values(summarised=True)
)
_CLOSE: Final = update(MEMORY_TURNS).where(_MINE[MEMORY_TURNS], MEMORY_TURNS.c.id < _LAST).values(summarised=True)
_PRUNE: Final = _DROP[MEMORY_TURNS].where(MEMORY_TURNS.c.id <= _LAST, MEMORY_TURNS.c.summarised.is_(True))


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is remembered by one app of one user.

    Turns beyond it go when they are summarised; while they are not, there may be twice as many. What is stored at the
    same time can go beyond it by as much.
    """

    entries: int = 1_000
    entry_bytes: int = 2 << 20  # all of them go into one frame
    turns: int = 2_000
    turn_bytes: int = 8 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A fact under a key; one without a value is the trace of one that was forgotten."""

    key: str
    value_json: str
    labels: StoredLabels
    stored: float


@dataclass(frozen=True, slots=True)
class Turn:
    """One thing that was said. Turns are numbered in the order in which they were stored."""

    id: int
    role: Role
    text: str
    labels: StoredLabels
    stored: float


@dataclass(frozen=True, slots=True)
class Summary:
    """What the turns before the open ones came to."""

    text: str
    labels: StoredLabels
    stored: float


@dataclass(frozen=True, slots=True)
class History:
    """What is open: the summary of all turns that are not, and those that no summary speaks of, oldest first."""

    summary: Summary | None
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Remembered:
    """One thing that is remembered, and who remembers it."""

    app: str
    what: Entry | Turn | Summary


class MemoryStore:
    """Keeps it.

    Args:
        engine: The database; its tables exist.
        audit: Where it is recorded that there is more, or less.
        bounds: How much.
    """

    def __init__(self, engine: Engine, audit: AuditLog, bounds: Bounds = Bounds()) -> None:
        self._engine = engine
        self._audit = audit
        self._bounds = bounds

    async def put(
        self, user: str, app: str, key: str, value_json: str, labels: StoredLabels, *, decision_id: str = ""
    ) -> None:
        """Store an entry in place of what stood under its key.

        Raises:
            QuotaExceeded: There is no room.
            AuditUnavailable: It could not be written.
        """
        size = len(key.encode()) + len(value_json.encode())
        others = MEMORY_ENTRIES.c.key != key
        count, held = await self._size(MEMORY_ENTRIES, user, app, others)
        if count >= self._bounds.entries or held + size > self._bounds.entry_bytes:
            raise QuotaExceeded(f"{app} remembers {count} entries of {held} bytes of {user}: forget some")
        row = {"user": user, "app": app, "key": key, "value_json": value_json, "bytes": size}
        await self._audit.record(
            _event("stored", user, app, decision_id),
            Write(_DROP_ENTRY, {**_owner(user, app), "of_key": key}),
            Write(_ADD[MEMORY_ENTRIES], {**row, "labels": dict(labels), "stored": time.time()}),
        )

    async def forget_entry(
        self, user: str, app: str, key: str, labels: StoredLabels | None = None, *, decision_id: str = ""
    ) -> int:
        """Remove an entry; return how many there were.

        Args:
            user: Whose.
            app: Who remembers it.
            key: Its key.
            labels: What whoever forgets it carries; where that is anything, a trace with it stays under the key.
            decision_id: The decision that let it be.

        Raises:
            AuditUnavailable: It could not be written.
        """
        count, _ = await self._size(MEMORY_ENTRIES, user, app, MEMORY_ENTRIES.c.key == key, _HAS_VALUE)
        writes = [Write(_DROP_ENTRY, {**_owner(user, app), "of_key": key})]
        if count and labels is not None and any(labels.values()):
            trace = {"user": user, "app": app, "key": key, "value_json": "", "bytes": len(key.encode())}
            writes.append(Write(_ADD[MEMORY_ENTRIES], {**trace, "labels": dict(labels), "stored": time.time()}))
        await self._audit.record(_event("forgotten", user, app, decision_id, count), *writes)
        return count

    async def entries(self, user: str, app: str, key: str | None = None) -> list[Entry]:
        """Return the entries by key, or the one under a key; traces too.

        Raises:
            AuditUnavailable: The database could not be read.
        """
        query = select(MEMORY_ENTRIES).where(_MINE[MEMORY_ENTRIES]).order_by(MEMORY_ENTRIES.c.key)
        if key is not None:
            query = query.where(MEMORY_ENTRIES.c.key == key)
        rows = await self._read(query, _owner(user, app))
        # Not the database's order, which depends on its locale.
        return sorted((_entry(row) for row in rows), key=lambda entry: entry.key)

    async def say(
        self, user: str, app: str, role: Role, text: str, labels: StoredLabels, *, decision_id: str = ""
    ) -> None:
        """Store a turn at the end of the history.

        Raises:
            QuotaExceeded: More was said than can be summarised in the meantime.
            AuditUnavailable: It could not be written.
        """
        # Neither has a place in every database's text.
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
        size = len(text.encode())
        count, held = await self._size(MEMORY_TURNS, user, app)
        if count >= 2 * self._bounds.turns or held + size > 2 * self._bounds.turn_bytes:
            raise QuotaExceeded(f"{app} has {count} turns of {held} bytes with {user} that wait to be summarised")
        row = {"user": user, "app": app, "role": role, "text": text, "bytes": size, "summarised": False}
        await self._audit.record(
            _event("said", user, app, decision_id),
            Write(_ADD[MEMORY_TURNS], {**row, "labels": dict(labels), "stored": time.time()}),
        )

    async def history(self, user: str, app: str) -> History:
        """Return the summary, and the turns that it does not speak of.

        Raises:
            AuditUnavailable: The database could not be read.
        """
        open_turns = select(MEMORY_TURNS).where(_MINE[MEMORY_TURNS], MEMORY_TURNS.c.summarised.is_(False))
        summaries = select(MEMORY_SUMMARIES).where(_MINE[MEMORY_SUMMARIES])

        # The turns first: one that is summarised in between is then told twice, and never not at all.
        turns = await self._read(open_turns.order_by(MEMORY_TURNS.c.id), _owner(user, app))
        found = await self._read(summaries, _owner(user, app))
        return History(_summary(found[0]) if found else None, tuple(_turn(row) for row in turns))

    async def summarise(self, user: str, app: str, summary: Summary, *, last: int) -> bool:
        """Let a summary stand for all turns up to one, and for the summary before it.

        Turns beyond what is kept go: the oldest of those that are summarised.

        Returns:
            Whether it does: not where that turn is forgotten, or summarised already.

        Raises:
            AuditUnavailable: It could not be read or written.
        """
        mine = _owner(user, app)
        row = {"user": user, "app": app, "text": summary.text, "labels": dict(summary.labels), "stored": summary.stored}
        prune = await self._beyond_what_is_kept(user, app)
        return await self._audit.record(
            _event("summarised", user, app),
            Write(_CLOSE, {**mine, "last": last}),
            Write(_PRUNE, {**mine, "last": prune}),
            Write(_DROP[MEMORY_SUMMARIES], mine),
            Write(_ADD[MEMORY_SUMMARIES], row),
            guard=Write(_CLAIM, {**mine, "last": last}),
        )

    async def forget(self, user: str, app: str = "") -> int:
        """Remove all that an app remembers of a user, or that all do; return how many items there were.

        Raises:
            AuditUnavailable: It could not be read or written.
        """
        forgotten = 0
        for name in [app] if app else await self._apps(user):
            sizes = [
                await self._size(MEMORY_ENTRIES, user, name, _HAS_VALUE),
                await self._size(MEMORY_TURNS, user, name),
                await self._size(MEMORY_SUMMARIES, user, name),
            ]
            count = sum(items for items, _ in sizes)
            drops = [Write(drop, _owner(user, name)) for drop in _DROP.values()]
            await self._audit.record(_event("forgotten", user, name, count=count), *drops)
            forgotten += count
        return forgotten

    async def export(self, user: str, app: str = "") -> AsyncIterator[Remembered]:
        """Yield all that is remembered of a user, or that one app does: entries, summary, turns.

        Raises:
            AuditUnavailable: The database could not be read.
        """
        for name in [app] if app else await self._apps(user):
            for entry in await self.entries(user, name):
                if entry.value_json:
                    yield Remembered(name, entry)
            for row in await self._read(select(MEMORY_SUMMARIES).where(_MINE[MEMORY_SUMMARIES]), _owner(user, name)):
                yield Remembered(name, _summary(row))
            after, page = 0, select(MEMORY_TURNS).where(_MINE[MEMORY_TURNS]).order_by(MEMORY_TURNS.c.id).limit(_PAGE)
            while rows := await self._read(page.where(MEMORY_TURNS.c.id > after), _owner(user, name)):
                for row in rows:
                    yield Remembered(name, _turn(row))
                after = rows[-1].id

    async def _apps(self, user: str) -> list[str]:
        names: set[str] = set()
        for table in _MINE:
            names.update(
                row.app for row in await self._read(select(table.c.app).where(table.c.user == user).distinct())
            )
        return sorted(names)

    async def _size(self, table: Any, user: str, app: str, *conditions: Any) -> tuple[int, int]:
        weight = func.sum(table.c.bytes) if "bytes" in table.c else func.count()
        query = select(func.count().label("items"), weight.label("held")).select_from(table)
        [row] = await self._read(query.where(_MINE[table], *conditions), _owner(user, app))
        return int(row.items), int(row.held or 0)

    async def _beyond_what_is_kept(self, user: str, app: str) -> int:
        """Return the newest turn that there is no room for; 0 where there is room for all."""
        query = select(MEMORY_TURNS.c.id, MEMORY_TURNS.c.bytes).where(_MINE[MEMORY_TURNS])
        held = 0
        rows = await self._read(query.order_by(MEMORY_TURNS.c.id.desc()), _owner(user, app))
        for place, row in enumerate(rows):
            held += row.bytes
            if place >= self._bounds.turns or held > self._bounds.turn_bytes:
                return int(row.id)
        return 0

    async def _read(self, query: Any, parameters: dict[str, Any] | None = None) -> list[Any]:
        return await read(self._engine, query, parameters, what="what is remembered")


def _owner(user: str, app: str) -> dict[str, Any]:
    return {"of_user": user, "of_app": app}


def _entry(row: Any) -> Entry:
    return Entry(row.key, row.value_json, row.labels, row.stored)


def _turn(row: Any) -> Turn:
    return Turn(row.id, row.role, row.text, row.labels, row.stored)


def _summary(row: Any) -> Summary:
    return Summary(row.text, row.labels, row.stored)


def _event(what: str, user: str, app: str, decision_id: str = "", count: int = 1) -> Event:
    body = {"what": what, "app": app, "items": count}
    return Event(kind="memory", body=body, decision_id=decision_id, user=user)
