"""Twenty ways to tamper with the audit log, each of which shows, with the row that it shows at."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, Engine, insert, text, update

from hub.store.audit import GENESIS, AuditLog, Event, row_hash
from hub.store.tables import AUDIT
from hub.store.verify import Flaw, Pin, verify

ROWS = 12


async def written(engine: Engine) -> Pin:
    """Write a log, and return its end."""
    async with AuditLog(engine) as audit:
        for number in range(1, ROWS + 1):
            body = {"number": number, "effect": "deny", "text": "ä € \u0000 🚲"}
            await audit.record(
                Event("decision", body, f"d-{number}", session="s", user="alice", time=1.5e9 + number / 7)
            )
    found = verify(engine)
    assert (found.rows, found.flaws) == (ROWS, ())
    return found.head


def rows_from(connection: Connection, seq: int) -> list[dict[str, Any]]:
    found = connection.execute(text("SELECT * FROM audit WHERE seq >= :seq ORDER BY seq"), {"seq": seq})
    return [dict(row._mapping) for row in found]


def put(connection: Connection, row: dict[str, Any]) -> None:
    connection.execute(insert(AUDIT), row)


def chain_anew(connection: Connection, seq: int, changed: dict[str, Any]) -> None:
    """Change a row as one who knows the format would: with all hashes from there on, and the head."""
    rows = rows_from(connection, seq)
    rows[0] |= changed
    previous = rows[0]["previous_hash"]
    for row in rows:
        row["previous_hash"] = previous
        previous = row["hash"] = row_hash(row)
        connection.execute(text("DELETE FROM audit WHERE seq = :seq"), {"seq": row["seq"]})
        put(connection, row)
    connection.execute(text("UPDATE audit_head SET hash = :hash"), {"hash": previous})


def insert_between(connection: Connection, seq: int) -> None:
    """Put a row in, and number all that follow anew."""
    for row in reversed(rows_from(connection, seq)):
        connection.execute(text("UPDATE audit SET seq = seq + 1 WHERE seq = :seq"), {"seq": row["seq"]})
    forged = rows_from(connection, seq - 1)[0] | {"seq": seq, "body": '{"number":0,"effect":"allow"}'}
    forged["previous_hash"] = forged["hash"]
    put(connection, forged | {"hash": row_hash(forged)})


def append(connection: Connection, *, follows: bool) -> None:
    last = rows_from(connection, ROWS)[0]
    forged = last | {"seq": ROWS + 1, "previous_hash": last["hash"] if follows else GENESIS}
    put(connection, forged | {"hash": row_hash(forged)})


def swap(connection: Connection, one: int, other: int) -> None:
    first, second = rows_from(connection, one)[0]["body"], rows_from(connection, other)[0]["body"]
    for seq, body in ((one, second), (other, first)):
        connection.execute(text("UPDATE audit SET body = :body WHERE seq = :seq"), {"body": body, "seq": seq})


def rehash(connection: Connection, seq: int, changed: dict[str, Any]) -> None:
    """Change a row and its own hash, and leave the rest."""
    row = rows_from(connection, seq)[0] | changed
    connection.execute(text("DELETE FROM audit WHERE seq = :seq"), {"seq": seq})
    put(connection, row | {"hash": row_hash(row)})


def run(statement: str) -> Any:
    return lambda connection: connection.execute(text(statement))


def change(**values: str) -> Any:
    return lambda connection: connection.execute(update(AUDIT).where(AUDIT.c.seq == 5).values(values))


TAMPERINGS: dict[str, tuple[Any, int, str]] = {
    "a body": (change(body='{"number":5,"effect":"allow"}'), 5, "was changed"),
    "a user": (change(user="mallory"), 5, "was changed"),
    "a session": (change(session="s-2"), 5, "was changed"),
    "a decision id": (change(decision_id="d-9"), 5, "was changed"),
    "a kind": (change(kind="hub"), 5, "was changed"),
    "a hub": (change(hub="other"), 5, "was changed"),
    "a time": (run("UPDATE audit SET time = time + 1 WHERE seq = 5"), 5, "was changed"),
    "a hash": (change(hash=GENESIS), 5, "was changed"),
    "a link": (change(previous_hash=GENESIS), 5, "does not follow"),
    "two bodies swapped": (lambda c: swap(c, 5, 6), 5, "was changed"),
    "a row with its hash": (lambda c: rehash(c, 5, {"user": "mallory"}), 6, "does not follow row 5"),
    "a row removed": (run("DELETE FROM audit WHERE seq = 5"), 6, "row 5 is missing"),
    "rows removed": (run("DELETE FROM audit WHERE seq BETWEEN 5 AND 8"), 9, "rows 5 to 8 are missing"),
    "the first row removed": (run("DELETE FROM audit WHERE seq = 1"), 2, "row 1 is missing"),
    "the last rows removed": (run("DELETE FROM audit WHERE seq > 9"), ROWS, "ends with row 9, and rows to 12"),
    "all rows removed": (run("DELETE FROM audit"), ROWS, "ends with row 0"),
    "a row put in": (lambda c: insert_between(c, 5), 6, "does not follow row 5"),
    "a row put at the end": (lambda c: append(c, follows=True), ROWS + 1, "not written by a hub"),
    "a loose row put at the end": (lambda c: append(c, follows=False), ROWS + 1, "does not follow"),
    "the last row rewritten": (lambda c: rehash(c, ROWS, {"user": "x"}), ROWS, "not the one that the log ended with"),
    "the head removed": (run("DELETE FROM audit_head"), ROWS, "where the log ends is missing"),
}


@pytest.mark.parametrize("name", TAMPERINGS)
async def test_tampering_shows(engine: Engine, name: str) -> None:
    tamper, seq, what = TAMPERINGS[name]
    await written(engine)
    with engine.begin() as connection:
        tamper(connection)
    first = verify(engine).flaws[0]
    assert (first.seq, what in first.what) == (seq, True), first


async def test_a_whole_new_chain_shows_against_a_pin_and_only_there(engine: Engine) -> None:
    pin = await written(engine)
    with engine.begin() as connection:
        chain_anew(connection, 5, {"user": "mallory"})
    assert verify(engine).flaws == ()
    assert verify(engine, [pin]).flaws == (Flaw(ROWS, f"row {ROWS} is not the one that was pinned"),)


async def test_a_pin_holds_while_the_log_grows_and_shows_when_its_row_is_gone(engine: Engine) -> None:
    pin = await written(engine)
    async with AuditLog(engine) as audit:
        await audit.record(Event(kind="test", body={}))
        assert verify(engine, [pin]).flaws == ()
    gone = Pin(ROWS + 9, GENESIS)
    assert verify(engine, [pin, gone]).flaws == (Flaw(ROWS + 9, f"row {ROWS + 9}, which was pinned, is missing"),)


async def test_an_empty_log_is_whole(engine: Engine) -> None:
    assert verify(engine).flaws == ()


@pytest.mark.parametrize("text", ["", "5", "5:", ":" + GENESIS, "x:" + GENESIS, "5:" + GENESIS.upper() + "A", "5:zz"])
def test_what_is_no_pin_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not SEQ:HASH"):
        Pin.parse(text)


def test_a_pin_reads_as_it_is_written() -> None:
    pin = Pin(7, "ab" * 32)
    assert Pin.parse(str(pin)) == pin
