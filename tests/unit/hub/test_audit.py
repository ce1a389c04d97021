"""The audit log and its writer: in order, durable, whole batches, an unbroken chain."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from hub.errors import AuditUnavailable, EntityNotFound
from hub.store.audit import AuditLog, Event, row_hash
from hub.store.tables import open_database
from tests.support.desk import rows_of

COLUMNS = ("seq", "time", "kind", "decision_id", "session", "user", "body", "previous_hash")


def numbered(number: int, **changes: Any) -> Event:
    return Event(**{"kind": "test", "body": {"number": number}, "user": "alice", **changes})


def numbers(engine: Engine) -> list[int]:
    return [body["number"] for _, _, body in rows_of(engine, "test")]


def broken_links(engine: Engine) -> list[int]:
    """Return the sequence numbers of rows that do not follow from the row before them."""
    with engine.connect() as connection:
        rows = [dict(row._mapping) for row in connection.execute(text("SELECT * FROM audit ORDER BY seq"))]
    heads = ["0" * 64, *(row["hash"] for row in rows)]
    return [
        row["seq"]
        for number, (row, head) in enumerate(zip(rows, heads, strict=False), 1)
        if (row["seq"], row["previous_hash"], row["hash"])
        != (number, head, row_hash({name: row[name] for name in COLUMNS}))
    ]


def refuse_inserts(engine: Engine, when: str = "1") -> None:
    with engine.begin() as connection:
        connection.execute(
            text(f"CREATE TRIGGER full BEFORE INSERT ON audit WHEN {when} BEGIN SELECT RAISE(FAIL, 'full'); END")
        )


def allow_inserts(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("DROP TRIGGER full"))


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    engine = open_database(tmp_path / "hub.db")
    yield engine
    engine.dispose()


async def test_order_of_submission_is_order_in_the_log(engine: Engine) -> None:
    async with AuditLog(engine) as audit:
        waiting = []
        for number in range(600):
            if number % 3:
                audit.record_later(numbered(number))
            else:
                waiting.append(asyncio.create_task(audit.record(numbered(number))))
                await asyncio.sleep(0)
        await asyncio.gather(*waiting)
    assert numbers(engine) == list(range(600))
    assert broken_links(engine) == []


async def test_what_is_recorded_is_durable_when_record_returns(engine: Engine) -> None:
    async with AuditLog(engine) as audit:
        for number in range(5):
            await audit.record(numbered(number))
            assert numbers(engine)[-1] == number


async def test_a_batch_that_fails_fails_whole_and_the_chain_goes_on(engine: Engine) -> None:
    async with AuditLog(engine) as audit:
        await audit.record(numbered(1))
        refuse_inserts(engine, "NEW.body LIKE '%13%'")
        # Submitted in one breath, so that they are one batch, or two of which the second holds the bad one.
        results = await asyncio.gather(*(audit.record(numbered(n)) for n in (11, 12, 13)), return_exceptions=True)
        assert isinstance(results[2], AuditUnavailable)
        refused = {n for n, result in zip((11, 12, 13), results, strict=True) if isinstance(result, AuditUnavailable)}
        assert set(numbers(engine)) == {1, 11, 12, 13} - refused
        allow_inserts(engine)
        await audit.record(numbered(2))
    assert numbers(engine)[-1] == 2
    assert broken_links(engine) == []


async def test_an_event_that_cannot_be_written_at_all_does_not_take_the_writer_with_it(engine: Engine) -> None:
    async with AuditLog(engine) as audit:
        with pytest.raises(AuditUnavailable):
            async with asyncio.timeout(5):
                await audit.record(numbered(1, body={"lone": "\ud800"}))
        async with asyncio.timeout(5):
            await audit.record(numbered(2))
    assert numbers(engine) == [2]


async def test_what_is_given_up_while_it_waits_does_not_stop_the_others(engine: Engine) -> None:
    async with AuditLog(engine) as audit:
        tasks = [asyncio.create_task(audit.record(numbered(n))) for n in range(10)]
        await asyncio.sleep(0)
        tasks[3].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [n for n, result in enumerate(results) if result is not None] == [3]
        await audit.record(numbered(10))
    assert numbers(engine) == list(range(11))


async def test_a_closed_log_refuses_and_has_written_all_that_was_submitted(engine: Engine) -> None:
    async with AuditLog(engine) as audit:
        for number in range(300):
            audit.record_later(numbered(number))
    assert numbers(engine) == list(range(300))
    with pytest.raises(AuditUnavailable):
        await audit.record(numbered(300))
    audit.record_later(numbered(301))
    assert numbers(engine) == list(range(300))


async def test_the_chain_goes_on_over_a_restart(engine: Engine) -> None:
    for number in range(3):
        async with AuditLog(engine) as audit:
            await audit.record(numbered(number))
    assert numbers(engine) == [0, 1, 2]
    assert broken_links(engine) == []


@pytest.mark.parametrize(
    ("tampering", "shows_at"),
    [
        ("""UPDATE audit SET body = '{"number":9}' WHERE seq = 3""", 3),
        ("UPDATE audit SET user = 'mallory' WHERE seq = 3", 3),
        ("UPDATE audit SET decision_id = 'd-9' WHERE seq = 3", 3),
        ("DELETE FROM audit WHERE seq = 3", 4),
        ("UPDATE audit SET time = time + 1 WHERE seq = 3", 3),
    ],
)
async def test_tampering_shows(engine: Engine, tampering: str, shows_at: int) -> None:
    async with AuditLog(engine) as audit:
        for number in range(5):
            await audit.record(numbered(number))
    with engine.begin() as connection:
        connection.exec_driver_sql(tampering)
    assert broken_links(engine)[0] == shows_at


async def test_a_decision_is_read_with_its_outcome_by_its_user_alone(engine: Engine) -> None:
    async with AuditLog(engine) as audit:
        for user, id_ in itertools.product(("alice", "bob"), ("1", "2")):
            await audit.record(numbered(1, kind="decision", decision_id=f"{user}-{id_}", user=user, session=id_))
        audit.record_later(numbered(2, kind="outcome", decision_id="alice-1", session="1"))
        await audit.record(numbered(3))
        found = await audit.decisions("alice")
        assert [item.decision.decision_id for item in found] == ["alice-2", "alice-1"]
        assert [item.outcome is not None for item in found] == [False, True]
        [only] = await audit.decisions("alice", session="2")
        assert only.decision.decision_id == "alice-2"
        [older] = await audit.decisions("alice", before_seq=found[0].decision.seq)
        assert older.decision.decision_id == "alice-1"
        assert len(await audit.decisions("alice", limit=1)) == 1
        assert (await audit.decision("alice", "alice-1")).outcome is not None
        for id_ in ("bob-1", "none"):
            with pytest.raises(EntityNotFound):
                await audit.decision("alice", id_)


def test_a_database_that_cannot_be_opened_is_a_plain_error(tmp_path: Path) -> None:
    (tmp_path / "hub.db").mkdir()
    with pytest.raises(AuditUnavailable, match=r"hub\.db"):
        open_database(tmp_path / "hub.db")


def test_a_file_that_is_no_database_is_a_plain_error(tmp_path: Path) -> None:
    (tmp_path / "hub.db").write_bytes(b"no database at all" * 1000)
    with pytest.raises(AuditUnavailable):
        open_database(tmp_path / "hub.db")
