"""Who is asking: step 1 of a call.

A caller is made by whoever holds the stream that a request came in on, never from anything in the request: the edge
makes one for a client's connection, the mediator one for each call that it forwards into a spoke.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from hub.errors import Refused
from hub.mediation.labels import NONE, Labels
from hub.mediation.provenance import Evidence
from hub.mediation.rate import Rate
from hub.mediation.request import SubjectType
from hub.mediation.spending import Spending
from hub.spokes.registry import RegisteredApp, RegisteredFunction

USER = "user"
PLANNER = "planner"


@dataclass(frozen=True, slots=True, eq=False)
class OpenConnection:
    """A connection that a spoke may still put data into, the labels it was let through with, and how it is cut off."""

    labels: Labels
    revoke: Callable[[], None]


@dataclass(slots=True, eq=False)
class SessionState:
    """What decisions need to know of a session.

    `kept` is what the data that apps keep for the user carries, by app: it grows by other sessions too.
    """

    id: str
    user: str
    roles: tuple[str, ...] = ()
    evidence: Evidence = field(default_factory=Evidence)
    labels: dict[str, Labels] = field(default_factory=dict)
    kept: Mapping[str, Labels] = field(default_factory=dict)
    given: dict[str, Labels] = field(default_factory=dict)
    calls: int = 0
    calls_by_function: Counter[str] = field(default_factory=Counter)
    rate: Rate = field(default_factory=Rate)
    rate_by_function: defaultdict[str, Rate] = field(default_factory=lambda: defaultdict(Rate))
    known: Sequence[RegisteredFunction] | None = None  # what its user may know of, once that is decided
    plan: frozenset[str] | None = None  # the functions that the plan for the wish at hand expects, if there is one
    refused: dict[str, Refused] = field(default_factory=dict)  # by function: what apps asked for in vain since then
    prompts: int = 0  # shown to a person
    approved: int = 0  # of those, answered with yes
    declined: Counter[tuple[str, str, str]] = field(
        default_factory=Counter
    )  # by question: the noes to what was said last
    connections: dict[str, set[OpenConnection]] = field(default_factory=dict)
    spending: Spending = field(default_factory=Spending)

    def count(self, function: str) -> None:
        """Count a call that was asked for, whatever comes of it."""
        now = time.monotonic()
        self.calls += 1
        self.calls_by_function[function] += 1
        self.rate.count(now)
        self.rate_by_function[function].count(now)

    def hear(self, text: str) -> None:
        """Keep what the user says; what they said no to before may be asked about again."""
        self.evidence.add_user_text(text)
        self.declined.clear()

    def within_a_minute(self, function: str) -> tuple[int, int]:
        """Return how many calls the last minute saw: of all functions, and of one."""
        now = time.monotonic()
        of_function = self.rate_by_function.get(function)
        return self.rate.within_a_minute(now), of_function.within_a_minute(now) if of_function is not None else 0

    def count_errand(self, resource: str) -> None:
        """Count an errand that was asked for; it is no call, and uses up no call of the session."""
        self.calls_by_function[resource] += 1
        self.rate_by_function[resource].count(time.monotonic())

    def labels_of(self, app: str) -> Labels:
        """Return what the session's spoke of an app may know."""
        return self.labels.get(app, NONE) | self.kept.get(app, NONE)

    def learn(self, app: str, labels: Labels) -> None:
        """Join labels into the session's spoke of an app; they never shrink.

        A connection that was let through for less is revoked before the spoke gets what it may not carry there.
        """
        self.labels[app] = self.labels_of(app) | labels
        self.revoke_outgrown(app)

    def revoke_outgrown(self, app: str) -> None:
        """Revoke the connections of the session's spoke of an app that were let through for less than it carries."""
        for connection in tuple(self.connections.get(app, ())):
            if not connection.labels >= self.labels_of(app):
                connection.revoke()

    @contextmanager
    def connected(self, app: str, connection: OpenConnection) -> Iterator[None]:
        """Keep a connection of the session's spoke of an app where `learn` finds it."""
        mine = self.connections.setdefault(app, set())
        mine.add(connection)
        try:
            yield
        finally:
            mine.discard(connection)

    def give(self, app: str, labels: Labels) -> None:
        """Join labels of what is delivered to the session's spoke of an app, as a decision let it be."""
        self.learn(app, labels)
        self.given[app] = self.given.get(app, NONE) | labels


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and the chain of calls that led here.

    Attributes:
        session: The session that the request belongs to.
        app: The asking app; None for the user and the planner.
        chain: Outermost first, ending with the asker.
        deadline: When the request must be over, in the event loop's time.
        carries: What the planner may know; a user's own words carry nothing, and a spoke's labels are the session's.
    """

    session: SessionState
    app: RegisteredApp | None
    chain: tuple[str, ...]
    deadline: float
    carries: Labels = NONE

    @property
    def id(self) -> str:
        """The subject id: the app's name, `user` or `planner`."""
        return self.app.name if self.app is not None else self.chain[-1]

    @property
    def type(self) -> SubjectType:
        """What kind of asker it is. An app's name never makes it another kind."""
        if self.app is not None:
            return "spoke"
        return "planner" if self.chain[-1] == PLANNER else "user"

    @property
    def hop(self) -> int:
        """How many spokes the chain has passed."""
        return len(self.chain) - 1

    @property
    def labels(self) -> Labels:
        """What the asker may know now. A user's own words carry nothing."""
        return self.session.labels_of(self.app.name) if self.app is not None else self.carries

    @property
    def given(self) -> Labels:
        """The labels of all that was ever delivered to the asker."""
        return self.session.given.get(self.app.name, NONE) if self.app is not None else NONE

    def calling(self, app: RegisteredApp, *, now: float) -> Caller:
        """Return the caller that an app is, while it works on a call of this one, in its own time or what is left."""
        deadline = min(self.deadline, now + app.manifest.limits.call_seconds)
        return Caller(session=self.session, app=app, chain=(*self.chain, app.name), deadline=deadline)


def user_caller(session: SessionState, *, deadline: float) -> Caller:
    """Return the user of a session as a caller."""
    return Caller(session=session, app=None, chain=(USER,), deadline=deadline)


def planner_caller(session: SessionState, *, deadline: float, carries: Labels = NONE) -> Caller:
    """Return the hub's planner as a caller, and what it has been shown carries."""
    return Caller(session=session, app=None, chain=(PLANNER,), deadline=deadline, carries=carries)


def spoke_caller(session: SessionState, app: RegisteredApp, *, deadline: float) -> Caller:
    """Return a session's spoke of an app as a caller, by itself and not for one of its calls.

    That is who connects through the egress proxy: nothing is tracked inside a spoke, so which of its calls opened a
    connection cannot be known, and a chain of several would be a guess. What it carries is the same in every call.
    """
    return Caller(session=session, app=app, chain=(USER, app.name), deadline=deadline)


def new_id(kind: str) -> str:
    """Return an unguessable id such as `d-3f9c…`, 96 bits."""
    return f"{kind}-{secrets.token_hex(12)}"
