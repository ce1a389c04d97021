"""What users say of themselves, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from hub.errors import EntityNotFound, QuotaExceeded
from hub.store.audit import AuditLog
from hub.store.database import open_database
from hub.store.user_data import MAX_ATTRIBUTES, Attribute, UserDataStore

EMAIL = Attribute("email", '"alice@example.com"', ("contact",))
HEART = Attribute("heart", '{"surgery":2019}', ("health",))


@asynccontextmanager
async def store_at(location: Path | str) -> AsyncIterator[UserDataStore]:
    engine = open_database(location)
    async with AuditLog(engine) as audit:
        yield UserDataStore(engine, audit)
    engine.dispose()


async def test_what_a_user_says_outlives_the_hub_with_its_tags(location: Path | str) -> None:
    async with store_at(location) as store:
        await store.set("alice", HEART)
        await store.set("alice", Attribute("email", '"old@example.com"'))
        await store.set("alice", EMAIL)
    async with store_at(location) as store:
        assert await store.list_for("alice") == [EMAIL, HEART]
        assert await store.list_for("alice", ["heart", "no_such"]) == [HEART]
        assert await store.list_for("alice", []) == []


async def test_what_one_user_says_is_not_anothers(location: Path | str) -> None:
    async with store_at(location) as store:
        await store.set("alice", EMAIL)
        assert await store.list_for("bob") == []
        with pytest.raises(EntityNotFound):
            await store.delete("bob", "email")
        assert await store.list_for("alice") == [EMAIL]
        await store.delete("alice", "email")
        assert await store.list_for("alice") == []
        with pytest.raises(EntityNotFound):
            await store.delete("alice", "email")


async def test_there_is_a_bound_to_what_a_user_says(location: Path | str) -> None:
    async with store_at(location) as store:
        for number in range(MAX_ATTRIBUTES):
            await store.set("alice", Attribute(f"attribute_{number}", "1"))
        with pytest.raises(QuotaExceeded):
            await store.set("alice", EMAIL)
        await store.set("alice", Attribute("attribute_7", "2"))


async def test_the_log_says_what_was_set_and_not_to_what(location: Path | str) -> None:
    async with store_at(location) as store:
        await store.set("alice", EMAIL)
        await store.delete("alice", "email")
    engine = open_database(location)
    with engine.connect() as connection:
        query = text("SELECT body FROM audit WHERE kind = 'user_data' ORDER BY seq")
        bodies = [row.body for row in connection.execute(query)]
    engine.dispose()
    assert bodies == [
        '{"what":"set","name":"email","confidentiality":["contact"]}',
        '{"what":"deleted","name":"email","confidentiality":[]}',
    ]
