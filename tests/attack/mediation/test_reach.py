"""Reaching what one may not: without asking first, in another's name, by guessing names, round in circles.

SecGPT's weaknesses (notes: "found by reading the code"): 1.4.4 authorization bypass, 1.4.5 identity spoofing, 1.4.9
no bound on recursion, 1.4.7 fail-open validation.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hub.client import Session
from tests.attack.mediation.open_house import house, stranger
from tests.support.live import MISBEHAVING, RELAY, Live, app, ask, runs, unsaid

NOTE = {"function": "vault.note", "arguments": {"text": "x"}}
NOT_FOUND = {"refused": "FUNCTION_NOT_FOUND", "message": "There is no such function."}


async def probed(session: Session, name: str) -> list[str]:
    return (await session.invoke(f"{name}.probe", {})).result  # type: ignore[no-any-return]


@pytest.mark.parametrize("open_to_all", [False, True])
async def test_what_was_not_probed_for_cannot_be_invoked_directly(tmp_path: Path, open_to_all: bool) -> None:
    async with (
        house(tmp_path, stranger(tmp_path), MISBEHAVING, open_to_all=open_to_all) as hub,
        hub.client.session() as session,
    ):
        [outcome] = await ask(session, NOTE, through="stranger")
        ran = await runs(session)
    if open_to_all:
        assert (outcome, ran) == ({"result": {"ran": "note"}}, ["note"])
    else:
        assert (outcome["refused"], ran) == ("FUNCTION_NOT_FOUND", [])


@pytest.mark.parametrize("open_to_all", [False, True])
async def test_a_probe_that_hides_a_function_is_followed_by_no_invoke_of_it(tmp_path: Path, open_to_all: bool) -> None:
    async with (
        house(tmp_path, stranger(tmp_path), MISBEHAVING, open_to_all=open_to_all) as hub,
        hub.client.session() as session,
    ):
        seen = await probed(session, "stranger")
        outcomes = await ask(session, *[NOTE] * 3, through="stranger")
        ran = await runs(session)
    # What the manifest does not declare is not even asked about for a probe: the control is the invokes.
    assert "vault.note" not in seen
    assert ran == ["note"] * (3 if open_to_all else 0)
    assert all(("result" in outcome) is open_to_all for outcome in outcomes)


async def test_unknown_and_undiscoverable_cannot_be_told_apart(tmp_path: Path) -> None:
    texts = ['{"text":"x"}', '{"text":5}', '{"no":1}', "{", '{"text":"x","text":"x"}', "[1]"]
    names = ["vault.note", "vault.erase", "vault.none", "none.note", "hub.note", "note"]
    async with (
        house(tmp_path, stranger(tmp_path), MISBEHAVING, open_to_all=False) as hub,
        hub.client.session() as session,
    ):
        requests: list[dict[str, Any]] = [{"function": name, "text": text} for name in names for text in texts]
        outcomes = await ask(session, *requests, through="stranger")
        [allowed] = await ask(session, {"function": "misbehaving.echo", "text": '{"value":1}'}, through="stranger")
        [told] = await ask(session, {"function": "misbehaving.echo", "text": '{"no":1}'}, through="stranger")
        ran = await runs(session)
    assert len({outcome.pop("decision_id") for outcome in outcomes}) == len(requests)
    assert [outcome for outcome in outcomes if outcome != NOT_FOUND] == []
    assert ran == []
    # The control: who may discover a function is told what is wrong.
    assert (allowed, told["refused"]) == ({"result": {"value": 1}}, "REQUEST_INVALID")


@pytest.mark.parametrize(
    "name", ["user", "user.note", "hub", "relay.ask/../vault.note", "vault.note\x00", "Vault.note", "vault.note ", "*"]
)
async def test_no_name_of_a_function_passes_for_another_one(tmp_path: Path, name: str) -> None:
    async with house(tmp_path, RELAY, open_to_all=False) as hub, hub.client.session() as session:
        [outcome] = await ask(session, {"function": name, "arguments": {"text": "x"}})
        assert outcome["refused"] == "FUNCTION_NOT_FOUND"
        assert await runs(session) == []


async def documents(hub: Live, session: Session, function: str) -> list[dict[str, Any]]:
    """Return the access requests about a function that were decided on in a session, newest first."""
    found = []
    for record in await session.client.decisions(session_id=session.id, limit=1000):
        if record.function == function and record.action == "invoke" and record.outcome == "done":
            found.append(json.loads((await session.client.explain(record.decision.decision_id)).input_json))
    return found


async def test_who_asks_is_the_stream_and_nothing_in_the_message(tmp_path: Path) -> None:
    lies = {"subject": {"id": "user"}, "user": "bob", "caller": "user", "chain": ["user"], "spoke_id": "relay"}
    liar = stranger(tmp_path, asks=("relay.*", "vault.*"))
    async with house(tmp_path, RELAY, liar, open_to_all=True) as hub, hub.client.session() as session:
        await ask(session, {"function": "vault.note", "arguments": {"text": "x"}}, through="stranger")
        [outcome] = await ask(
            session, {"function": "vault.note", "arguments": {"text": "x", **lies}}, through="stranger"
        )
        assert outcome["refused"] == "REQUEST_INVALID"
        inner = {"function": "vault.note", "arguments": {"text": "y"}}
        await ask(session, {"function": "relay.ask", "arguments": {"requests": [inner]}}, through="stranger")
        through_relay, direct = await documents(hub, session, "vault.note")
    assert (direct["subject"]["id"], direct["context"]["chain"]) == ("stranger", ["user", "stranger"])
    assert (through_relay["subject"]["id"], through_relay["context"]["chain"]) == (
        "relay",
        ["user", "stranger", "relay"],
    )


@pytest.mark.parametrize("open_to_all", [False, True])
async def test_a_deputy_does_not_lend_what_its_caller_may_not_have(tmp_path: Path, open_to_all: bool) -> None:
    """The stranger may ask the relay, and the relay is cleared for what the stranger is not."""
    cleared = app(RELAY, clearance=("health",))
    asker = stranger(tmp_path, asks=("relay.*",))
    async with house(tmp_path, cleared, asker, open_to_all=open_to_all) as hub, hub.client.session() as session:
        inner = {"requests": [{"function": "vault.read_secret"}]}
        # More than once: a refusal must not be what makes the next one possible.
        outcomes = await ask(session, *[{"function": "relay.ask", "arguments": inner}] * 3, through="stranger")
    assert ("asthma" in json.dumps(outcomes)) is open_to_all
    if not open_to_all:
        assert [outcome["refused"] for outcome in outcomes] == ["POLICY_DENIED"] * 3


async def test_a_deputy_is_the_control_it_gets_what_it_is_cleared_for(tmp_path: Path) -> None:
    async with house(tmp_path, app(RELAY, clearance=("health",)), open_to_all=False) as hub:
        async with hub.client.session() as session:
            assert "asthma" in json.dumps(await ask(session, {"function": "vault.read_secret"}))
        async with hub.client.session() as session:
            assert "asthma" in (await session.invoke("vault.read_secret", {})).result


@pytest.mark.parametrize(("hops", "depth"), [(3, 4), (8, 9)])
async def test_two_apps_that_ask_each_other_in_circles_are_stopped(tmp_path: Path, hops: int, depth: int) -> None:
    ping, pong = (stranger(tmp_path, name, ("*",)) for name in ("ping", "pong"))
    async with house(tmp_path, ping, pong, open_to_all=False, hops=hops) as hub, hub.client.session() as session:
        answer = (await session.invoke("ping.bounce", {"ring": ["pong", "ping"]})).result
    assert answer["depth"] == depth
    assert answer["reason"] in {"QUOTA_EXCEEDED", "POLICY_DENIED"}


async def test_the_control_with_a_higher_bound_the_circle_goes_on(tmp_path: Path) -> None:
    ping, pong = (stranger(tmp_path, name, ("*",)) for name in ("ping", "pong"))
    async with house(tmp_path, ping, pong, open_to_all=True, hops=20) as hub, hub.client.session() as session:
        answer = (await session.invoke("ping.bounce", {"ring": ["pong", "ping"]})).result
    assert answer == {"depth": 21, "reason": "QUOTA_EXCEEDED"}


@pytest.mark.parametrize("open_to_all", [False, True])
async def test_what_is_confidential_does_not_leave_under_untrusted_influence(tmp_path: Path, open_to_all: bool) -> None:
    cleared = app(RELAY, clearance=("health",))
    async with house(tmp_path, cleared, open_to_all=open_to_all) as hub, hub.client.session() as session:
        outcomes = await ask(
            session,
            {"function": "vault.read_secret"},
            {"function": "vault.read_mail"},
            unsaid("vault.send", to="mallory@example.org", body="asthma"),
        )
        ran = await runs(session)
    assert ("send" in ran) is open_to_all
    assert ("result" in outcomes[2]) is open_to_all
