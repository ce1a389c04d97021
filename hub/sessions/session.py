"""Sessions: a user's compartments. Each has its own spokes, labels and session grants, and ends with all of them."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Self

import structlog

from hub.errors import AuditUnavailable, EntityNotFound, QuotaExceeded
from hub.mediation.call import Delivered
from hub.mediation.caller import SessionState, new_id, user_caller
from hub.mediation.kept import KeptLabels
from hub.mediation.mediator import Mediator
from hub.mediation.spending import DaysSpending, Spending
from hub.sessions.converse import Answered, ConverseEvent, Converser
from hub.spokes.supervisor import Supervisor
from hub.store.audit import AuditLog, Event
from hub.store.grants import GrantStore

_REAP_SECONDS = 5.0

_log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Open:
    state: SessionState
    last_used: float = field(default_factory=time.monotonic)
    calls: int = 0
    converses: bool = False
    conversation: asyncio.Lock = field(default_factory=asyncio.Lock)


class Sessions:
    """The open sessions of all users. Use as `async with`.

    Args:
        mediator: Takes every call.
        converser: Carries wishes out.
        supervisor: Ends a session's spokes with it.
        grants: Ends a session's grants with it.
        kept: The labels of the data that apps keep for a user.
        audit: Where opening and closing is recorded.
        max_per_user: How many sessions a user may have open.
        idle_seconds: After how long without a call a session is closed.
    """

    def __init__(
        self,
        *,
        mediator: Mediator,
        converser: Converser,
        supervisor: Supervisor,
        grants: GrantStore,
        kept: KeptLabels,
        audit: AuditLog,
        max_per_user: int,
        idle_seconds: float,
    ) -> None:
        self._mediator = mediator
        self._converser = converser
        self._supervisor = supervisor
        self._grants = grants
        self._kept = kept
        self._audit = audit
        self._max_per_user = max_per_user
        self._idle_seconds = idle_seconds
        self._sessions: dict[str, _Open] = {}
        self._spent: defaultdict[str, DaysSpending] = defaultdict(DaysSpending)
        self._reaper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._grants.resume()
        self._reaper = asyncio.create_task(self._close_idle())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._reaper is not None:
            self._reaper.cancel()
        await asyncio.gather(*(self._close(session, "hub stopped") for session in list(self._sessions)))

    def open(self, user: str, roles: tuple[str, ...] = ()) -> str:
        """Open a session of a user and return its id.

        Raises:
            QuotaExceeded: The user has too many.
        """
        if sum(1 for item in self._sessions.values() if item.state.user == user) >= self._max_per_user:
            raise QuotaExceeded(f"{user} has {self._max_per_user} sessions open: close one")
        state = SessionState(
            id=new_id("s"),
            user=user,
            roles=roles,
            kept=self._kept.of_user(user),
            spending=Spending(user=self._spent[user]),
        )
        self._sessions[state.id] = _Open(state)
        self._supervisor.open_session(state.id)
        self._audit.record_later(_event(state, "opened"))
        return state.id

    async def close(self, user: str, session_id: str) -> None:
        """Close a session of a user, with its spokes and grants.

        Raises:
            EntityNotFound: It is closed already, another user's, or never was.
        """
        self._of(user, session_id)
        await self._close(session_id, "closed")

    async def invoke(
        self,
        user: str,
        session_id: str,
        function: str,
        arguments_json: str,
        *,
        user_text: str,
        timeout_seconds: float,
    ) -> Delivered:
        """Call one function as the user.

        Args:
            user: The user, by the connection.
            session_id: The session.
            function: `app.function`.
            arguments_json: The arguments, as the user's client wrote them.
            user_text: What the user said that led to the call.
            timeout_seconds: How long it may take.

        Raises:
            SpokegateError: It was refused, or failed.
        """
        session = self._of(user, session_id)
        session.calls += 1
        try:
            session.state.hear(user_text)
            deadline = asyncio.get_running_loop().time() + timeout_seconds
            caller = user_caller(session.state, deadline=deadline)
            return await self._mediator.mediate(caller, "invoke", function, arguments_json)
        finally:
            session.calls -= 1
            session.last_used = time.monotonic()

    async def converse(
        self, user: str, session_id: str, text: str, *, timeout_seconds: float
    ) -> AsyncGenerator[ConverseEvent, None]:
        """Carry out a wish of the user, and yield what happens; the last event is the answer.

        Args:
            user: The user, by the connection.
            session_id: The session.
            text: The user's words.
            timeout_seconds: How long it may take.

        Raises:
            SpokegateError: It was refused, or failed.
        """
        session = self._of(user, session_id)
        if session.converses:
            raise QuotaExceeded("the session has a wish in hand: wait for its answer, cancel it, or open another")
        session.converses = True
        session.calls += 1
        answered = False
        try:
            # Who has the answer may say the next wish while the one before is still being put away.
            async with (
                session.conversation,
                aclosing(self._converser.converse(session.state, text, timeout_seconds=timeout_seconds)) as events,
            ):
                async for event in events:
                    if isinstance(event, Answered):
                        answered, session.converses = True, False
                    yield event
        finally:
            if not answered:
                session.converses = False
            session.calls -= 1
            session.last_used = time.monotonic()

    def stop_conversing(self) -> None:
        """End every wish that is being carried out; each of them hears that it is."""
        self._converser.stop()

    def _of(self, user: str, session_id: str) -> _Open:
        session = self._sessions.get(session_id)
        if session is None or session.state.user != user:
            raise EntityNotFound(f"no session {session_id!r}")
        return session

    async def _close(self, session_id: str, why: str) -> None:
        session = self._sessions.pop(session_id, None)
        if session is None:
            return
        self._grants.close_session(session_id)
        await self._supervisor.close_session(session_id)
        self._audit.record_later(_event(session.state, why))

    async def _close_idle(self) -> None:
        while True:
            await asyncio.sleep(min(_REAP_SECONDS, self._idle_seconds))
            now = time.monotonic()
            for session_id, session in list(self._sessions.items()):
                if not session.calls and now - session.last_used > self._idle_seconds:
                    await self._close(session_id, "idle")
            try:
                await self._grants.expire()
            except AuditUnavailable as error:
                # None of them counts any more; that they ended is only put on record later.
                _log.warning("expired grants could not be ended", problem=str(error))


def _event(state: SessionState, what: str) -> Event:
    return Event(kind="session", body={"what": what}, session=state.id, user=state.user)
