"""Grants: a person's yes that is kept, bound to exactly what it was given for.

Scopes: `once` (the exact arguments, one use), `session` (until the session ends), `until` (a time) and `always`. The
last two outlive the session and the hub. Whether a grant counts for a request is the policies' to say; this module
says whether it still holds.

A hub with an SQLite database is its only one, so the grants that hold are kept in memory, because every decision reads
them. A database that several hubs share is read for each decision: what another hub gave, revoked or used up counts
from then on.

Invariants:
    * A grant that ended is in no access request that is described afterwards.
    * A use is taken by one change in the database, which only lets as many through as there are uses, however many
      requests of however many hubs want one at the same time; it is durable before the request goes on.
    * Every grant ends once, for one reason, on record.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal

import rfc8785
from sqlalchemy import Double, Engine, String, any_, bindparam, case, insert, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY

from hub.errors import EntityNotFound
from hub.store.audit import AuditLog, Event
from hub.store.database import read
from hub.store.tables import GRANTS
from hub.store.writer import Write

Scope = Literal["once", "session", "until", "always"]
EndReason = Literal["used", "revoked", "closed", "expired"]

_OF_SESSION: Final[tuple[Scope, ...]] = ("once", "session")
"""What ends with its session."""
_LASTING: Final[tuple[Scope, ...]] = ("until", "always")

_INSERT = insert(GRANTS)
_AT = bindparam("at", type_=Double)
_HOLDS = GRANTS.c.ended.is_(None)
_END = update(GRANTS).where(GRANTS.c.id == bindparam("grant_id"), _HOLDS).values(ended=_AT, end_reason=bindparam("why"))
_LAST = GRANTS.c.uses_left == 1
_USE = (
    update(GRANTS)
    .where(
        GRANTS.c.id == bindparam("grant_id"),
        _HOLDS,
        GRANTS.c.uses_left > 0,
        or_(GRANTS.c.expires.is_(None), GRANTS.c.expires > _AT),
    )
    .values(
        uses_left=GRANTS.c.uses_left - 1,
        ended=case((_LAST, _AT), else_=None),
        end_reason=case((_LAST, "used"), else_=None),
    )
)
_LISTED = 1000


@dataclass(frozen=True, slots=True)
class Grant:
    """A person's yes.

    Attributes:
        caller_digest: The asking app's manifest and code; None for the user.
        target_digest: The serving app's.
        arguments_digest: The exact arguments; None where the constraint binds.
        constraint: Control argument pointers, and the values they must have.
        labels: What the caller carried when it was given.
        expires: When it ends by itself, in seconds since the epoch.
        uses_left: How many requests it still covers; None for any number.
        chain: The calls that led to the request; None for the user's own call of the asking app.
        hub: The hub that its session was at.
        decision_id: The decision that asked.
    """

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
    hub: str = ""
    decision_id: str = ""
    caller_digest: str | None = None
    target_digest: str | None = None
    expires: float | None = None
    uses_left: int | None = None
    chain: list[str] | None = None

    @property
    def binding(self) -> str:
        """Which arguments it is good for, as one word."""
        return binding_of(self.arguments_digest, self.constraint)

    def expired(self, now: float) -> bool:
        """Return whether its time is over."""
        return self.expires is not None and self.expires <= now


def binding_of(arguments_digest: str | None, constraint: dict[str, Any] | None) -> str:
    """Return what a grant binds as one word, by which it is found among all that were given for a function.

    Args:
        arguments_digest: The exact arguments; None where the constraint binds.
        constraint: Control argument pointers, and the values they must have.
    """
    if arguments_digest is not None:
        return arguments_digest
    return f"constraint:{hashlib.sha256(rfc8785.dumps(constraint or {})).hexdigest()}"


_COLUMNS = [GRANTS.c[field.name] for field in fields(Grant)]

# Made once, with nothing in their text that differs from one decision to the next, so that the driver has the server
# prepare them: both are part of every decision on a database that hubs share, which is PostgreSQL. The index
# `grants_request` leads to the rows of the first; to have them in order too, the database would rather go through all
# grants of the user.
_OF_REQUEST = select(*_COLUMNS).where(
    _HOLDS,
    GRANTS.c.user == bindparam("user"),
    GRANTS.c.caller == bindparam("caller"),
    GRANTS.c.function == bindparam("function"),
    GRANTS.c.binding == any_(bindparam("bindings", type_=ARRAY(String))),
    or_(*(GRANTS.c.scope == scope for scope in _LASTING), GRANTS.c.session == bindparam("session")),
)
_IF_HOLDS = select(*_COLUMNS).where(GRANTS.c.id == bindparam("id"), _HOLDS)


class GrantStore:
    """Keeps grants.

    Args:
        engine: The database; its tables exist.
        audit: Where giving, using and ending of grants is recorded.
    """

    def __init__(self, engine: Engine, audit: AuditLog) -> None:
        self._engine = engine
        self._audit = audit
        self._shared = engine.dialect.name != "sqlite"
        # Those that hold; in a shared database those of this hub's own sessions, which it has to end.
        self._held: dict[str, Grant] = {}
        # What a decision looks up: (user, caller, function, binding) -> the grants that could matter to it.
        self._by_request: dict[tuple[str, str, str, str], dict[str, Grant]] = {}

    async def resume(self) -> None:
        """Take up what outlives a hub, and end what an earlier run of this one left: its sessions are gone.

        Raises:
            AuditUnavailable: The database could not be read.
        """
        mine = GRANTS.c.hub.in_(["", self._audit.hub])
        for grant in await self._select(_HOLDS, GRANTS.c.scope.in_(_OF_SESSION), mine):
            self._end(grant, "closed")
        if not self._shared:
            for grant in await self._select(_HOLDS, GRANTS.c.scope.not_in(_OF_SESSION)):
                self._hold(grant)
        await self.expire()

    async def holding(
        self, *, user: str, session: str, caller: str, function: str, bindings: Collection[str]
    ) -> list[Grant]:
        """Return the grants that hold and could matter to a request.

        Args:
            user: Whose.
            session: The request's.
            caller: Who asks.
            function: What is asked for.
            bindings: Each binding that could cover the request's arguments.

        Raises:
            AuditUnavailable: The database could not be read.
        """
        now = time.time()
        if self._shared:
            found: Iterable[Grant] = await self._read(
                _OF_REQUEST, user=user, session=session, caller=caller, function=function, bindings=list(bindings)
            )
        else:
            found = [
                grant
                for binding in bindings
                for grant in self._by_request.get((user, caller, function, binding), {}).values()
            ]
        # What ends with a session of this hub has ended once it is let go, however long the database takes to know.
        mine = [
            grant
            for grant in found
            if grant.scope not in _OF_SESSION or (grant.session == session and grant.id in self._held)
        ]
        for grant in mine:
            if grant.expired(now):
                self._end(grant, "expired")
        return [grant for grant in mine if not grant.expired(now)]

    async def give(self, grant: Grant) -> Grant:
        """Keep a new grant, and return it as it is kept; it holds from the moment that it is durable.

        Raises:
            AuditUnavailable: It could not be written.
        """
        grant = replace(grant, hub=self._audit.hub, uses_left=1 if grant.scope == "once" else grant.uses_left)
        row = {name: getattr(grant, name) for name in GRANTS.c.keys()}  # noqa: SIM118
        await self._audit.record(_event("given", grant, decision_id=grant.decision_id), Write(_INSERT, row))
        self._hold(grant)
        return grant

    async def use(self, grant: Grant) -> bool:
        """Use a grant for one request; return False when it does not hold any more, or another took its last use.

        Raises:
            AuditUnavailable: The use could not be written; it is spent all the same.
        """
        now = time.time()
        if not self._shared:
            held = self._held.get(grant.id)
            if held is None or held.expired(now):
                return False
            if held.uses_left is None:
                return True
            # Before anything is awaited, so that the next request does not even see a use that is taken.
            self._let_go(held)
            if held.uses_left > 1:
                self._hold(replace(held, uses_left=held.uses_left - 1))
        elif grant.uses_left is None:
            return bool(await self._read(_IF_HOLDS, id=grant.id)) and not grant.expired(now)
        use = Write(_USE, {"grant_id": grant.id, "at": now})
        return await self._audit.record(_event("used", grant), guard=use)

    async def revoke(self, user: str, grant_id: str) -> Grant:
        """End a grant of a user at once, and for good; return it as it is now.

        Raises:
            EntityNotFound: There is none with this id, or it is another user's.
            AuditUnavailable: It could not be written: it may hold again when the hub starts anew.
        """
        grant = await self.find(user, grant_id)
        if grant.ended is not None:
            return grant
        self._let_go(grant)
        ending = Write(_END, {"grant_id": grant.id, "at": time.time(), "why": "revoked"})
        await self._audit.record(_event("revoked", grant), guard=ending)
        return await self.find(user, grant_id)

    async def find(self, user: str, grant_id: str) -> Grant:
        """Return one grant of a user, whether it holds or not.

        Raises:
            EntityNotFound: There is none with this id, or it is another user's.
            AuditUnavailable: The database could not be read.
        """
        await self._audit.settle()
        found = await self._select(GRANTS.c.id == grant_id, GRANTS.c.user == user)
        if not found:
            raise EntityNotFound(f"no grant {grant_id!r}")
        return found[0]

    async def list_for(self, user: str, *, session: str = "", include_ended: bool = False) -> list[Grant]:
        """Return a user's grants, newest first, at most 1,000.

        Raises:
            AuditUnavailable: The database could not be read.
        """
        await self.expire()
        await self._audit.settle()
        conditions = [GRANTS.c.user == user]
        if session:
            conditions.append(GRANTS.c.session == session)
        if not include_ended:
            conditions.append(_HOLDS)
        return await self._select(*conditions, limit=_LISTED)

    def close_session(self, session: str) -> None:
        """End every grant that ends with a session."""
        for grant in [grant for grant in self._held.values() if grant.session == session]:
            if grant.scope in _OF_SESSION:
                self._end(grant, "closed")

    async def expire(self) -> None:
        """End the grants whose time is over.

        Raises:
            AuditUnavailable: The database could not be read.
        """
        for grant in await self._select(_HOLDS, GRANTS.c.expires <= time.time()):
            self._end(grant, "expired")

    def _hold(self, grant: Grant) -> None:
        if self._shared and grant.scope not in _OF_SESSION:
            return
        self._held[grant.id] = grant
        self._by_request.setdefault(_request_key(grant), {})[grant.id] = grant

    def _let_go(self, grant: Grant) -> None:
        self._held.pop(grant.id, None)
        alike = self._by_request.get(_request_key(grant), {})
        alike.pop(grant.id, None)
        if not alike:
            self._by_request.pop(_request_key(grant), None)

    def _end(self, grant: Grant, reason: EndReason) -> None:
        self._let_go(grant)
        ending = Write(_END, {"grant_id": grant.id, "at": time.time(), "why": reason})
        self._audit.record_later(_event(reason, grant), guard=ending)

    async def _select(self, *conditions: Any, limit: int | None = None) -> list[Grant]:
        query = select(*_COLUMNS).where(*conditions).order_by(GRANTS.c.created.desc()).limit(limit)

        return await self._read(query)

    async def _read(self, query: Any, **parameters: Any) -> list[Grant]:
        return [Grant(*row) for row in await read(self._engine, query, parameters, what="the grants")]


def _request_key(grant: Grant) -> tuple[str, str, str, str]:
    return (grant.user, grant.caller, grant.function, grant.binding)


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
            "caller_digest": grant.caller_digest,
            "target_digest": grant.target_digest,
            "expires": grant.expires,
            "labels": grant.labels,
        },
    )
