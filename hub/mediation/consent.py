"""Consent: a question to a person, and the answer.

Whoever watches a user's prompts may answer; the first answer counts. No answer in time is a no, and so is nobody
watching. A person answers a decision that said `ask` and never sees one that said `deny`.

Requests that come to the very same question while it waits share it: it is shown once, and its answer is for all of
them. What a yes becomes is made once too; how many of them it lets through is the grant's to say.

Invariants:
    * Two requests share a question only when a person could not tell them apart: the same session, chain of calls,
      function, arguments, labels and reasons.
    * A question waits as long as somebody waits for its answer, and no longer than its time.
    * A notice makes nobody wait and cuts no watcher off: one that is far behind goes without it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from hub.errors import (
    ConsentRefused,
    ConsentRequired,
    EntityNotFound,
    QuotaExceeded,
    RequestInvalid,
    SpokegateError,
)
from hub.mediation.labels import Labels
from hub.mediation.narrowing import require_narrower
from hub.mediation.pdp import Reason
from hub.mediation.request import GrantScope
from hub.store.grants import Grant

_MAX_WATCHERS = 16
_WATCHER_BACKLOG = 1024
_NOTICE_BACKLOG = 256


class Outcome(Enum):
    """How a prompt ended."""

    APPROVED = "approved"
    REFUSED = "refused"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    UNWATCHED = "unwatched"


@dataclass(frozen=True, slots=True)
class ScopeOffer:
    """A scope that a prompt offers, what a yes with it would cover, and until when at most."""

    scope: GrantScope
    covers: str
    latest: float | None = None


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
    control_arguments: tuple[str, ...]
    untrusted_pointers: tuple[str, ...]
    planned: bool
    labels: Labels
    title: str
    detail: str
    reasons: tuple[Reason, ...]
    offers: tuple[ScopeOffer, ...]
    timeout_seconds: float
    prompts_before: int = 0
    created: float = field(default_factory=time.time)

    @property
    def alike(self) -> tuple[object, ...]:
        """What two questions have in common that a person cannot tell apart."""
        return (
            *(self.user, self.session, self.chain, self.function, self.arguments_json),
            *(self.untrusted_pointers, self.labels, self.detail),
        )

    @property
    def expires(self) -> float:
        """When it lapses, in seconds since the epoch."""
        return self.created + self.timeout_seconds


@dataclass(frozen=True, slots=True)
class Yes:
    """A person's yes, and how far it goes.

    Attributes:
        scope: For how long.
        expires: Scope until: when it ends, in seconds since the epoch; None for as late as the prompt offers.
        uses: For how many requests at most; None for any number.
        exact: Whether it is for these very arguments, where it could be for the same control arguments.
        edited: What the person made of the arguments, where they changed them.
    """

    scope: GrantScope
    expires: float | None = None
    uses: int | None = None
    exact: bool = False
    edited: dict[str, Any] | None = None


class Answer:
    """What came of a question, for everyone who waited for it.

    Args:
        outcome: How it ended.
        yes: Set when it was approved.
    """

    def __init__(self, outcome: Outcome, yes: Yes | None = None) -> None:
        self.outcome = outcome
        self.yes = yes
        self._made: asyncio.Task[Grant] | None = None

    async def grant(self, make: Callable[[Yes], Awaitable[Grant]]) -> Grant:
        """Return the grant that the yes became: made by whoever of those who waited comes first.

        It is made even when that one goes away meanwhile, for the others.

        Raises:
            SpokegateError: It could not be made; all of them get the error.
        """
        if self.yes is None:
            raise RuntimeError("only a yes becomes a grant")
        if self._made is None:
            self._made = asyncio.ensure_future(_awaited(make(self.yes)))
        return await asyncio.shield(self._made)


async def _awaited(what: Awaitable[Grant]) -> Grant:
    return await what


async def _at_once(answer: Answer) -> Answer:
    return answer


@dataclass(frozen=True, slots=True)
class Ended:
    """A question that no longer waits."""

    prompt_id: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Notice:
    """What the policies want a user to be told of a request that they let through. It may repeat what an app said."""

    user: str
    decision_id: str
    session: str
    function: str
    caller: str
    message: str


Shown = Question | Ended | Notice


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that was put.

    Attributes:
        question: As it is shown: this one, or the one alike that waited already.
        shown: Whether it was this one that was shown to somebody.
        answer: Waits for what comes of it, in the question's time at the latest.
    """

    question: Question
    shown: bool
    answer: Callable[[], Awaitable[Answer]]


@dataclass(slots=True, eq=False)
class _Waiting:
    question: Question
    answered: asyncio.Future[Answer]
    asking: int = 0  # how many requests wait for the answer


