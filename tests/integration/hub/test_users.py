"""Two users of one hub: each on a socket of their own, and nothing of the other's within reach."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator

import pytest

from hub.client import HubClient
from tests.support.live import ONCE, RELAY, SESSION, VAULT, Live, Person, live, refused, runs, until


@pytest.fixture
async def hub() -> AsyncIterator[Live]:
    async with live(VAULT, RELAY, users=("alice", "bob"), prompt_seconds=1.0) as it:
        yield it


@pytest.fixture
async def bob(hub: Live) -> HubClient:
    return await hub.client_of("bob")


async def test_the_socket_says_who_the_user_is_and_is_the_hubs_owners_alone(hub: Live, bob: HubClient) -> None:
    async with hub.client.session() as mine, bob.session() as theirs:
        assert (mine.user, theirs.user) == ("alice", "bob")
    for path in hub.hub.edge.sockets:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(hub.config.runtime_dir.stat().st_mode) == 0o700


async def test_a_session_of_another_user_cannot_be_used_or_closed(hub: Live, bob: HubClient) -> None:
    async with hub.client.session() as session:
        error = await refused(bob.invoke(session.id, "vault.note", {"text": "x"}))
        unknown = await refused(bob.invoke("s-none", "vault.note", {"text": "x"}))
        assert (error.code, error.reason, str(error)) == (unknown.code, unknown.reason, str(unknown))
        assert error.reason == "ENTITY_NOT_FOUND"
        await session.invoke("vault.note", {"text": "x"})


async def test_decisions_of_another_user_cannot_be_listed_or_explained(hub: Live, bob: HubClient) -> None:
    async with hub.client.session() as session:
        done = await session.invoke("vault.note", {"text": "x"})
        assert [record.decision.decision_id for record in await hub.client.decisions()] == [done.decision_id]
        assert await bob.decisions() == []
        assert await bob.decisions(session_id=session.id) == []
        assert (await refused(bob.explain(done.decision_id))).reason == "ENTITY_NOT_FOUND"


async def test_prompts_of_another_user_cannot_be_seen_or_answered(hub: Live, bob: HubClient) -> None:
    mine, theirs = Person(hub.client), Person(bob, SESSION)
    async with hub.client.session() as session, mine.watching(), theirs.watching():
        call = asyncio.create_task(refused(session.invoke("vault.erase", {"name": "x"})))
        await until(lambda: mine.seen)
        prompt = mine.seen[0]
        error = await refused(bob.answer(prompt.prompt_id, ONCE))
        assert error.reason == "ENTITY_NOT_FOUND"
        assert (await call).reason == "CONSENT_REQUIRED"
        assert theirs.seen == []
        assert await runs(session) == []


async def test_the_control_the_users_own_prompt_can_be_answered(hub: Live) -> None:
    async with hub.client.session() as session, Person(hub.client, ONCE).watching() as person:
        await session.invoke("vault.erase", {"name": "x"})
        assert await runs(session) == ["erase"]
        assert person.seen[0].function == "vault.erase"


async def test_grants_of_another_user_cannot_be_listed_or_revoked(hub: Live, bob: HubClient) -> None:
    async with hub.client.session() as session, Person(hub.client, ONCE).watching():
        await session.invoke("vault.erase", {"name": "x"})
        [grant] = await hub.client.grants(include_ended=True)
        assert await bob.grants(include_ended=True) == []
        assert (await refused(bob.revoke(grant.grant_id))).reason == "ENTITY_NOT_FOUND"


async def test_two_users_have_apps_with_data_of_their_own(hub: Live, bob: HubClient) -> None:
    async with hub.client.session() as mine, bob.session() as theirs:
        await mine.invoke("vault.note", {"text": "x"})
        assert await runs(theirs) == []
        assert len(hub.hub.supervisor.running) == 2


async def test_two_sessions_of_a_user_have_spokes_of_their_own_and_share_the_labels_of_what_is_kept(hub: Live) -> None:
    async with hub.client.session() as first, hub.client.session() as second:
        tainted = await first.invoke("relay.ask", {"requests": [{"function": "vault.read_mail"}]})
        clean = await second.invoke("relay.ask", {"requests": []})
        # The vault keeps its data, where it may have written down what it read.
        kept = await second.invoke("vault.runs", {})
        assert (tainted.integrity, clean.integrity, kept.integrity) == (("untrusted:email",), (), ("untrusted:email",))
        assert len(hub.hub.supervisor.running) == 4


async def test_sessions_are_bounded_by_user(bob: HubClient) -> None:
    async with live(VAULT, users=("alice", "bob"), sessions_per_user=2) as hub:
        async with hub.client.session(), hub.client.session():
            error = await refused(hub.client.session().__aenter__())
            assert error.reason == "QUOTA_EXCEEDED"
            async with (await hub.client_of("bob")).session():
                pass
        async with hub.client.session():
            pass


async def test_an_idle_session_is_closed_with_its_spokes() -> None:
    async with live(VAULT, session_idle_seconds=0.3) as hub, hub.client.session() as session:
        await session.invoke("vault.runs", {})
        for _ in range(100):
            if not hub.hub.supervisor.running:
                break
            await asyncio.sleep(0.05)
        assert (await refused(session.invoke("vault.runs", {}))).reason == "ENTITY_NOT_FOUND"
