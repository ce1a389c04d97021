"""Making more of a yes than the person gave: a grant for another request, a replayed answer, a wider edit, a flood.

Each has its control, on which the same steps go through: the request that the yes was for, or a house without rules.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from spokegate.v1 import decision_pb2, hub_pb2

from hub.cli import asking
from hub.client import Session
from tests.attack.ledger import attack
from tests.attack.mediation.open_house import house, stranger
from tests.support.live import (
    ONCE,
    RELAY,
    SESSION,
    VAULT,
    Live,
    Person,
    app,
    ask,
    copied_policies,
    live,
    refused,
    runs,
    unsaid,
    until,
    workplace,
)

UNTIL, ALWAYS = decision_pb2.GRANT_SCOPE_UNTIL, decision_pb2.GRANT_SCOPE_ALWAYS
EVE, MALLORY = "eve@example.org", "mallory@example.org"
FOR_LONG = pytest.mark.parametrize("scope", [UNTIL, ALWAYS])


def send(to: str = EVE, body: str = "x") -> dict[str, Any]:
    return unsaid("vault.send", to=to, body=body)


@asynccontextmanager
async def granted(hub: Live, scope: decision_pb2.GrantScope.ValueType) -> AsyncIterator[Session]:
    """Have alice agree, in a session that is over, to what the relay sends to Eve; then nobody says yes any more."""
    async with hub.client.session() as session, Person(hub.client, scope).watching() as person:
        [outcome] = await ask(session, send())
        assert ("result" in outcome, len(person.seen)) == (True, 1)
    async with hub.client.session() as session, Person(hub.client, *[None] * 20).watching():
        yield session


@FOR_LONG
async def test_a_yes_for_longer_is_good_for_its_request_in_another_session_and_no_other(
    tmp_path: Path, scope: decision_pb2.GrantScope.ValueType
) -> None:
    other = stranger(tmp_path, asks=("vault.*",))
    async with house(tmp_path, RELAY, other, open_to_all=False) as hub, granted(hub, scope) as session:
        control = await ask(session, send(), send(body="other words"))
        other_arguments = await ask(session, send(MALLORY))
        other_function = await ask(session, unsaid("vault.note", text=EVE))
        other_caller = await ask(session, send(), through="stranger")
        _, more_labels = await ask(session, {"function": "vault.read_mail"}, send())
        ran = await runs(session)
    assert ["result" in outcome for outcome in control] == [True, True]
    attacks = [*other_arguments, *other_function, *other_caller, more_labels]
    assert [outcome["refused"] for outcome in attacks] == ["CONSENT_REFUSED"] * 4
    assert ran.count("send") == 3  # the one that was asked about, and the two that it covers


async def test_the_control_without_the_rules_every_one_of_them_goes_through(tmp_path: Path) -> None:
    other = stranger(tmp_path, asks=("vault.*",))
    async with house(tmp_path, RELAY, other, open_to_all=True) as hub, hub.client.session() as session:
        wishes = [send(MALLORY), unsaid("vault.note", text=EVE), {"function": "vault.read_mail"}, send()]
        outcomes = [*await ask(session, *wishes), *await ask(session, send(), through="stranger")]
    assert all("result" in outcome for outcome in outcomes)


@FOR_LONG
async def test_a_yes_of_one_user_is_no_others(tmp_path: Path, scope: decision_pb2.GrantScope.ValueType) -> None:
    async with (
        house(tmp_path, RELAY, open_to_all=False, users=("alice", "bob")) as hub,
        granted(hub, scope) as hers,
    ):
        bob = await hub.client_of("bob")
        [grant] = await hub.client.grants()
        async with bob.session() as his, Person(bob, None).watching():
            [outcome] = await ask(his, send())
        [control] = await ask(hers, send())
        for call in (bob.grant(grant.grant_id), bob.revoke(grant.grant_id)):
            assert (await refused(call)).reason == "ENTITY_NOT_FOUND"
        assert await bob.grants(include_ended=True) == []
        assert not (await hub.client.grant(grant.grant_id)).HasField("end_time")
    assert (outcome["refused"], "result" in control) == ("CONSENT_REFUSED", True)


@pytest.mark.parametrize("changed", ["none", "relay", "vault"])
async def test_a_yes_is_for_the_apps_as_they_were(tmp_path: Path, changed: str) -> None:
    paths = {
        name: Path(shutil.copytree(source, tmp_path / name)) for name, source in (("relay", RELAY), ("vault", VAULT))
    }
    async with workplace() as root:
        async with live(*paths.values(), root=root) as hub, granted(hub, ALWAYS):
            pass
        if changed in paths:
            with (paths[changed] / f"{changed}.py").open("a") as code:
                code.write("\n# another version\n")
        async with (
            live(*paths.values(), root=root) as hub,
            hub.client.session() as session,
            Person(hub.client, None).watching() as person,
        ):
            [outcome] = await ask(session, send())
    assert ("result" in outcome, len(person.seen)) == ((True, 0) if changed == "none" else (False, 1))


@FOR_LONG
async def test_a_yes_that_is_revoked_covers_nothing_more_in_the_session_that_runs(
    tmp_path: Path, scope: decision_pb2.GrantScope.ValueType
) -> None:
    async with house(tmp_path, RELAY, open_to_all=False) as hub, granted(hub, scope) as session:
        [control] = await ask(session, send())
        [grant] = await hub.client.grants()
        assert (await hub.client.revoke(grant.grant_id)).end_reason == "revoked"
        [outcome] = await ask(session, send())
    assert ("result" in control, outcome["refused"]) == (True, "CONSENT_REFUSED")


@attack("A yes for one call, used by ten at the same time", stopped_by="a use is taken before anything is forwarded")
async def test_a_once_yes_lets_one_of_many_at_once_through(tmp_path: Path, defended: bool) -> bool:
    async with (
        house(tmp_path, RELAY, open_to_all=not defended) as hub,
        hub.client.session() as session,
        Person(hub.client, ONCE, *[None] * 9).watching() as person,
    ):
        answer = await session.invoke("relay.ask_at_once", {"requests": [send()] * 10})
        sent = (await runs(session)).count("send")
    through = ["result" in outcome for outcome in answer.result].count(True)
    assert through == sent
    assert len(person.seen) <= 10
    assert sent in (1, 10)
    return sent > 1


async def test_an_answer_is_good_for_its_own_question_alone(tmp_path: Path) -> None:
    """Replayed for the next question, for the same one again, from another user: nothing. From her, once: a yes."""
    async with (
        house(tmp_path, RELAY, open_to_all=False, users=("alice", "bob")) as hub,
        hub.client.session() as session,
        hub.client.session() as another,
        Person(hub.client).watching() as person,
    ):
        bob = await hub.client_of("bob")

        async def asked_in(where: Session) -> tuple[asyncio.Task[Any], hub_pb2.Prompt]:
            before = len(person.seen)
            call = asyncio.create_task(ask(where, send()))
            await until(lambda: len(person.seen) > before)
            return call, person.seen[-1]

        first, prompt = await asked_in(session)
        assert (await refused(bob.answer(prompt.prompt_id, ONCE))).reason == "ENTITY_NOT_FOUND"
        await hub.client.answer(prompt.prompt_id, ONCE)
        assert "result" in (await first)[0]
        for where in (session, another):
            again, new = await asked_in(where)
            assert (await refused(hub.client.answer(prompt.prompt_id, ONCE))).reason == "ENTITY_NOT_FOUND"
            await hub.client.answer(new.prompt_id, None)
            assert (await again)[0]["refused"] == "CONSENT_REFUSED"
        assert (await runs(session)).count("send") == 1


async def test_a_yes_in_one_session_is_none_in_another(tmp_path: Path) -> None:
    async with (
        house(tmp_path, RELAY, open_to_all=False) as hub,
        hub.client.session() as session,
        hub.client.session() as another,
        Person(hub.client, SESSION, None).watching(),
    ):
        outcomes = [*await ask(session, send(), send()), *await ask(another, send())]
    assert ["result" in outcome for outcome in outcomes] == [True, True, False]


@pytest.mark.parametrize(
    "wider",
    [
        {"to": MALLORY, "body": "x"},
        {"to": EVE, "body": "x", "cc": MALLORY},
        {"to": [EVE, MALLORY], "body": "x"},
        {"to": EVE, "body": ["x"]},
    ],
)
async def test_an_edit_that_widens_is_no_answer(tmp_path: Path, wider: dict[str, Any]) -> None:
    async with (
        house(tmp_path, RELAY, open_to_all=False) as hub,
        hub.client.session() as session,
        Person(hub.client).watching() as person,
    ):
        call = asyncio.create_task(ask(session, send(body="all that I know")))
        await until(lambda: person.seen)
        error = await refused(hub.client.answer(person.seen[0].prompt_id, ONCE, arguments=wider))
        assert (error.reason, person.ended, await runs(session)) == ("REQUEST_INVALID", [], [])
        # The control: an edit that narrows is what is delivered, and all that is.
        await hub.client.answer(person.seen[0].prompt_id, ONCE, arguments={"to": EVE, "body": "nothing"})
        assert "result" in (await call)[0]
        [run] = (await session.invoke("vault.runs", {})).result
    assert run["arguments"] == {"to": EVE, "body": "nothing"}


async def test_a_yes_to_an_edit_is_none_to_what_was_asked_for(tmp_path: Path) -> None:
    async with (
        house(tmp_path, RELAY, open_to_all=False) as hub,
        hub.client.session() as session,
        Person(hub.client).watching() as person,
    ):
        call = asyncio.create_task(ask(session, send(body="all that I know")))
        await until(lambda: person.seen)
        less = {"to": EVE, "body": "nothing"}
        await hub.client.answer(person.seen[0].prompt_id, SESSION, exact=True, arguments=less)
        await call
        again = asyncio.create_task(ask(session, send(body="all that I know")))
        await until(lambda: len(person.seen) == 2)
        await hub.client.answer(person.seen[1].prompt_id, None)
        assert (await again)[0]["refused"] == "CONSENT_REFUSED"
        [control] = await ask(session, send(body="nothing"))
    assert ("result" in control, len(person.seen)) == (True, 2)


@attack(
    "Asking over and over, until the person is worn and says yes",
    stopped_by="fatigue.prompts: past so many prompts of a session it is a no",
)
async def test_who_is_asked_over_and_over_is_not_asked_any_more(tmp_path: Path, defended: bool) -> bool:
    """The control has the limit where the flood does not reach it, and there the worn person's yes goes through."""
    limit = 20 if defended else 1000
    policies = copied_policies(tmp_path / "policies")
    settings = policies / "spokegate" / "settings" / "settings.rego"
    text = settings.read_text()
    settings.write_text(text.replace('"max_session_prompts": 20', f'"max_session_prompts": {limit}'))
    replies = [*[None] * 24, ONCE]
    async with (
        live(VAULT, RELAY, policies=(policies,)) as hub,
        hub.client.session() as session,
        Person(hub.client, *replies).watching() as person,
    ):
        outcomes = await ask(session, *(send(body=str(number)) for number in range(25)))
        codes = {r.code for d in await hub.client.decisions(limit=1000) for r in d.decision.reasons}
    if limit == 1000:
        assert (len(person.seen), "result" in outcomes[-1]) == (25, True)
    else:
        assert (len(person.seen), [outcome["refused"] for outcome in outcomes[20:]]) == (20, ["POLICY_DENIED"] * 5)
    assert ("fatigue.prompts" in codes) is (limit == 20)
    return "result" in outcomes[-1]


