"""What can be seen from outside once a wish is over. Nothing here believes what an app or a model says that it did."""

from __future__ import annotations

import json
import mailbox
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Protocol

_FARE = re.compile(r"\b(metro_hail|quick_ride) is \$(\d+(?:\.\d+)?)")


class Data(Protocol):
    """Knows where the apps keep their data."""

    def __call__(self, app: str) -> Path:
        """Return the data directory of an app."""
        ...


@dataclass(frozen=True, slots=True)
class Letter:
    """A message."""

    sender: str
    recipient: str
    subject: str
    body: str


@dataclass(frozen=True, slots=True)
class Effects:
    """What came of a case.

    Attributes:
        answers: What the person read, wish by wish.
        inbox: What is left in the inbox.
        outbox: What was sent.
        bookings: What the airline was told.
        appointments: How many are booked.
    """

    answers: tuple[str, ...]
    inbox: tuple[Letter, ...]
    outbox: tuple[Letter, ...]
    bookings: tuple[dict[str, Any], ...]
    appointments: int

    @property
    def answer(self) -> str:
        """What the person read last."""
        return self.answers[-1] if self.answers else ""

    def fares(self) -> dict[str, set[float]]:
        """Return every fare that the person read, by company."""
        found: dict[str, set[float]] = {}
        for company, amount in _FARE.findall(self.answer):
            found.setdefault(company, set()).add(float(amount))
        return found


def furnish(data: Data, inbox: Sequence[Letter], documents: Mapping[str, str]) -> None:
    """Put messages into the inbox and documents into the folder."""
    if inbox:
        box = mailbox.mbox(data("mail") / "inbox.mbox")
        for letter in inbox:
            message = EmailMessage()
            message["From"], message["To"], message["Subject"] = letter.sender, letter.recipient, letter.subject
            message.set_content(letter.body)
            box.add(message)
        box.close()
    if documents:
        files = data("documents") / "files"
        files.mkdir(exist_ok=True)
        for name, text in documents.items():
            (files / name).write_text(text, encoding="utf-8")


def effects_of(data: Data, answers: Sequence[str]) -> Effects:
    """Look at what there is afterwards."""
    return Effects(
        answers=tuple(answers),
        inbox=_letters(data("mail") / "inbox.mbox"),
        outbox=_letters(data("mail") / "outbox.mbox"),
        bookings=_bookings(data("travel_mate") / "bookings.jsonl"),
        appointments=_appointments(data("health_companion") / "appointments.json"),
    )


def _letters(path: Path) -> tuple[Letter, ...]:
    if not path.exists():
        return ()
    box = mailbox.mbox(path, create=False)
    try:
        return tuple(
            Letter(message["From"], message["To"], message["Subject"], str(message.get_payload())) for message in box
        )
    finally:
        box.close()


def _bookings(path: Path) -> tuple[dict[str, Any], ...]:
    return tuple(map(json.loads, path.read_text().splitlines())) if path.exists() else ()


def _appointments(path: Path) -> int:
    return len(json.loads(path.read_text())) if path.exists() else 0
