"""What a spoke asks its memory for, and what it is told, as the stream carries it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from spokegate.v1 import memory_pb2, spoke_pb2

from hub.errors import RequestInvalid


@dataclass(frozen=True, slots=True)
class KeptEntry:
    """A value under a key, as JSON."""

    key: str
    value_json: str


@dataclass(frozen=True, slots=True)
class SaidTurn:
    """One thing that was said."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Forgetting:
    """An entry is to be forgotten."""

    key: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What is to be read: the entry under a key, all entries, or the history."""

    what: Literal["key", "entries", "history"]
    key: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """What the memory holds of what was asked for."""

    entries: tuple[KeptEntry, ...] = ()
    summary: str = ""
    turns: tuple[SaidTurn, ...] = ()


def remembered(ask: spoke_pb2.RememberAsk) -> KeptEntry | SaidTurn | Forgetting:
    """Return what is to be remembered.

    Raises:
        RequestInvalid: Nothing is.
    """
    match ask.WhichOneof("what"):
        case "entry":
            return KeptEntry(ask.entry.key, ask.entry.value_json)
        case "turn":
            return SaidTurn(ask.turn.role, ask.turn.text)
        case "forget_key":
            return Forgetting(ask.forget_key)
        case _:
            raise RequestInvalid("remember: neither an entry, nor a turn, nor a key to forget")


def recalled(ask: spoke_pb2.RecallAsk) -> Reading:
    """Return what is to be read.

    Raises:
        RequestInvalid: Nothing is.
    """
    match ask.WhichOneof("what"):
        case "key":
            return Reading("key", ask.key)
        case "entries":
            return Reading("entries")
        case "history":
            return Reading("history")
        case _:
            raise RequestInvalid("recall: neither a key, nor all entries, nor the history")


def recall_answer(told: Told) -> spoke_pb2.RecallAnswer:
    """Return what is told as a message."""
    return spoke_pb2.RecallAnswer(
        entries=[memory_pb2.MemoryEntry(key=entry.key, value_json=entry.value_json) for entry in told.entries],
        summary=told.summary,
        turns=[memory_pb2.MemoryTurn(role=turn.role, text=turn.text) for turn in told.turns],
    )
