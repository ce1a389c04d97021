"""What an app, or the hub, may ask of its memory: checked as it comes in, read before it is decided on.

What would be told is read when the request is described, so that its labels are part of what is decided on, and what
was read then is what is delivered.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

from hub.errors import RequestInvalid
from hub.mediation import schema
from hub.mediation.caller import SessionState
from hub.mediation.labels import NONE, Labels
from hub.permit import Door, Permit, PermitInvalid
from hub.store.memory import Entry, MemoryStore, Role, StoredLabels, Turn

HUB: Final = "hub"
"""Under what name the hub itself remembers; no app has it."""

MAX_KEY_BYTES: Final = 200
MAX_BYTES: Final = 64 << 10

_ROLES: Final = get_args(Role)


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """How much of a history is told at once, in characters: of the turns, and of the summary of those before."""

    history_characters: int = 16_000
    summary_characters: int = 4_000


@dataclass(frozen=True, slots=True)
class Recollection:
    """What was read, and the labels of all of it."""

    entries: tuple[Entry, ...] = ()
    summary: str = ""
    turns: tuple[Turn, ...] = ()
    labels: Labels = NONE


@dataclass(frozen=True, slots=True)
class Writing:
    """What is to be stored, in which session, for whom, and the labels that it carries."""

    session: SessionState
    app: str
    arguments: dict[str, Any]
    labels: Labels


class Memory(Door[Writing | Recollection]):
    """The door to what is remembered.

    Args:
        store: Where it is kept.
        limits: How much of a history is told at once.
    """

    def __init__(self, store: MemoryStore, limits: MemoryLimits = MemoryLimits()) -> None:
        super().__init__()
        self._store = store
        self._limits = limits
        self.on_said: Callable[[SessionState, str], None] = _nobody

    async def look(self, user: str, app: str, arguments: dict[str, Any]) -> Recollection:
        """Look up, for the hub alone, what a checked `recall` would tell.

        Raises:
            AuditUnavailable: The database could not be read.
        """
        if "history" not in arguments:
            found = await self._store.entries(user, app, arguments.get("key"))
            told = tuple(entry for entry in found if entry.value_json)
            return Recollection(entries=told, labels=_join(entry.labels for entry in found))
        history = await self._store.history(user, app)
        turns = latest(history.turns, self._limits.history_characters)
        labels = _join(turn.labels for turn in turns)
        if history.summary is None:
            return Recollection(turns=turns, labels=labels)
        return Recollection(
            summary=history.summary.text, turns=turns, labels=labels | labels_of(history.summary.labels)
        )

    def tell(self, permit: Permit[Writing | Recollection]) -> Recollection:
        """Return what a permit lets be told."""
        told = self.redeem(permit)
        if not isinstance(told, Recollection):
            raise PermitInvalid(f"permit of {permit.decision_id}: not for reading")
        return told

    async def write(self, permit: Permit[Writing | Recollection]) -> None:
        """Store what a permit lets be stored, and return when it is durable.

        Raises:
            QuotaExceeded: There is no room.
            AuditUnavailable: It could not be written.
        """
        writing, decision_id = self.redeem(permit), permit.decision_id
        if not isinstance(writing, Writing):
            raise PermitInvalid(f"permit of {decision_id}: not for writing")
        user, app, carried = writing.session.user, writing.app, writing.labels.to_json()
        match writing.arguments:
            case {"forget": key}:
                await self._store.forget_entry(user, app, key, carried, decision_id=decision_id)
            case {"key": key, "value": value}:
                value_json = schema.canonical(value, what="value").decode()
                await self._store.put(user, app, key, value_json, carried, decision_id=decision_id)
            case {"role": role, "text": text}:
                await self._store.say(user, app, role, text, carried, decision_id=decision_id)
                self.on_said(writing.session, app)


def check_remember(arguments: dict[str, Any]) -> None:
    """Check what a `remember` asks for: an entry, a turn, or the key of an entry to forget.

    Raises:
        RequestInvalid: It is none of them.
    """
    match arguments:
        case {"forget": str(key), **rest} if not rest:
            _check_key(key)
        case {"key": str(key), "value": value, **rest} if not rest:
            _check_key(key)
            if len(schema.canonical(value, what="value")) > MAX_BYTES:
                raise RequestInvalid(f"value: more than {MAX_BYTES} bytes")
        case {"role": role, "text": str(text), **rest} if not rest:
            if role not in _ROLES:
                raise RequestInvalid(f"role: one of {', '.join(_ROLES)}")
            if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
                raise RequestInvalid(f"text: more than {MAX_BYTES} bytes")
        case _:
            raise RequestInvalid("remember: an entry, a turn, or a key to forget")


def check_recall(arguments: dict[str, Any]) -> None:
    """Check what a `recall` asks for: the entry under a key, all entries, or the history.

    Raises:
        RequestInvalid: It is none of them.
    """
    match arguments:
        case {"key": str(key), **rest} if not rest:
            _check_key(key)
        case {"entries": True, **rest} | {"history": True, **rest} if not rest:
            return
        case _:
            raise RequestInvalid("recall: a key, all entries, or the history")


def latest(turns: Sequence[Turn], characters: int) -> tuple[Turn, ...]:
    """Return the latest turns that there is room for; of the very last one at least its beginning."""
    kept: list[Turn] = []
    for turn in reversed(turns):
        characters -= len(turn.text)
        if characters < 0 and not kept:
            kept.append(Turn(turn.id, turn.role, turn.text[:characters], turn.labels, turn.stored))
        if characters < 0:
            break
        kept.append(turn)
    return tuple(reversed(kept))


def labels_of(stored: StoredLabels) -> Labels:
    """Return labels as the store keeps them."""
    return Labels.of(**stored)


def _join(stored: Any) -> Labels:
    joined = NONE
    for labels in stored:
        joined |= labels_of(labels)
    return joined


def _check_key(key: str) -> None:
    if not key or len(key.encode("utf-8", "surrogatepass")) > MAX_KEY_BYTES:
        raise RequestInvalid(f"key: from 1 to {MAX_KEY_BYTES} bytes")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in key):
        raise RequestInvalid("key: holds a control character")


def _nobody(_session: SessionState, _app: str) -> None:
    """Nobody summarises."""
