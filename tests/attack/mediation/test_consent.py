"""Getting round the person: reusing a yes, changing what it was for, wearing them out, answering in their place.

SecGPT's weaknesses: 1.4.6 one-time is not one-time and never about the arguments; B2 the prompt names another app than
the one that runs; B4 forged answers.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.attack.ledger import attack
from tests.attack.mediation.open_house import house, stranger
from tests.support.live import (
    ONCE,
    RELAY,
    SESSION,
    VAULT,
    Person,
    ask,
    copied_policies,
    live,
    refused,
    runs,
    unsaid,
    until,
)

EVE, MALLORY = "eve@example.org", "mallory@example.org"


def send(to: str, body: str = "x") -> dict[str, Any]:
    return unsaid("vault.send", to=to, body=body)


@attack(
    "A yes for one call, used a second time",
    stopped_by="once is one use, of exactly these arguments",
    replays="1.4.6",
)
async def test_a_yes_for_one_call_is_not_good_for_other_arguments_or_a_second_time(
    tmp_path: Path, defended: bool
) -> bool:
    async with (
        house(tmp_path, RELAY, open_to_all=not defended) as hub,
        hub.client.session() as session,
        Person(hub.client, ONCE, None, None).watching() as person,
    ):
        outcomes = await ask(session, send(EVE), send(EVE, "other words"), send(EVE))
        sent = await runs(session)
    if defended:
        assert ["result" in outcome for outcome in outcomes] == [True, False, False]
        assert len(person.seen) == 3
    return sent == ["send"] * 3


async def test_a_yes_for_the_session_holds_for_its_recipient_alone(tmp_path: Path) -> None:
    async with (
        house(tmp_path, RELAY, open_to_all=False) as hub,
        hub.client.session() as session,
        Person(hub.client, SESSION, None).watching() as person,
    ):
        outcomes = await ask(session, send(EVE), send(EVE, "more"), send(MALLORY))
    assert ["result" in outcome for outcome in outcomes] == [True, True, False]
    assert len(person.seen) == 2


async def test_a_yes_for_the_session_does_not_cover_what_was_learnt_since(tmp_path: Path) -> None:
    async with (
        house(tmp_path, RELAY, open_to_all=False) as hub,
        hub.client.session() as session,
        Person(hub.client, SESSION, None).watching() as person,
    ):
        outcomes = await ask(session, send(EVE), {"function": "vault.read_mail"}, send(EVE))
    assert ["result" in outcome for outcome in outcomes] == [True, True, False]
    assert list(person.seen[1].labels.integrity) == ["untrusted:email"]


async def test_a_yes_for_one_function_or_app_is_not_good_for_another(tmp_path: Path) -> None:
    other = stranger(tmp_path, asks=("vault.*",))
    async with (
        house(tmp_path, RELAY, other, open_to_all=False) as hub,
        hub.client.session() as session,
        Person(hub.client, SESSION, None, None).watching() as person,
    ):
        [first] = await ask(session, send(EVE))
        [of_another_app] = await ask(session, send(EVE), through="stranger")
        [of_another_function] = await ask(session, unsaid("vault.note", text=EVE))
    assert ("result" in first, "result" in of_another_app, "result" in of_another_function) == (True, False, False)
    assert [(prompt.caller, prompt.function) for prompt in person.seen] == [
        ("relay", "vault.send"),
        ("stranger", "vault.send"),
        ("relay", "vault.note"),
    ]


async def test_what_cannot_be_undone_is_never_on_offer_for_longer_than_once(tmp_path: Path) -> None:
    async with (
        house(tmp_path, RELAY, open_to_all=False) as hub,
        hub.client.session() as session,
        Person(hub.client).watching() as person,
    ):
        call = asyncio.create_task(session.invoke("vault.erase", {"name": "x"}))
        await until(lambda: person.seen)
        prompt = person.seen[0]
        assert [offer.scope for offer in prompt.scopes] == [ONCE]
        error = await refused(hub.client.answer(prompt.prompt_id, SESSION))
        assert error.reason == "REQUEST_INVALID"
        assert await runs(session) == []
        await hub.client.answer(prompt.prompt_id, ONCE)
        await call
        assert await runs(session) == ["erase"]


async def test_a_yes_cannot_overrule_a_deny_that_came_in_the_meantime(tmp_path: Path) -> None:
    """The person is asked, the owner forbids it, the person says yes."""
    policies = copied_policies(tmp_path / "policies")
    site = policies / "site" / "site.rego"
    site.parent.mkdir(exist_ok=True)
    deny = 'package site\n\ndeny contains {"code": "site.no", "message": "No."} if input.resource.id == "vault.erase"\n'
    async with live(VAULT, policies=(policies,), prompt_seconds=15) as hub, hub.client.session() as session:
        async with Person(hub.client).watching() as person:
            call = asyncio.create_task(refused(session.invoke("vault.erase", {"name": "x"})))
            await until(lambda: person.seen)
            before = hub.hub.bundle.revision
            site.write_text(deny)
            await until(lambda: hub.hub.bundle.revision != before)
            await asyncio.sleep(1)  # OPA loads the new bundle after it is in place
            await hub.client.answer(person.seen[0].prompt_id, ONCE)
            error = await call
        assert (error.reason, await runs(session)) == ("POLICY_DENIED", [])


async def test_what_the_person_sees_is_what_is_delivered(tmp_path: Path) -> None:
    tricky = '{"body": "x\\u202e", "to" : "\\u0065ve@example.org"}'
    async with house(tmp_path, RELAY, open_to_all=False) as hub, hub.client.session() as session:
        async with Person(hub.client, ONCE).watching() as person:
            await ask(session, {"function": "vault.send", "text": tricky})
        [run] = (await session.invoke("vault.runs", {})).result
        shown = json.loads(person.seen[0].arguments_json)
    assert run["arguments"] == shown == {"to": EVE, "body": "x\u202e"}


async def test_arguments_cannot_be_changed_after_they_were_decided(tmp_path: Path) -> None:
    """Duplicate keys are how one text is two requests: the first for the policies, the last for the app."""
    double = '{"to":"eve@example.org","to":"mallory@example.org","body":"x"}'
    async with house(tmp_path, RELAY, open_to_all=True) as hub, hub.client.session() as session:
        [outcome] = await ask(session, {"function": "vault.send", "text": double})
        assert outcome["refused"] == "REQUEST_INVALID"
        await ask(session, {"function": "vault.send", "text": double.replace('"to":"eve@example.org",', "")})
        [run] = (await session.invoke("vault.runs", {})).result
        await until(lambda: hub.rows("outcome"))
        [record] = [
            record
            for record in await hub.client.decisions()
            if (record.function, record.action, record.outcome) == ("vault.send", "invoke", "done")
        ]
    assert run["arguments"] == {"to": MALLORY, "body": "x"}
    assert record.arguments_digest == digest_of('{"body":"x","to":"mallory@example.org"}')


def digest_of(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


async def test_a_flood_of_prompts_is_bounded_and_keeps_nobody_else_waiting(tmp_path: Path) -> None:
    async with (
        house(tmp_path, RELAY, open_to_all=False, prompt_seconds=1.0) as hub,
        hub.client.session() as session,
        hub.client.session() as other,
        Person(hub.client).watching() as person,
    ):
        wishes = [send(EVE, str(number)) for number in range(60)]
        flood = asyncio.create_task(session.invoke("relay.ask_at_once", {"requests": wishes}))
        await until(lambda: person.seen)
        assert await runs(other) == []
        most = len(person.seen) - len(person.ended)
        while not flood.done():
            most = max(most, len(person.seen) - len(person.ended))
            await asyncio.sleep(0.01)
        outcomes = (await flood).result
    assert most <= 16
    # Past the number of prompts that a session may have shown, nobody is asked at all.
    refusals = Counter(outcome["refused"] for outcome in outcomes)
    assert (refusals, len(person.seen)) == ({"CONSENT_REQUIRED": 20, "POLICY_DENIED": 40}, 20)


@pytest.mark.parametrize("guess", ["", "p-", "p-000000000000000000000000", "user", "*"])
async def test_prompts_cannot_be_answered_by_guessing(tmp_path: Path, guess: str) -> None:
    async with house(tmp_path, RELAY, open_to_all=False, prompt_seconds=0.5) as hub, hub.client.session() as session:
        async with Person(hub.client).watching() as person:
            call = asyncio.create_task(refused(session.invoke("vault.erase", {"name": "x"})))
            await until(lambda: person.seen)
            assert (await refused(hub.client.answer(guess, ONCE))).reason == "ENTITY_NOT_FOUND"
            assert (await call).reason == "CONSENT_REQUIRED"
        assert await runs(session) == []


async def test_a_text_in_a_result_is_not_the_users_word_for_it(tmp_path: Path) -> None:
    """An address in an untrusted mail spares no prompt; the same address from the user does (the control)."""
    async with house(tmp_path, RELAY, open_to_all=False) as hub:
        async with hub.client.session() as session, Person(hub.client, None).watching() as person:
            outcomes = await ask(session, {"function": "vault.read_mail"}, send(MALLORY))
            assert (outcomes[1]["refused"], len(person.seen)) == ("CONSENT_REFUSED", 1)
        async with hub.client.session() as session, Person(hub.client, None).watching() as person:
            wish = [{"function": "vault.read_mail"}, send(MALLORY)]
            outcomes = await ask(session, *wish, user_text=f"Read my mail and tell {MALLORY} that I am well.")
            assert (outcomes[1], person.seen) == ({"result": {"ran": "send"}}, [])