async def test_the_words_of_an_app_cannot_pass_for_the_hubs(tmp_path: Path) -> None:
    fake = "\x1b[2J\x1b[H╭─ Let bank use mail.read? ─╮\n│ [y] Yes │\r\u202e[bold green]"
    async with (
        house(tmp_path, RELAY, open_to_all=False) as hub,
        hub.client.session() as session,
        Person(hub.client, None).watching() as person,
    ):
        await ask(session, send(body=fake))
        [prompt] = person.seen
    console = Console(width=80, force_terminal=False, highlight=False)
    with console.capture() as captured:
        console.print(asking.rendered(prompt, whole=True))
    shown = captured.get()
    assert not {"\x1b", "\r", "\u202e"} & set(shown)
    assert [line for line in shown.splitlines() if line.startswith("╭")] == [shown.splitlines()[0]]
    assert "[bold green]" in shown
    # The control: as it came, the value does hold all of it.
    assert json.loads(prompt.arguments_json)["body"] == fake


async def test_the_grant_says_in_words_what_the_person_was_told(tmp_path: Path) -> None:
    async with house(tmp_path, app(RELAY), open_to_all=False) as hub, granted(hub, UNTIL):
        [grant] = await hub.client.grants()
        assert await hub.client.grant(grant.grant_id) == grant
    assert grant.covers == 'calls of vault.send by relay with /to = "eve@example.org"; no labels'
    assert (grant.HasField("expire_time"), grant.HasField("uses_left"), grant.decision_id[:2]) == (True, False, "d-")
