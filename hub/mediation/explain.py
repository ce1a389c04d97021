"""Why a decision was what it was, and what would have changed it.

What the log says is told in a sentence; the rules that fired, in their own words; and the policies that run now are
asked again, with the very access request and with single changes to it.

Invariants:
    * Only the user's own decisions are explained; of another's it is said what is said of none.
    * The policies are asked again only with the access request whose digest is on record. Where the log does not hold
      what was said and the hub no longer does, that is said instead.
    * The number of questions and the time for them are bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from hub.errors import SpokegateError
from hub.mediation import whatif
from hub.mediation.call import digest_of
from hub.mediation.payloads import PAYLOAD, Payloads
from hub.mediation.pdp import Decision, Pdp
from hub.mediation.remote import RulesElsewhere
from hub.mediation.sentence import sentence
from hub.mediation.whatif import Change
from hub.opa.rules import RuleNote
from hub.store.audit import AuditLog, Recorded

MAX_QUESTIONS = 64
_SECONDS = 4.0
_AT_ONCE = 8
_STRICTNESS = {"allow": 0, "ask": 1, "deny": 2}
_NOT_KEPT = (
    "the log keeps only a digest of the arguments, and the hub no longer holds them; "
    "with `audit: {payloads: true}` the log keeps them from then on"
)

_log = structlog.get_logger(__name__)

Notes = Callable[[], Awaitable[dict[str, RuleNote]]]


@dataclass(frozen=True, slots=True)
class FiredRule:
    """A rule that took part; without a note where the running policies have no rule of this code."""

    code: str
    message: str
    note: RuleNote | None
    shadow: bool  # it took part in what would have been decided, not in what was


@dataclass(frozen=True, slots=True)
class InputFact:
    """A part of the access request that the rules read; `known` is false where the log holds no more than a digest."""

    pointer: str
    value: Any
    known: bool = True


@dataclass(frozen=True, slots=True)
class Flip:
    """A change that would have changed the decision, and what to."""

    change: Change
    effect: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of asking again.

    Attributes:
        why_not: Why the policies were not asked; empty when they were.
        policy_revision: The policies that were asked.
        now: What they decide of the same access request.
        flips: The changes that would have changed it, smallest first.
        untried: How many changes there was no room or time for.
    """

    why_not: str = ""
    policy_revision: str = ""
    now: Decision | None = None
    flips: tuple[Flip, ...] = ()
    untried: int = 0


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision explained; `no_words` says why the rules are not told in their own words, where they are not."""

    recorded: Recorded
    sentence: str
    rules: tuple[FiredRule, ...]
    inputs: tuple[InputFact, ...]
    asked: Asked
    no_words: str = ""


class Explainer:
    """Explains decisions.

    Args:
        audit: Where they are on record.
        pdp: Who is asked again.
        payloads: What was said in recent requests.
        notes: Gives what the rules in force say of themselves, by code.
    """

    def __init__(self, *, audit: AuditLog, pdp: Pdp, payloads: Payloads, notes: Notes) -> None:
        self._audit = audit
        self._pdp = pdp
        self._payloads = payloads
        self._notes = notes

    async def explain(self, user: str, decision_id: str) -> Explanation:
        """Explain one decision of a user.

        Raises:
            EntityNotFound: There is none with this id, or it is another user's.
            AuditUnavailable: The log could not be read.
        """
        recorded = await self._audit.decision(user, decision_id)
        body = recorded.decision.body
        document = self._document(decision_id, body)
        notes: dict[str, RuleNote] = {}
        no_words = ""
        try:
            notes = await self._notes()
        except RulesElsewhere as error:
            no_words = str(error)
        except SpokegateError as error:
            _log.warning("the rules' own words cannot be read", problem=str(error))
            no_words = "the policies that run now cannot be read; the hub's log says why"
        rules = _fired(body, notes)
        return Explanation(
            recorded=recorded,
            sentence=sentence(recorded),
            rules=rules,
            inputs=_inputs(rules, body, document),
            asked=await self._ask_again(body, document),
            no_words=no_words,
        )

    def _document(self, decision_id: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """Return the very access request that was decided on, by its digest; None when it is not known."""
        known: dict[str, Any] = body["input"]
        if not known:
            return None
        payloads: tuple[dict[str, Any], ...] = (self._payloads.of(decision_id) or {}, {"arguments": {}})
        for payload in payloads:
            document = {**payload, **known}
            if digest_of(document) == body["input_digest"]:
                return document
        return None

    async def _ask_again(self, body: dict[str, Any], document: dict[str, Any] | None) -> Asked:
        if document is None:
            return Asked(why_not=_NOT_KEPT if body["input"] else "it failed before there was an access request")
        try:
            async with asyncio.timeout(_SECONDS):
                verdict = await self._pdp.decide(document)
        except (SpokegateError, TimeoutError) as error:
            return Asked(why_not=f"the policies gave no answer: {error or 'too late'}")
        now = verdict.decision
        changes = whatif.loosening(document) if now.effect != "allow" else whatif.tightening(document)
        tried: list[Flip | None] = []
        try:
            async with asyncio.timeout(_SECONDS):
                await self._try(document, changes[:MAX_QUESTIONS], now.effect, tried)
        except TimeoutError:
            _log.warning("explaining a decision ran out of time", tried=len(tried), of=len(changes))
        order = {change.pointer + change.words: index for index, change in enumerate(changes)}
        flips = sorted(
            (flip for flip in tried if flip is not None),
            key=lambda flip: (flip.change.size, order.get(flip.change.pointer + flip.change.words, len(order))),
        )
        return Asked(
            policy_revision=verdict.policy_revision, now=now, flips=_smallest(flips), untried=len(changes) - len(tried)
        )

    async def _try(
        self, document: dict[str, Any], changes: Sequence[Change], effect: str, tried: list[Flip | None]
    ) -> None:
        """Ask about each change, and append what came of it."""
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(change: Change) -> None:
            async with gate:
                other = await self._effect(change, effect)
                if other is None:
                    return
                flips = _differs(other, effect)
                if flips and change.count is not None:
                    change = await self._least(document, change, effect, other)
                tried.append(Flip(change, other) if flips else None)

        async with asyncio.TaskGroup() as group:
            for change in changes:
                group.create_task(one(change))

    async def _effect(self, change: Change, effect: str) -> str | None:
        try:
            return (await self._pdp.decide(change.document)).decision.effect
        except SpokegateError as error:
            _log.warning("a change could not be asked about", pointer=change.pointer, problem=str(error))
            return None

    async def _least(self, document: dict[str, Any], change: Change, effect: str, other: str) -> Change:
        """Return the change of a count that lowers it least and still has the same effect, by bisection."""
        enough, too_much = 0, change.count or 0
        while too_much - enough > 1:
            middle = (enough + too_much) // 2
            found = await self._effect(whatif.lowered(document, change, middle), effect)
            if found == other:
                enough = middle
            else:
                too_much = middle
        return whatif.lowered(document, change, enough)


def _smallest(flips: Sequence[Flip]) -> tuple[Flip, ...]:
    """Return the flips without those of several things of which a part alone does the same."""
    return tuple(
        flip
        for flip in flips
        if flip.change.size == 1
        or not any(
            other.change.size < flip.change.size
            and other.effect == flip.effect
            and other.change.pointer.startswith(flip.change.pointer)
            for other in flips
        )
    )


def _differs(other: str, effect: str) -> bool:
    """Return whether an effect is less strict than another, or, than an allow, stricter."""
    return _STRICTNESS[other] < _STRICTNESS[effect] or (effect == "allow" and other != "allow")


def _fired(body: dict[str, Any], notes: dict[str, RuleNote]) -> tuple[FiredRule, ...]:
    shadow = body.get("shadow") or {"reasons": []}
    enforced = {reason["code"] for reason in body["reasons"]}
    return tuple(
        FiredRule(reason["code"], reason["message"], notes.get(reason["code"]), in_shadow)
        for reasons, in_shadow in ((body["reasons"], False), (shadow["reasons"], True))
        for reason in reasons
        if not in_shadow or reason["code"] not in enforced
    )


def _inputs(rules: Sequence[FiredRule], body: dict[str, Any], document: dict[str, Any] | None) -> tuple[InputFact, ...]:
    paths = {path for rule in rules if rule.note is not None for path in rule.note.reads if path}
    if body["grant"]:
        paths.add(("grants",))
    known = document if document is not None else body["input"]
    found = []
    for path in sorted(paths):
        pointer = "".join(f"/{step}" for step in path)
        value: Any = known
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        hidden = document is None and path[0] in PAYLOAD
        found.append(InputFact(pointer, value, known=not hidden))
    return tuple(found)
