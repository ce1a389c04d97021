"""Grants that outlive their session: across hubs, until their time, for as many requests as they have uses."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, insert, text

from hub.errors import AuditUnavailable
from hub.mediation.caller import SessionState
from hub.store.audit import AuditLog
from hub.store.database import open_database
from hub.store.grants import Grant, GrantStore
from hub.store.tables import GRANTS
from hub.store.verify import verify
from tests.integration.store.faults import refuse_inserts
from tests.support.desk import a_grant, grants_held
from tests.support.postgres import PostgreSQL

SESSION = SessionState(id="s-1", user="alice")


@asynccontextmanager
async def stores(location: Path | str, *names: str) -> AsyncIterator[list[GrantStore]]:
    """Open a database as hubs of these names do."""
    async with AsyncExitStack() as stack:
        made = []
        for name in names:
            engine = open_database(location)
            stack.callback(engine.dispose)
            made.append(GrantStore(engine, await stack.enter_async_context(AuditLog(engine, hub=name))))
            await made[-1].resume()
        yield made


def lasting(scope: Any = "always", **changes: Any) -> Grant:
    if scope == "until":
        changes = {"expires": time.time() + 60, **changes}
    return a_grant(SESSION, scope=scope, **changes)


async def held(store: GrantStore, session: str = "s-2") -> list[str]:
    return await grants_held(store, session=session)


def events(location: Path | str) -> list[tuple[str, str]]:
    engine = open_database(location)
    with engine.connect() as connection:
        bodies = [json.loads(row.body) for row in connection.execute(text("SELECT body FROM audit ORDER BY seq"))]
    engine.dispose()
    return [(body["grant"], body["what"]) for body in bodies if "grant" in body]


@pytest.mark.parametrize("scope", ["until", "always"])
async def test_what_is_given_for_longer_outlives_its_session_and_its_hub(location: Path | str, scope: str) -> None:
    grant = lasting(scope)
    async with stores(location, "hub") as [store]:
        await store.give(grant)
        store.close_session(SESSION.id)
        assert await held(store) == [grant.id]
    async with stores(location, "hub") as [store]:
        assert await held(store) == [grant.id]
        [kept] = await store.list_for("alice")
    assert kept == Grant(**{**{name: getattr(grant, name) for name in grant.__slots__}, "hub": "hub"})


@pytest.mark.parametrize("scope", ["once", "session"])
async def test_what_is_given_for_a_session_does_not(location: Path | str, scope: str) -> None:
    grant = lasting(scope)
    async with stores(location, "hub") as [store]:
        await store.give(grant)
        assert (await held(store, SESSION.id), await held(store)) == ([grant.id], [])
    async with stores(location, "hub") as [store]:
        assert await held(store, SESSION.id) == []
    assert events(location) == [(grant.id, "given"), (grant.id, "closed")]


async def test_a_grant_is_over_at_its_time_and_once_on_record(location: Path | str) -> None:
    async with stores(location, "hub") as [store]:
        grant = lasting("until", expires=time.time() + 1)
        await store.give(grant)
        assert await held(store) == [grant.id]
        await asyncio.sleep(1.05)
        assert not await store.use(grant)
        assert [await held(store) for _ in range(3)] == [[], [], []]
        await store.expire()
        assert await store.list_for("alice") == []
        ended = await store.find("alice", grant.id)
    assert ended.end_reason == "expired"
    assert events(location) == [(grant.id, "given"), (grant.id, "expired")]


async def test_a_grant_whose_time_passed_while_no_hub_ran_does_not_come_back(location: Path | str) -> None:
    grant = lasting("until", expires=time.time() + 0.1)
    async with stores(location, "hub") as [store]:
        await store.give(grant)
    await asyncio.sleep(0.15)
    async with stores(location, "hub") as [store]:
        assert await held(store) == []
    assert events(location)[-1] == (grant.id, "expired")


@pytest.mark.parametrize("scope", ["session", "until", "always"])
async def test_as_many_requests_at_once_use_a_grant_as_it_has_uses(location: Path | str, scope: str) -> None:
    grant = lasting(scope, uses_left=3)
    async with stores(location, "hub") as [store]:
        await store.give(grant)
        assert sum(await asyncio.gather(*(store.use(grant) for _ in range(20)))) == 3
        assert await held(store, SESSION.id) == []
        ended = await store.find("alice", grant.id)
    assert (ended.uses_left, ended.end_reason) == (0, "used")
    assert events(location) == [(grant.id, "given"), *[(grant.id, "used")] * 3]


async def test_a_use_is_durable_when_it_counts(location: Path | str) -> None:
    """What a hub that was killed right after had used is used."""
    grant = lasting(uses_left=2)
    async with stores(location, "hub") as [store]:
        await store.give(grant)
        assert await store.use(grant)
        async with stores(location, "hub-2") as [after]:
            assert (await after.find("alice", grant.id)).uses_left == 1


async def test_a_use_that_cannot_be_written_is_no_use(location: Path | str) -> None:
    grant = lasting(uses_left=1)
    async with stores(location, "hub") as [store]:
        await store.give(grant)
        engine = open_database(location)
        refuse_inserts(engine, "audit")
        engine.dispose()
        with pytest.raises(AuditUnavailable):
            await store.use(grant)


async def test_revoked_is_revoked_in_every_session_and_after_a_restart(location: Path | str) -> None:
    grant = lasting()
    async with stores(location, "hub") as [store]:
        await store.give(grant)
        assert (await store.revoke("alice", grant.id)).end_reason == "revoked"
        assert (await held(store), await store.use(grant)) == ([], False)
        first = await store.find("alice", grant.id)
        assert await store.revoke("alice", grant.id) == first
    async with stores(location, "hub") as [store]:
        assert await held(store) == []
    assert events(location) == [(grant.id, "given"), (grant.id, "revoked")]


async def test_what_another_hub_gives_revokes_or_uses_up_counts_for_the_next_decision(server: PostgreSQL) -> None:
    location = server.new_database()
    async with stores(location, "one", "two") as [one, two]:
        first, second, third = lasting(), lasting(uses_left=1), lasting("session")
        for grant in (first, second, third):
            await one.give(grant)
        assert sorted(await held(two)) == sorted([first.id, second.id])
        assert await two.use(second)
        assert (await held(one), await one.use(second)) == ([first.id], False)
        await two.revoke("alice", first.id)
        assert (await held(one), await one.use(first)) == ([], False)
        assert await held(one, SESSION.id) == [third.id]
        await two.revoke("alice", third.id)
        assert (await held(one, SESSION.id), await one.use(third)) == ([], False)


async def test_while_the_shared_database_is_away_no_grant_counts_and_afterwards_they_do_at_once(
    server: PostgreSQL,
) -> None:
    grant = lasting()
    location = server.new_database()
    async with stores(location, "hub") as [store]:
        await store.give(grant)
        assert await held(store) == [grant.id]
        # The connections that wait in the pool die: nobody hears of it.
        engine = open_database(location)
        with engine.connect() as connection:
            others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            connection.execute(text(f"SELECT pg_terminate_backend(pid) {others}"))
        engine.dispose()
        assert await asyncio.gather(*(held(store) for _ in range(4))) == [[grant.id]] * 4
        server.stop()
        try:
            for _ in range(2):
                with pytest.raises(AuditUnavailable, match="the grants could not be read"):
                    await held(store)
            with pytest.raises(AuditUnavailable):
                await store.use(grant)
        finally:
            server.start()
        assert await held(store) == [grant.id]


async def test_what_a_decision_reads_is_one_prepared_statement_by_the_index(server: PostgreSQL) -> None:
    location = server.new_database()
    async with stores(location, "hub") as [store]:
        engine = store._engine
        with engine.begin() as connection:
            rows = [dict(zip(Grant.__slots__, astuple(lasting(function=f"t.f{n}")), strict=True)) for n in range(3000)]
            connection.execute(insert(GRANTS), rows)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE grants"))
        said: list[tuple[str, Any]] = []
        event.listen(engine, "before_cursor_execute", lambda *told: said.append(told[2:4]))
        for _ in range(10):
            await held(store)
        assert len(said) == 10
        [(statement, parameters)] = dict(said).items()
        with engine.connect() as connection:
            prepared = connection.scalars(text("SELECT statement FROM pg_prepared_statements")).all()
            plan = "\n".join(connection.exec_driver_sql("EXPLAIN " + statement, parameters).scalars())
    assert any("FROM grants" in text for text in prepared)
    assert "grants_request" in plan


async def test_a_hub_that_starts_leaves_the_sessions_of_another_alone(server: PostgreSQL) -> None:
    location = server.new_database()
    grant = lasting("session")
    async with stores(location, "one") as [one]:
        await one.give(grant)
        async with stores(location, "two") as [two]:
            two.close_session(SESSION.id)
        assert await held(one, SESSION.id) == [grant.id]


@pytest.mark.parametrize("uses", [1, 7])
async def test_hubs_that_use_a_grant_at_once_use_it_no_more_often_than_it_has_uses(
    server: PostgreSQL, uses: int
) -> None:
    location = server.new_database()
    names = ("one", "two", "three")
    async with stores(location, *names) as hubs:
        grants = [lasting(uses_left=uses) for _ in range(5)]
        for grant in grants:
            await hubs[0].give(grant)
        tries = [(hub, grant) for _ in range(4) for hub in hubs for grant in grants]
        used = await asyncio.gather(*(hub.use(grant) for hub, grant in tries))
        by_grant = [sum(did for did, (_, tried) in zip(used, tries, strict=True) if tried is g) for g in grants]
    assert by_grant == [uses] * 5
    assert [what for _, what in events(location)].count("used") == 5 * uses
    engine = open_database(location)
    assert verify(engine).flaws == ()
    engine.dispose()


def test_grants_of_a_schema_before_this_one_are_taken_over(engine: Engine) -> None:
    """Rows without the new columns are ended by whichever hub starts next."""
    insert = text(
        'INSERT INTO grants (id, scope, "user", session, caller, function, labels, created) '
        "VALUES ('g-1', 'session', 'alice', 's', 'user', 'a.b', '{}', 1)"
    )
    with engine.begin() as connection:
        connection.execute(insert)

    async def start() -> str | None:
        async with AuditLog(engine, hub="any") as audit:
            store = GrantStore(engine, audit)
            await store.resume()
            return (await store.find("alice", "g-1")).end_reason

    assert asyncio.run(start()) == "closed"
