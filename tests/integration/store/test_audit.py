"""The audit log and its writer: in order, durable, whole batches, an unbroken chain."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from sqlalchemy import Engine

from hub.errors import AuditUnavailable, EntityNotFound
from hub.store.audit import AuditLog, Event
from hub.store.verify import verify
from tests.integration.store.faults import allow_inserts, refuse_inserts
from tests.support.desk import rows_of


def numbered(number: int, **changes: Any) -> Event:
    return Event(**{"kind": "test", "body": {"number": number}, "user": "alice", **changes})


def numbers(engine: Engine) -> list[int]:
    return [body["number"] for _, _, body in rows_of(engine, "test")]


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
    assert verify(engine).flaws == ()


async def test_what_is_recorded_is_durable_when_record_returns(engine: Engine) -> None:
    async with AuditLog(engine) as audit:
        for number in range(5):
            await audit.record(numbered(number))
            assert numbers(engine)[-1] == number


async def test_a_batch_that_fails_fails_whole_and_the_chain_goes_on(engine: Engine) -> None:
    async with AuditLog(engine) as audit:
        await audit.record(numbered(1))
        refuse_inserts(engine, "audit", holding="13")
        # Submitted in one breath, so that they are one batch, or two of which the second holds the bad one.
        results = await asyncio.gather(*(audit.record(numbered(n)) for n in (11, 12, 13)), return_exceptions=True)
        assert isinstance(results[2], AuditUnavailable)
        refused = {n for n, result in zip((11, 12, 13), results, strict=True) if isinstance(result, AuditUnavailable)}
        assert set(numbers(engine)) == {1, 11, 12, 13} - refused
        allow_inserts(engine, "audit")
        await audit.record(numbered(2))
    assert numbers(engine)[-1] == 2
    assert verify(engine).flaws == ()


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
        assert [n for n, result in enumerate(results) if isinstance(result, BaseException)] == [3]
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
    assert verify(engine).flaws == ()


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
