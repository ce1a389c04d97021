"""Consent: a question to a person, and the answer.

Whoever watches a user's prompts may answer; the first answer counts. No answer in time is a no, and so is nobody
watching. A person answers a decision that said `ask` and never sees one that said `deny`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum

from hub.errors import (
    ConsentRefused,
    ConsentRequired,
    EntityNotFound,
    QuotaExceeded,
    RequestInvalid,
    SpokegateError,
)
from hub.mediation.labels import Labels
from hub.mediation.pdp import Reason
from hub.mediation.request import GrantScope

_MAX_WATCHERS = 16
_WATCHER_BACKLOG = 1024


class Outcome(Enum):
    """How a prompt ended."""

    APPROVED = "approved"
    REFUSED = "refused"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    UNWATCHED = "unwatched"


@dataclass(frozen=True, slots=True)
class ScopeOffer:
    """A scope that a prompt offers, and what a yes with it would cover."""

    scope: GrantScope
    covers: str


@dataclass(frozen=True, slots=True)
class Question:
    """What a person is asked. Texts that come from apps are untrusted: show them escaped."""

    id: str
    user: str
    decision_id: str
    session: str
    caller: str
    chain: tuple[str, ...]
    function: str
    function_effect: str
    arguments_json: str
    untrusted_pointers: tuple[str, ...]
    planned: bool
    labels: Labels
    title: str
    detail: str
    reasons: tuple[Reason, ...]
    offers: tuple[ScopeOffer, ...]
    timeout_seconds: float
    created: float = field(default_factory=time.time)

    @property
    def expires(self) -> float:
        """When it lapses, in seconds since the epoch."""
        return self.created + self.timeout_seconds


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a question; the scope is set when it was approved."""

    outcome: Outcome
    scope: GrantScope | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """A question that no longer waits."""

    prompt_id: str
    outcome: Outcome


class Prompts:
    """The questions that wait, and those who watch them."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[Question, asyncio.Future[Answer]]] = {}
        self._watchers: dict[str, set[asyncio.Queue[Question | Ended]]] = {}

    async def ask(self, question: Question) -> Answer:
        """Put a question, and return what came of it, in the question's time at the latest."""
        if not self._watchers.get(question.user):
            return Answer(Outcome.UNWATCHED)
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[question.id] = (question, answered)
        self._tell(question.user, question)
        answer = Answer(Outcome.WITHDRAWN)
        try:
            async with asyncio.timeout(question.timeout_seconds):
                answer = await answered
        except TimeoutError:
            answer = Answer(Outcome.EXPIRED)
        finally:
            del self._waiting[question.id]
            self._tell(question.user, Ended(question.id, answer.outcome))
        return answer

    def answer(self, user: str, prompt_id: str, scope: GrantScope | None) -> None:
        """Answer a question: yes with a scope, or no with None.

        Raises:
            EntityNotFound: It does not wait (any more), or is another user's.
            RequestInvalid: The prompt does not offer the scope; it goes on waiting.
        """
        question, answered = self._waiting.get(prompt_id, (None, None))
        if question is None or answered is None or question.user != user or answered.done():
            raise EntityNotFound(f"no waiting prompt {prompt_id!r}")
        if scope is None:
            answered.set_result(Answer(Outcome.REFUSED))
            return
        offered = [offer.scope for offer in question.offers]
        if scope not in offered:
            raise RequestInvalid(f"scope: the prompt offers {', '.join(offered)}, not {scope}")
        answered.set_result(Answer(Outcome.APPROVED, scope))

    @contextmanager
    def watch(self, user: str) -> Iterator[AsyncIterator[Question | Ended]]:
        """Watch a user's questions: those that wait first, then each change.

        A watcher that does not keep up is cut off, and its iteration ends.

        Raises:
            QuotaExceeded: The user has too many watchers.
        """
        watchers = self._watchers.setdefault(user, set())
        if len(watchers) >= _MAX_WATCHERS:
            raise QuotaExceeded(f"{user} has {_MAX_WATCHERS} watchers")
        waiting = [question for question, _ in self._waiting.values() if question.user == user]
        queue: asyncio.Queue[Question | Ended] = asyncio.Queue(_WATCHER_BACKLOG + len(waiting))
        for question in waiting:
            queue.put_nowait(question)
        watchers.add(queue)
        try:
            yield self._events(queue, watchers)
        finally:
            watchers.discard(queue)

    @staticmethod
    async def _events(
        queue: asyncio.Queue[Question | Ended], watchers: set[asyncio.Queue[Question | Ended]]
    ) -> AsyncIterator[Question | Ended]:
        while queue in watchers or not queue.empty():
            yield await queue.get()

    def _tell(self, user: str, event: Question | Ended) -> None:
        for queue in list(self._watchers.get(user, ())):
            try:
                queue.put_nowait(event)
            except asyncio.QueueFull:
                self._watchers[user].discard(queue)


def refusal_of(answer: Answer) -> SpokegateError:
    """Return why a question that was not approved refuses what it was about."""
    if answer.outcome is Outcome.REFUSED:
        return ConsentRefused("a person said no")
    return ConsentRequired(f"no answer from a person: {answer.outcome.value}")
