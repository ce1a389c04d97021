"""What an app, or the hub, may ask of its memory: checked as it comes in, read before it is decided on.

What would be told is read when the request is described, so that its labels are part of what is decided on, and what
was read then is what is delivered.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast, get_args

from hub.errors import RequestInvalid
from hub.mediation import schema
from hub.mediation.labels import NONE, Labels
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


class Memory:
    """Reads and writes what is remembered, for the mediator.

    Args:
        store: Where it is kept.
        limits: How much of a history is told at once.
    """

    def __init__(self, store: MemoryStore, limits: MemoryLimits = MemoryLimits()) -> None:
        self._store = store
        self._limits = limits
        self.on_outgrown: Callable[[str, str], None] = _nobody

    async def read(self, user: str, app: str, arguments: dict[str, Any]) -> Recollection:
        """Read what a checked `recall` asks for.

        Raises:
            AuditUnavailable: The database could not be read.
        """
        if "history" not in arguments:
            entries = tuple(await self._store.entries(user, app, arguments.get("key")))
            return Recollection(entries=entries, labels=_join(entry.labels for entry in entries))
        history = await self._store.history(user, app)
        turns = latest(history.turns, self._limits.history_characters)
        labels = _join(turn.labels for turn in turns)
        if history.summary is None:
            return Recollection(turns=turns, labels=labels)
        return Recollection(
            summary=history.summary.text, turns=turns, labels=labels | labels_of(history.summary.labels)
        )

    async def write(self, user: str, app: str, arguments: dict[str, Any], labels: Labels, *, decision_id: str) -> None:
        """Store what a checked `remember` asks for, and return when it is durable.

        Raises:
            QuotaExceeded: There is no room.
            AuditUnavailable: It could not be written.
        """
        if "forget" in arguments:
            await self._store.forget_entry(user, app, arguments["forget"], decision_id=decision_id)
        elif "key" in arguments:
            value_json = schema.canonical(arguments["value"], what="value").decode()
            key, carried = arguments["key"], labels.to_json()
            await self._store.put(user, app, key, value_json, carried, decision_id=decision_id)
        else:
            role, text = cast(Role, arguments["role"]), arguments["text"]
            await self._store.say(user, app, role, text, labels.to_json(), decision_id=decision_id)
            self.on_outgrown(user, app)


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


def _nobody(_user: str, _app: str) -> None:
    """Nobody summarises."""
