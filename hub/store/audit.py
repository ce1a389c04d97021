"""The audit log: append-only, hash-chained, durable before anything is forwarded.

Every decision is one event of kind `decision`, written before its request goes on; what became of it is a later event
of kind `outcome`. Nothing is ever changed or removed. Each row's hash covers its content and the hash of the row
before, so tampering shows (see `verify`). Arguments and results are kept as digests.

Hubs that share a database write one chain: each batch locks the row that says where the log ends, and moves it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from sqlalchemy import Connection, Engine, insert, select, update

from hub.errors import EntityNotFound
from hub.store.database import read
from hub.store.tables import AUDIT, AUDIT_HEAD
from hub.store.writer import GroupWriter, Write

GENESIS = "0" * 64
"""What stands for the hash of the row before the first."""

_INSERT = insert(AUDIT)
_PAGE = 1000
_HEAD = select(AUDIT_HEAD.c.seq, AUDIT_HEAD.c.hash).with_for_update()
_MOVE_HEAD = update(AUDIT_HEAD)
# How a diverging decision's row has it. Within a text of the body its quotes would be escaped.
_DIVERGING = '"diverges":true,"decided_by":'
_HASHED = ("seq", "time", "hub", "kind", "decision_id", "session", "user", "body", "previous_hash")


@dataclass(frozen=True, slots=True)
class Event:
    """Something to put on record."""

    kind: str
    body: dict[str, Any]
    decision_id: str = ""
    session: str = ""
    user: str = ""
    time: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True)
class Row:
    """An event as it stands in the log."""

    seq: int
    time: float
    hub: str
    kind: str
    decision_id: str
    session: str
    user: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A decision, and what became of it; no outcome yet means that it is pending."""

    decision: Row
    outcome: Row | None


