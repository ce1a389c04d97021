"""Prove that the audit log is as it was written, or say which rows are not.

The chain shows a row that was changed, removed or put in, and the head, which is kept apart, rows that are missing at
the end. Whoever may write to the database can write a whole new chain with a new head; that shows against a `Pin`, a
hash that was noted elsewhere at an earlier time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, select

from hub.store.audit import GENESIS, row_hash, scan
from hub.store.tables import AUDIT_HEAD


@dataclass(frozen=True, slots=True)
class Pin:
    """What a row's hash was at an earlier time."""

    seq: int
    hash: str

    @classmethod
    def parse(cls, text: str) -> Pin:
        """Read `SEQ:HASH`.

        Raises:
            ValueError: It is not of this form.
        """
        seq, colon, digest = text.partition(":")
        if not (colon and seq.isdecimal() and len(digest) == len(GENESIS) and set(digest) <= set("0123456789abcdef")):
            raise ValueError(f"{text!r} is not SEQ:HASH, as `audit verify` prints it")
        return cls(int(seq), digest)

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


@dataclass(frozen=True, slots=True)
class Flaw:
    """Where the log is not as it was written. `seq` is the row that shows it."""

    seq: int
    what: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What a look at the whole log found.

    Attributes:
        rows: How many rows there are.
        head: The last row's number and hash: keep it elsewhere, to pin the log as it is now.
        flaws: What is wrong; empty when the log is whole.
    """

    rows: int
    head: Pin
    flaws: tuple[Flaw, ...]


def verify(engine: Engine, pins: Sequence[Pin] = ()) -> Verification:
    """Check every row of the log against the row before it, its end against the head, and both against pins.

    Rows that a running hub adds meanwhile are checked too.

    Args:
        engine: The database.
        pins: What is known of earlier times.

    Raises:
        SQLAlchemyError: The log cannot be read.
    """
    with engine.connect() as connection:
        head = connection.execute(select(AUDIT_HEAD.c.seq, AUDIT_HEAD.c.hash)).one_or_none()
    flaws: list[Flaw] = []
    pinned = {pin.seq: pin for pin in pins}
    rows, last = 0, Pin(0, GENESIS)
    hash_at_head = ""
    for found in scan(engine):
        row = dict(found._mapping)
        flaws.extend(_flaws_of(row, last))
        last = Pin(row["seq"], row["hash"])
        rows += 1
        if head is not None and row["seq"] == head.seq:
            hash_at_head = row["hash"]
        if (pin := pinned.pop(row["seq"], None)) is not None and pin != last:
            flaws.append(Flaw(row["seq"], f"row {row['seq']} is not the one that was pinned"))
    flaws += [Flaw(seq, f"row {seq}, which was pinned, is missing") for seq in sorted(pinned)]
    if head is None:
        flaws.append(Flaw(last.seq, "the record of where the log ends is missing"))
    elif head.seq > last.seq:
        flaws.append(Flaw(head.seq, f"the log ends with row {last.seq}, and rows to {head.seq} were written"))
    elif head.seq and head.hash != hash_at_head:
        flaws.append(Flaw(head.seq, f"row {head.seq} is not the one that the log ended with"))
    elif head.seq < last.seq and not _moved(engine, last.seq):
        flaws.append(Flaw(head.seq + 1, f"rows after {head.seq} were not written by a hub"))
    return Verification(rows, last, tuple(flaws))


def _flaws_of(row: dict[str, Any], last: Pin) -> Iterator[Flaw]:
    seq = row["seq"]
    if seq > last.seq + 1:
        lost = f"row {last.seq + 1} is" if seq == last.seq + 2 else f"rows {last.seq + 1} to {seq - 1} are"
        yield Flaw(seq, f"{lost} missing")
    elif row["previous_hash"] != last.hash:
        yield Flaw(seq, f"row {seq} does not follow row {last.seq}: one of the two was put in or written anew")
    if row["hash"] != row_hash(row):
        yield Flaw(seq, f"row {seq} was changed")


def _moved(engine: Engine, seq: int) -> bool:
    """Return whether the head has reached a row since it was read: a hub is at work."""
    with engine.connect() as connection:
        return (connection.scalar(select(AUDIT_HEAD.c.seq)) or 0) >= seq
