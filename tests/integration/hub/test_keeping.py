"""What users say of themselves, and what is remembered of them, over the hub's surface and on the command line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from typer.testing import CliRunner

from hub.cli.commands import app
from hub.cli.output import Exit
from hub.client import HubClient
from hub.store.audit import AuditLog
from hub.store.database import open_database
from hub.store.memory import MemoryStore, Summary
from tests.support.live import Live, live, refused, workplace

# One hub for all of them: none of them needs a fresh one, and each has a user of its own.
pytestmark = pytest.mark.asyncio(loop_scope="module")

HEALTH = {"confidentiality": ["health"], "integrity": []}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hub() -> AsyncIterator[Live]:
    async with workplace() as root:
        (root / "state").mkdir()
        engine = open_database(root / "state" / "hub.db")
        async with AuditLog(engine) as audit:
            store = MemoryStore(engine, audit)
            for user in ("alice", "bob"):
                await store.put(user, "diary", "heart", '{"rate":61}', HEALTH)
                await store.say(user, "diary", "user", f"I am {user} \x1b[31m", HEALTH)
                await store.say(user, "hub", "assistant", "hello", {"confidentiality": [], "integrity": []})
                [turn] = (await store.history(user, "diary")).turns
                await store.summarise(user, "diary", Summary("spoke of itself", HEALTH, turn.stored), last=turn.id)
        engine.dispose()
        async with live(root=root, users=("alice", "bob", "carol")) as it:
            yield it


async def command(hub: Live, *arguments: str, user: str = "carol", stdin: str = "") -> tuple[int, str]:
    whole = [*arguments, "--socket", str(hub.config.runtime_dir / f"{user}.sock")]
    # In a thread of this process: many commands, each of which a process of its own would take a second to load for.
    done = await asyncio.to_thread(CliRunner().invoke, app, whole, input=stdin)
    return done.exit_code, done.stdout


async def exported(client: HubClient, app: str = "") -> list[Any]:
    return [item async for item in client.export_memory(app)]


async def test_what_a_user_sets_is_the_users_alone(hub: Live) -> None:
    alice, bob = hub.client, await hub.client_of("bob")
    await alice.set_user_data("email", "alice@example.com", ["contact", "contact"])
    await alice.set_user_data("heart", {"surgery": 2019}, ["health"])
    assert [(of.name, of.value_json, list(of.confidentiality)) for of in await alice.user_data()] == [
        ("email", '"alice@example.com"', ["contact"]),
        ("heart", '{"surgery":2019}', ["health"]),
    ]
    assert await bob.user_data() == []
    assert (await refused(bob.delete_user_data("email"))).reason == "ENTITY_NOT_FOUND"
    await alice.delete_user_data("email")
    assert [of.name for of in await alice.user_data()] == ["heart"]


@pytest.mark.parametrize(
    ("name", "value", "tags", "reason"),
    [
        ("E-Mail", "x", [], "REQUEST_INVALID"),
        ("", "x", [], "REQUEST_INVALID"),
        ("a" * 64, "x", [], "REQUEST_INVALID"),
        ("email\n", "x", [], "REQUEST_INVALID"),
        ("email", "x", ["Not A Tag"], "REQUEST_INVALID"),
        ("email", "x", [f"tag{n}" for n in range(17)], "REQUEST_INVALID"),
        ("email", float("nan"), [], "REQUEST_INVALID"),
        ("email", "x" * (16 << 10), [], "QUOTA_EXCEEDED"),
    ],
)
async def test_what_is_no_attribute_is_refused(hub: Live, name: str, value: Any, tags: list[str], reason: str) -> None:
    bob = await hub.client_of("bob")
    assert (await refused(bob.set_user_data(name, value, tags))).reason == reason
    assert await bob.user_data() == []


async def test_what_is_remembered_is_exported_to_its_user_and_forgotten_for_good(hub: Live) -> None:
    alice, bob = hub.client, await hub.client_of("bob")
    found = await exported(alice)
    assert [(item.app, item.WhichOneof("what"), list(item.labels.confidentiality)) for item in found] == [
        ("diary", "entry", ["health"]),
        ("diary", "summary", ["health"]),
        ("diary", "turn", ["health"]),
        ("hub", "turn", []),
    ]
    assert found[2].turn.text == "I am alice \x1b[31m"
    assert [item.app for item in await exported(alice, "hub")] == ["hub"]
    assert (await refused(alice.forget_memory(key="heart"))).reason == "REQUEST_INVALID"
    assert [await alice.forget_memory("diary", "heart"), await alice.forget_memory("diary", "heart")] == [1, 0]
    assert [await alice.forget_memory("diary"), await alice.forget_memory()] == [2, 1]
    assert await exported(alice) == []
    assert len(await exported(bob)) == 4


async def test_the_commands_on_me_set_list_and_delete(hub: Live) -> None:
    assert (await command(hub, "me", "set", "email", "c@example.com", "--tag", "contact"))[0] == Exit.DONE
    assert (await command(hub, "me", "set", "heart", "-", "--json", "--tag", "health", stdin="[1]\n"))[0] == Exit.DONE
    assert (await command(hub, "me", "set", "heart", "{", "--json"))[0] == Exit.USAGE
    assert (await command(hub, "me", "set", "Heart", "x"))[0] == Exit.USAGE
    _, as_json = await command(hub, "me", "list", "--format", "json")
    assert json.loads(as_json) == [
        {"name": "email", "value": "c@example.com", "confidentiality": ["contact"]},
        {"name": "heart", "value": [1], "confidentiality": ["health"]},
    ]
    _, listed = await command(hub, "me", "list")
    assert [line.split() for line in listed.splitlines()[1:]] == [
        ["email", '"c@example.com"', "contact"],
        ["heart", "[1]", "health"],
    ]
    assert (await command(hub, "me", "delete", "email"))[0] == Exit.DONE
    assert (await command(hub, "me", "delete", "email"))[0] == Exit.USAGE


async def test_the_commands_on_memory_export_it_escaped_and_forget_only_what_is_named(hub: Live) -> None:
    _, listed = await command(hub, "memory", "export", user="bob")
    assert "\x1b" not in listed
    assert [line.split() for line in listed.splitlines() if line[:1] != " "] == [["diary"], ["hub"]]
    assert "I am bob \\x1b[31m" in listed
    _, as_json = await command(hub, "memory", "export", "diary", "--format", "json", user="bob")
    assert [(item["app"], item["labels"]) for item in json.loads(as_json)] == [("diary", HEALTH)] * 3
    for arguments in ([], ["diary", "--all"], ["--all", "--key", "heart"], ["--key", "heart"]):
        assert (await command(hub, "memory", "forget", *arguments, user="bob"))[0] == Exit.USAGE
    assert await command(hub, "memory", "forget", "diary", "--key", "heart", user="bob") == (Exit.DONE, "1 forgotten\n")
    assert await command(hub, "memory", "forget", "--all", user="bob") == (Exit.DONE, "3 forgotten\n")