class Prompts:
    """The questions that wait, and those who watch them."""

    def __init__(self) -> None:
        self._waiting: dict[str, _Waiting] = {}
        self._alike: dict[tuple[object, ...], _Waiting] = {}
        self._watchers: dict[str, set[asyncio.Queue[Shown]]] = {}

    def would_show(self, question: Question) -> bool:
        """Return whether asking would show somebody something new: there is a watcher, and nothing alike waits."""
        return bool(self._watchers.get(question.user)) and question.alike not in self._alike

    @contextmanager
    def ask(self, question: Question) -> Iterator[Asked]:
        """Show a question, or join one that is alike, while the context is open; what is waited for is in `Asked`."""
        shown = self.would_show(question)
        if shown:
            answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            self._waiting[question.id] = self._alike[question.alike] = _Waiting(question, answered)
            self._tell(question.user, question)
        item = self._alike.get(question.alike)
        if item is None:
            yield Asked(question, shown, lambda: _at_once(Answer(Outcome.UNWATCHED)))
            return
        item.asking += 1
        try:
            yield Asked(item.question, shown, lambda: self._answer_of(item))
        finally:
            item.asking -= 1
            if not item.asking:
                self._end(item, Answer(Outcome.WITHDRAWN))

    async def _answer_of(self, item: _Waiting) -> Answer:
        try:
            async with asyncio.timeout(item.question.expires - time.time()):
                return await asyncio.shield(item.answered)
        except TimeoutError:
            self._end(item, Answer(Outcome.EXPIRED))
            return item.answered.result()

    def answer(self, user: str, prompt_id: str, yes: Yes | None) -> None:
        """Answer a question: yes, or no with None.

        Raises:
            EntityNotFound: It does not wait (any more), or is another user's.
            RequestInvalid: The yes goes further than the prompt offers; it goes on waiting.
        """
        item = self._waiting.get(prompt_id)
        if item is None or item.question.user != user:
            raise EntityNotFound(f"no waiting prompt {prompt_id!r}")
        if yes is None:
            self._end(item, Answer(Outcome.REFUSED))
            return
        _require_offered(item.question, yes)
        self._end(item, Answer(Outcome.APPROVED, yes))

    def _end(self, item: _Waiting, answer: Answer) -> None:
        """End a question; the first end counts."""
        if item.answered.done():
            return
        item.answered.set_result(answer)
        del self._waiting[item.question.id], self._alike[item.question.alike]
        self._tell(item.question.user, Ended(item.question.id, answer.outcome))

    @contextmanager
    def watch(self, user: str) -> Iterator[AsyncIterator[Shown]]:
        """Watch a user's questions: those that wait first, then each change, and the notices from now on.

        A watcher that does not keep up is cut off, and its iteration ends.

        Raises:
            QuotaExceeded: The user has too many watchers.
        """
        watchers = self._watchers.setdefault(user, set())
        if len(watchers) >= _MAX_WATCHERS:
            raise QuotaExceeded(f"{user} has {_MAX_WATCHERS} watchers")
        waiting = [item.question for item in self._waiting.values() if item.question.user == user]
        queue: asyncio.Queue[Shown] = asyncio.Queue(_WATCHER_BACKLOG + len(waiting))
        for question in waiting:
            queue.put_nowait(question)
        watchers.add(queue)
        try:
            yield self._events(queue, watchers)
        finally:
            watchers.discard(queue)

    @staticmethod
    async def _events(queue: asyncio.Queue[Shown], watchers: set[asyncio.Queue[Shown]]) -> AsyncIterator[Shown]:
        while queue in watchers or not queue.empty():
            yield await queue.get()

    def notify(self, notice: Notice) -> None:
        """Show a notice to who watches its user's questions and is not far behind; nobody waits for it."""
        for queue in self._watchers.get(notice.user, ()):
            if queue.qsize() < _NOTICE_BACKLOG:
                queue.put_nowait(notice)

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


def _require_offered(question: Question, yes: Yes) -> None:
    offers = {offer.scope: offer for offer in question.offers}
    offer = offers.get(yes.scope)
    if offer is None:
        raise RequestInvalid(f"scope: the prompt offers {', '.join(offers)}, not {yes.scope}")
    if yes.expires is not None:
        if offer.latest is None:
            raise RequestInvalid(f"expire_time: goes with the scope until, not with {yes.scope}")
        if not time.time() < yes.expires <= offer.latest:
            raise RequestInvalid("expire_time: not between now and the latest that the prompt offers")
    if yes.uses is not None and (yes.scope == "once" or yes.uses < 1):
        raise RequestInvalid("uses: at least 1, and not with the scope once, which has one")
    if yes.edited is not None:
        require_narrower(yes.edited, json.loads(question.arguments_json), question.control_arguments)