class AuditLog:
    """Appends events and reads them back. Use as `async with`.

    Args:
        engine: The database.
        hub: The name that this hub writes into its rows; no other that shares the database has it.
    """

    def __init__(self, engine: Engine, *, hub: str = "hub") -> None:
        self._engine = engine
        self.hub = hub
        self.writer = GroupWriter(engine, enter=self._lock, prepare=self._chain)

    async def __aenter__(self) -> Self:
        await self.writer.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.writer.__aexit__(*exc_info)

    async def record(self, event: Event, *also: Write, guard: Write | None = None) -> bool:
        """Append an event, and what is to be written with it, and return when it is durable.

        Args:
            event: What happened.
            also: What is written with it.
            guard: A change; where it finds nothing to change, nothing is written.

        Returns:
            Whether it was written.

        Raises:
            AuditUnavailable: It could not be written.
        """
        return await self.writer.submit(*also, _write_of(event), guard=guard)

    def record_later(self, event: Event, *also: Write, guard: Write | None = None) -> None:
        """Append an event with the next batch, without waiting; for the guard see `record`."""
        self.writer.submit_later(*also, _write_of(event), guard=guard)

    async def settle(self) -> None:
        """Return when everything that was appended before is durable.

        Raises:
            AuditUnavailable: The log could not be written.
        """
        await self.writer.submit()

    async def recover(self) -> int:
        """Say of all that the last run of this hub left in flight what became of it: it was interrupted.

        To be called before the first event of kind `hub`, with which a run begins.

        Returns:
            How many decisions those were.

        Raises:
            AuditUnavailable: The log could not be read or written.
        """
        mine = AUDIT.c.hub == self.hub
        started = select(AUDIT).where(mine, AUDIT.c.kind == "hub").order_by(AUDIT.c.seq.desc()).limit(1)
        since = max((row.seq for row in await self._read(started)), default=0)
        known = select(AUDIT.c.decision_id).where(mine, AUDIT.c.kind == "outcome", AUDIT.c.seq > since)
        rows = await self._read(
            select(AUDIT)
            .where(mine, AUDIT.c.kind == "decision", AUDIT.c.seq > since, AUDIT.c.decision_id.not_in(known))
            .order_by(AUDIT.c.seq)
        )
        cut_off = [row for row in rows if row.body["effect"] != "deny"]
        for row in cut_off:
            body = {"outcome": "interrupted", "total_seconds": 0.0, "delivered_digest": ""}
            self.record_later(Event("outcome", body, row.decision_id, session=row.session, user=row.user))
        await self.settle()
        return len(cut_off)

    async def decisions(
        self,
        user: str,
        *,
        session: str = "",
        limit: int = 50,
        before_seq: int | None = None,
        diverging: bool = False,
    ) -> list[Recorded]:
        """Return a user's decisions, newest first.

        Args:
            user: Whose.
            session: Only of this session; empty means of all.
            limit: How many at most.
            before_seq: Only those with a smaller sequence number.
            diverging: Only those whose effect would be another if packages in log-only mode were enforced.

        Raises:
            AuditUnavailable: The log could not be read.
        """
        await self.settle()
        query = select(AUDIT).where(AUDIT.c.user == user, AUDIT.c.kind == "decision")
        if session:
            query = query.where(AUDIT.c.session == session)
        if before_seq is not None:
            query = query.where(AUDIT.c.seq < before_seq)
        if diverging:
            query = query.where(AUDIT.c.body.contains(_DIVERGING, autoescape=True))
        rows = await self._read(query.order_by(AUDIT.c.seq.desc()).limit(limit))
        outcomes = {row.decision_id: row for row in await self._outcomes([row.decision_id for row in rows])}
        return [Recorded(row, outcomes.get(row.decision_id)) for row in rows]

    async def decision(self, user: str, decision_id: str) -> Recorded:
        """Return one decision of a user.

        Raises:
            EntityNotFound: There is none with this id, or it is another user's.
            AuditUnavailable: The log could not be read.
        """
        await self.settle()
        rows = await self._read(
            select(AUDIT).where(AUDIT.c.decision_id == decision_id, AUDIT.c.kind == "decision", AUDIT.c.user == user)
        )
        if not rows:
            raise EntityNotFound(f"no decision {decision_id!r}")
        outcomes = await self._outcomes([decision_id])
        return Recorded(rows[0], outcomes[0] if outcomes else None)

    async def _outcomes(self, decision_ids: Sequence[str]) -> list[Row]:
        if not decision_ids:
            return []
        return await self._read(select(AUDIT).where(AUDIT.c.kind == "outcome", AUDIT.c.decision_id.in_(decision_ids)))

    async def _read(self, query: Any) -> list[Row]:
        return [row_of(row) for row in await read(self._engine, query, what="the audit log")]

    @staticmethod
    def _lock(connection: Connection) -> None:
        connection.execute(_HEAD).one()

    def _chain(self, connection: Connection, writes: list[Write]) -> None:
        """Number and chain the batch's events, and move the head."""
        events = [write.parameters for write in writes if write.statement is _INSERT]
        if not events:
            return
        seq, head = connection.execute(_HEAD).one()
        for row in events:
            seq += 1
            row |= {"seq": seq, "hub": self.hub, "previous_hash": head}
            head = row["hash"] = row_hash(row)
        connection.execute(_MOVE_HEAD, {"seq": seq, "hash": head})


def scan(engine: Engine, *, after: int = 0, kinds: Sequence[str] = ()) -> Iterator[Any]:
    """Yield the table's rows after a sequence number, in order, those of some kinds or all.

    By pages, so that no long transaction keeps a running hub from its own work.

    Raises:
        SQLAlchemyError: The log cannot be read.
    """
    while True:
        query = select(AUDIT).where(AUDIT.c.seq > after).order_by(AUDIT.c.seq).limit(_PAGE)
        if kinds:
            query = query.where(AUDIT.c.kind.in_(kinds))
        with engine.connect() as connection:
            page = connection.execute(query).all()
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1].seq


def row_of(row: Any) -> Row:
    """Return a row of the table with its body parsed."""
    return Row(row.seq, row.time, row.hub, row.kind, row.decision_id, row.session, row.user, json.loads(row.body))


def row_hash(row: dict[str, Any]) -> str:
    """Return the SHA-256, in hex, of a row's content and the hash of the row before it."""
    content = json.dumps([row[name] for name in _HASHED], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def _write_of(event: Event) -> Write:
    return Write(
        _INSERT,
        {
            "time": event.time,
            "kind": event.kind,
            "decision_id": event.decision_id,
            "session": event.session,
            "user": event.user,
            "body": json.dumps(event.body, ensure_ascii=False, separators=(",", ":")),
        },
    )
