"""Grants: what they are good for, and when they end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Engine

from hub.errors import AuditUnavailable, ConsentRequired, DecisionInvalid, EntityNotFound
from hub.mediation.caller import SessionState
from hub.store.audit import AuditLog
from hub.store.grants import GrantStore
from tests.integration.store.faults import refuse_inserts
from tests.support.desk import Desk, a_grant, answering, grants_held
from tests.support.pdp import FakePdp, by_grant, decision
from tests.unit.hub.target import Target, at_desk

At = Callable[..., AbstractAsyncContextManager[tuple[Desk, Target]]]


@pytest.fixture
def at(tmp_path: Path, location: Path | str) -> At:
    """A desk on the database."""
    return partial(at_desk, tmp_path, location=location)


async def holding(hub: Desk) -> list[str]:
    """Return the ids of the grants that hold for a call of `target.do` by the user."""
    return await grants_held(hub.grants, session=hub.session.id)


async def test_a_once_grant_is_used_once(at: At) -> None:
    async with at(FakePdp(by_grant)) as (hub, _):
        await hub.grants.give(a_grant(hub.session))
        await hub.invoke("target.do")
        assert await holding(hub) == []
        assert type(await hub.refusal("target.do")) is ConsentRequired


async def test_a_session_grant_goes_on_holding_and_says_so_on_record(at: At) -> None:
    async with at(FakePdp(by_grant)) as (hub, _):
        grant = a_grant(hub.session, scope="session")
        await hub.grants.give(grant)
        for _ in range(3):
            await hub.invoke("target.do")
        rows = await hub.rows("decision")
    assert {(body["decided_by"], body["grant"]) for _, _, body in rows} == {("grant", grant.id)}


async def test_a_grant_that_is_revoked_in_the_middle_of_a_session_is_gone_at_once(at: At) -> None:
    async with at(FakePdp(by_grant)) as (hub, _):
        grant = a_grant(hub.session, scope="session")
        await hub.grants.give(grant)
        await hub.invoke("target.do")
        revoked = await hub.grants.revoke("alice", grant.id)
        assert revoked.end_reason == "revoked"
        assert type(await hub.refusal("target.do")) is ConsentRequired
        await hub.rows()
        again = await hub.grants.revoke("alice", grant.id)
        assert (again.end_reason, again.ended) == ("revoked", revoked.ended)


async def test_a_grant_that_is_revoked_between_question_and_answer_does_not_count(at: At) -> None:
    pdp = FakePdp(by_grant)
    async with at(pdp) as (hub, target):
        grant = a_grant(hub.session, scope="session")
        await hub.grants.give(grant)

        async def revoke_meanwhile(document: dict[str, object]) -> object:
            if document["grants"]:
                await hub.grants.revoke("alice", grant.id)
            return by_grant(document)

        pdp.rule = revoke_meanwhile  # type: ignore[assignment]
        assert type(await hub.refusal("target.do")) is ConsentRequired
        assert target.ran == []


async def test_another_users_grant_cannot_be_revoked_or_listed(at: At) -> None:
    async with at() as (hub, _):
        grant = a_grant(hub.session)
        await hub.grants.give(grant)
        with pytest.raises(EntityNotFound):
            await hub.grants.revoke("bob", grant.id)
        assert await hub.grants.list_for("bob", include_ended=True) == []
        assert await holding(hub) == [grant.id]


async def test_grants_end_with_their_session_and_no_other(at: At) -> None:
    async with at() as (hub, _):
        other = SessionState(id="s-other", user="alice")
        mine, theirs = a_grant(hub.session), a_grant(other)
        for grant in (mine, theirs):
            await hub.grants.give(grant)
        hub.grants.close_session(hub.session.id)
        assert await holding(hub) == []
        await hub.rows()
        assert [grant.id for grant in await hub.grants.list_for("alice")] == [theirs.id]


async def test_grants_of_an_earlier_hub_are_ended(engine: Engine) -> None:
    async with AuditLog(engine) as audit:
        grants = GrantStore(engine, audit)
        await grants.give(a_grant(SessionState(id="s-1", user="alice")))
    async with AuditLog(engine) as audit:
        grants = GrantStore(engine, audit)
        await grants.resume()
        await audit.writer.submit()
        [left] = await grants.list_for("alice", include_ended=True)
    assert left.end_reason == "closed"


async def test_a_yes_that_cannot_be_recorded_lets_nothing_through(at: At) -> None:
    async with (
        at(FakePdp(by_grant)) as (hub, target),
        answering(hub.prompts, "session"),
    ):
        await hub.rows()
        refuse_inserts(hub.engine, "grants")
        assert type(await hub.refusal("target.do")) is AuditUnavailable
        assert (target.ran, await holding(hub)) == ([], [])


async def test_a_grant_is_bound_to_what_the_person_saw(at: At) -> None:
    async with (
        at(FakePdp(by_grant)) as (hub, _),
        answering(hub.prompts, "session", "once", None) as asked,
    ):
        await hub.invoke("target.send", {"text": "x"})
        await hub.invoke("asker.ask", {"function": "target.do"})
        given = await hub.grants.list_for("alice", include_ended=True)
    first, second = sorted(given, key=lambda grant: grant.created)
    assert (first.scope, first.caller, first.function, first.constraint) == (
        "session",
        "user",
        "target.send",
        {"/text": "x"},
    )
    assert first.arguments_digest is None
    assert (second.scope, second.caller, second.function, second.constraint) == ("once", "user", "asker.ask", None)
    assert second.arguments_digest is not None
    assert asked[0].offers[1].covers == "Every call of target.send by user with the same /text, until the session ends."


async def test_two_who_answer_the_same_question_make_one_grant(at: At) -> None:
    async with (
        at(FakePdp(by_grant)) as (hub, _),
        answering(hub.prompts, "once") as first,
        answering(hub.prompts) as second,
    ):
        await hub.invoke("target.do")
        await asyncio.sleep(0)
        assert (len(first), len(second)) == (1, 1)
        assert len(await hub.grants.list_for("alice", include_ended=True)) == 1


async def test_a_policy_that_names_a_grant_that_is_not_there_gets_nothing_through(at: At) -> None:
    async with at(FakePdp(decision(decided_by="grant", grant="g-none"))) as (
        hub,
        target,
    ):
        assert type(await hub.refusal("target.do")) is DecisionInvalid
        assert target.ran == []


async def test_a_policy_that_names_a_grant_that_is_for_something_else_gets_nothing_through(at: At) -> None:
    async with at() as (hub, target):
        other = a_grant(hub.session, function="target.send")
        await hub.grants.give(other)
        hub.pdp.rule = decision(decided_by="grant", grant=other.id)
        assert type(await hub.refusal("target.do")) is DecisionInvalid
        assert target.ran == []
        assert [grant.id for grant in await hub.grants.list_for("alice")] == [other.id]


async def test_only_grants_that_could_cover_the_arguments_are_in_the_access_request(at: At) -> None:
    async with at(FakePdp(by_grant)) as (hub, _):
        for number in range(50):
            await hub.grants.give(a_grant(hub.session, arguments_digest=f"sha256:{number:064}"))
            await hub.grants.give(a_grant(hub.session, scope="session", constraint={"/to": number}))
        exact, any_arguments = a_grant(hub.session), a_grant(hub.session, scope="session")
        await hub.grants.give(exact)
        await hub.grants.give(any_arguments)
        assert set(await holding(hub)) == {exact.id, any_arguments.id}
        assert len(await hub.grants.list_for("alice")) == 102
