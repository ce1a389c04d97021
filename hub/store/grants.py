"""Grants: a person's yes that is kept, bound to exactly what it was given for.

Scopes: `once` (the exact arguments, by digest, used up by its first use) and `session` (the same values of the
function's control arguments, until the session ends). Those that hold are kept in memory, because every decision reads
them; the database has all of them, for lists and for the audit.

Invariants:
    * A grant is used up, revoked or closed at once in memory; a request that is decided afterwards cannot see it.
    * A `once` grant lets at most one request through, however many are decided at the same time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlalchemy import Engine, bindparam, insert, select, update

from hub.errors import EntityNotFound
from hub.store.audit import AuditLog, Event
from hub.store.tables import GRANTS
from hub.store.writer import Write

Scope = Literal["once", "session"]
EndReason = Literal["used", "revoked", "closed"]

_INSERT = insert(GRANTS)
_END = (
    update(GRANTS)
    .where(GRANTS.c.id == bindparam("grant_id"))
    .values(ended=bindparam("at"), end_reason=bindparam("why"))
)
_LISTED = 1000


@dataclass(frozen=True, slots=True)
class Grant:
    """A person's yes. `constraint` maps control argument pointers to the values they must have."""

    id: str
    scope: Scope
    user: str
    session: str
    caller: str
    function: str
    arguments_digest: str | None
    constraint: dict[str, Any] | None
    labels: dict[str, list[str]]
    created: float
    ended: float | None = None
    end_reason: str | None = None


class GrantStore:
    """Keeps grants.

    Args:
        engine: The database; its tables exist.
        audit: Where giving and ending of grants is recorded.
    """

    def __init__(self, engine: Engine, audit: AuditLog) -> None:
        self._engine = engine
        self._audit = audit
        self._holding: dict[str, Grant] = {}
        # What a decision looks up: (user, session, caller, function) -> the grants that could matter to it.
        self._by_request: dict[tuple[str, str, str, str], dict[str, Grant]] = {}

    def holding(self, *, user: str, session: str, caller: str, function: str) -> list[Grant]:
        """Return the grants that hold and could matter to a request."""
        return list(self._by_request.get((user, session, caller, function), {}).values())

    async def give(self, grant: Grant, *, decision_id: str) -> None:
        """Keep a new grant; it holds from the moment that it is durable.

        Raises:
            AuditUnavailable: It could not be written.
        """
        row = {name: getattr(grant, name) for name in GRANTS.c.keys()}  # noqa: SIM118
        await self._audit.record(
            _event("given", grant, decision_id=decision_id),
            Write(_INSERT, row),
        )
        self._holding[grant.id] = grant
        self._by_request.setdefault(_request_key(grant), {})[grant.id] = grant

    def use_up(self, grant_id: str) -> bool:
        """Use a grant for one request; return False when it does not hold any more.

        A session grant goes on holding.
        """
        grant = self._holding.get(grant_id)
        if grant is None:
            return False
        if grant.scope == "once":
            self._end(grant, "used")
        return True

    async def revoke(self, user: str, grant_id: str) -> Grant:
        """End a grant of a user at once; return it as it is now.

        Raises:
            EntityNotFound: There is none with this id, or it is another user's.
        """
        grant = self._holding.get(grant_id)
        if grant is not None and grant.user == user:
            return self._end(grant, "revoked")
        for listed in await self.list_for(user, include_ended=True):
            if listed.id == grant_id:
                return listed
        raise EntityNotFound(f"no grant {grant_id!r}")

    def close_session(self, session: str) -> None:
        """End every grant of a session."""
        self._close(grant for grant in list(self._holding.values()) if grant.session == session)

    async def close_left_over(self) -> None:
        """End the grants that an earlier hub left holding: their sessions are gone."""
        self._close(await self._select(GRANTS.c.ended.is_(None)))

    async def list_for(self, user: str, *, session: str = "", include_ended: bool = False) -> list[Grant]:
        """Return a user's grants, newest first, at most 1,000."""
        conditions = [GRANTS.c.user == user]
        if session:
            conditions.append(GRANTS.c.session == session)
        if not include_ended:
            conditions.append(GRANTS.c.ended.is_(None))
        return await self._select(*conditions)

    def _close(self, grants: Iterable[Grant]) -> None:
        for grant in grants:
            self._end(grant, "closed")

    def _end(self, grant: Grant, reason: EndReason) -> Grant:
        self._holding.pop(grant.id, None)
        alike = self._by_request.get(_request_key(grant), {})
        alike.pop(grant.id, None)
        if not alike:
            self._by_request.pop(_request_key(grant), None)
        ended = replace(grant, ended=time.time(), end_reason=reason)
        self._audit.record_later(
            _event(reason, ended),
            Write(_END, {"grant_id": grant.id, "at": ended.ended, "why": reason}),
        )
        return ended

    async def _select(self, *conditions: Any) -> list[Grant]:
        await self._audit.settle()
        query = select(GRANTS).where(*conditions).order_by(GRANTS.c.created.desc()).limit(_LISTED)

        def run() -> list[Grant]:
            with self._engine.connect() as connection:
                return [Grant(**row._mapping) for row in connection.execute(query)]

        return await asyncio.to_thread(run)


def _request_key(grant: Grant) -> tuple[str, str, str, str]:
    return (grant.user, grant.session, grant.caller, grant.function)


def _event(what: str, grant: Grant, *, decision_id: str = "") -> Event:
    return Event(
        kind="grant",
        decision_id=decision_id,
        session=grant.session,
        user=grant.user,
        body={
            "what": what,
            "grant": grant.id,
            "scope": grant.scope,
            "caller": grant.caller,
            "function": grant.function,
            "arguments_digest": grant.arguments_digest,
            "labels": grant.labels,
        },
    )
