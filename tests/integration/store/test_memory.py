"""What is remembered, on both databases: by app and user, in order, with its labels, within bounds, and forgotten."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from hub.errors import QuotaExceeded
from hub.store.audit import AuditLog
from hub.store.database import open_database
from hub.store.memory import Bounds, Entry, MemoryStore, Remembered, Summary, Turn
from hub.store.verify import verify
from tests.support.postgres import PostgreSQL

PLAIN: dict[str, list[str]] = {"confidentiality": [], "integrity": []}
HEALTH = {"confidentiality": ["health"], "integrity": []}
MAIL = {"confidentiality": [], "integrity": ["untrusted:email"]}


@asynccontextmanager
async def store_at(
    location: Path | str,
    name: str = "hub",
    bounds: Bounds = Bounds(),  # noqa: B008 - frozen
) -> AsyncIterator[MemoryStore]:
    engine = open_database(location)
    async with AuditLog(engine, hub=name) as audit:
        yield MemoryStore(engine, audit, bounds)
    engine.dispose()


async def everything(store: MemoryStore, user: str, app: str = "") -> list[tuple[str, object]]:
    return [(item.app, _content(item)) async for item in store.export(user, app)]


def _content(item: Remembered) -> object:
    match item.what:
        case Entry(key=key, value_json=value_json):
            return {key: json.loads(value_json)}
        case Turn(role=role, text=said):
            return (role, said)
        case Summary(text=said):
            return said


async def spoken(store: MemoryStore, user: str = "alice", app: str = "diary") -> tuple[str, list[str]]:
    history = await store.history(user, app)
    return history.summary.text if history.summary else "", [turn.text for turn in history.turns]


async def test_what_is_remembered_outlives_the_hub_with_its_labels(location: Path | str) -> None:
    async with store_at(location) as store:
        await store.put("alice", "diary", "heart", '{"rate":61}', HEALTH, decision_id="d-1")
        await store.say("alice", "diary", "user", "it is spring", PLAIN)
        await store.say("alice", "diary", "tool", "it is raining", MAIL)
    async with store_at(location) as store:
        [entry] = await store.entries("alice", "diary", "heart")
        history = await store.history("alice", "diary")
    assert (entry.key, entry.value_json, entry.labels) == ("heart", '{"rate":61}', HEALTH)
    assert [(turn.role, turn.text, turn.labels) for turn in history.turns] == [
        ("user", "it is spring", PLAIN),
        ("tool", "it is raining", MAIL),
    ]
    assert history.summary is None


async def test_no_app_and_no_user_reads_or_removes_what_another_remembers(location: Path | str) -> None:
    async with store_at(location) as store:
        for user in ("alice", "bob"):
            for app in ("diary", "doctor"):
                await store.put(user, app, "key", f'"{user} {app}"', PLAIN)
                await store.say(user, app, "user", f"{user} {app}", PLAIN)
        [mine] = await store.entries("alice", "diary")
        assert mine.value_json == '"alice diary"'
        assert await spoken(store) == ("", ["alice diary"])
        [last] = (await store.history("bob", "diary")).turns
        # Not even by the number of another's turn.
        assert not await store.summarise("alice", "diary", Summary("stolen", PLAIN, time.time()), last=last.id)
        assert await store.forget_entry("alice", "diary", "no such key") == 0
        assert await store.forget("alice", "diary") == 2
        assert await everything(store, "alice") == [
            ("doctor", {"key": "alice doctor"}),
            ("doctor", ("user", "alice doctor")),
        ]
        assert len(await everything(store, "bob")) == 4
        assert await store.forget("alice") == 2
        assert await everything(store, "alice") == []
        assert len(await everything(store, "bob", "diary")) == 2


async def test_an_entry_takes_the_place_of_what_stood_under_its_key(location: Path | str) -> None:
    async with store_at(location) as store:
        await asyncio.gather(*(store.put("alice", "diary", "n", str(n), HEALTH) for n in range(20)))
        await store.put("alice", "diary", "n", "20", PLAIN)
        [entry] = await store.entries("alice", "diary")
        assert (entry.value_json, entry.labels) == ("20", PLAIN)
        assert await store.forget_entry("alice", "diary", "n") == 1
        assert await store.entries("alice", "diary") == []


async def test_what_is_forgotten_under_an_influence_leaves_a_trace_that_carries_it(location: Path | str) -> None:
    async with store_at(location) as store:
        for key in "abc":
            await store.put("alice", "diary", key, "1", PLAIN)
        assert await store.forget_entry("alice", "diary", "a", MAIL) == 1
        assert await store.forget_entry("alice", "diary", "b", PLAIN) == 1
        assert await store.forget_entry("alice", "diary", "none", MAIL) == 0
        found = [(entry.key, entry.value_json, entry.labels) for entry in await store.entries("alice", "diary")]
        assert found == [("a", "", MAIL), ("c", "1", PLAIN)]
        # A trace is nothing that is remembered, and what takes its place, or the user's own word, removes it.
        assert await everything(store, "alice") == [("diary", {"c": 1})]
        assert await store.forget_entry("alice", "diary", "a", MAIL) == 0
        await store.put("alice", "diary", "c", "2", PLAIN)
        assert await store.forget_entry("alice", "diary", "c", MAIL) == 1
        assert await store.forget("alice", "diary") == 0
        assert await store.entries("alice", "diary") == []


async def test_two_hubs_write_one_memory(server: PostgreSQL) -> None:
    shared = server.new_database()
    async with store_at(shared, "one") as one, store_at(shared, "two") as two:
        await asyncio.gather(
            *(store.put("alice", "diary", "n", str(n), PLAIN) for n in range(20) for store in (one, two)),
            *(store.say("alice", "diary", "user", str(n), PLAIN) for n in range(20) for store in (one, two)),
        )
        assert len(await one.entries("alice", "diary")) == 1
        history = await two.history("alice", "diary")
        assert sorted(int(turn.text) for turn in history.turns) == sorted([*range(20), *range(20)])
        # Both summarise, and one does.
        last = history.turns[-1].id
        took = await asyncio.gather(
            *(
                store.summarise("alice", "diary", Summary(name, PLAIN, time.time()), last=last)
                for name, store in {"one": one, "two": two}.items()
            )
        )
        assert sorted(took) == [False, True]
        assert await spoken(one) == ("one" if took[0] else "two", [])


async def test_a_summary_stands_for_the_turns_before_it_which_the_export_still_has(location: Path | str) -> None:
    async with store_at(location) as store:
        for word in ("one", "two", "three"):
            await store.say("alice", "diary", "user", word, PLAIN)
        second = (await store.history("alice", "diary")).turns[1]
        assert await store.summarise("alice", "diary", Summary("1 and 2", HEALTH, time.time()), last=second.id)
        history = await store.history("alice", "diary")
        assert history.summary is not None
        assert (history.summary.text, history.summary.labels) == ("1 and 2", HEALTH)
        assert [turn.text for turn in history.turns] == ["three"]
        # A summary that was made of the same turns, and comes late.
        assert not await store.summarise("alice", "diary", Summary("late", PLAIN, time.time()), last=second.id)
        assert await spoken(store) == ("1 and 2", ["three"])
        assert [content for _, content in await everything(store, "alice")] == [
            "1 and 2",
            ("user", "one"),
            ("user", "two"),
            ("user", "three"),
        ]


async def test_what_is_forgotten_while_it_is_summarised_stays_forgotten(location: Path | str) -> None:
    async with store_at(location) as store:
        await store.say("alice", "diary", "user", "a secret", PLAIN)
        [turn] = (await store.history("alice", "diary")).turns
        await store.forget("alice", "diary")
        # The next one must not be taken for it.
        await store.say("alice", "diary", "user", "good morning", PLAIN)
        assert not await store.summarise("alice", "diary", Summary("a secret", PLAIN, time.time()), last=turn.id)
        assert await spoken(store) == ("", ["good morning"])


async def test_there_is_a_bound_to_what_is_remembered(location: Path | str) -> None:
    async with store_at(location, bounds=Bounds(entries=3, entry_bytes=100, turns=3, turn_bytes=100)) as store:
        for key in "abc":
            await store.put("alice", "diary", key, "1", PLAIN)
        with pytest.raises(QuotaExceeded, match="3 entries"):
            await store.put("alice", "diary", "d", "1", PLAIN)
        await store.put("alice", "diary", "c", "2", PLAIN)
        with pytest.raises(QuotaExceeded):
            await store.put("alice", "diary", "c", "2" * 99, PLAIN)
        for word in "abcdef":
            await store.say("alice", "diary", "user", word, PLAIN)
        with pytest.raises(QuotaExceeded, match="6 turns"):
            await store.say("alice", "diary", "user", "g", PLAIN)
        # Another app has room of its own.
        await store.say("alice", "doctor", "user", "a", PLAIN)
        fifth = (await store.history("alice", "diary")).turns[4]
        assert await store.summarise("alice", "diary", Summary("five", PLAIN, time.time()), last=fifth.id)
        assert await spoken(store) == ("five", ["f"])
        await store.say("alice", "diary", "user", "g", PLAIN)
        turns = [content for _, content in await everything(store, "alice", "diary") if isinstance(content, tuple)]
        # Of those that are summarised the oldest went. What is not is always kept.
        assert turns == [("user", word) for word in "defg"]


async def test_a_text_that_not_every_database_takes_is_kept_all_the_same(location: Path | str) -> None:
    async with store_at(location) as store:
        await store.say("alice", "diary", "user", "nul \0 and half a pair \ud800", PLAIN)
        assert await spoken(store) == ("", ["nul \ufffd and half a pair ?"])


async def test_every_change_is_on_record_by_what_it_was_and_not_by_what_it_said(location: Path | str) -> None:
    async with store_at(location) as store:
        await store.put("alice", "diary", "the key", '"the value"', PLAIN, decision_id="d-1")
        await store.say("alice", "diary", "user", "the words", PLAIN, decision_id="d-2")
        await store.forget_entry("alice", "diary", "the key", decision_id="d-3")
        await store.forget("alice")
    engine = open_database(location)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT decision_id, body FROM audit WHERE kind = 'memory' ORDER BY seq")).all()
    assert [(row.decision_id, json.loads(row.body)["what"]) for row in rows] == [
        ("d-1", "stored"),
        ("d-2", "said"),
        ("d-3", "forgotten"),
        ("", "forgotten"),
    ]
    assert "the" not in " ".join(row.body for row in rows)
    assert verify(engine).flaws == ()
    engine.dispose()
