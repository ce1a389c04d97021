"""What went through SecGPT's hub between its spokes, tried on this one: in another's name, past it, by its own files.

The numbers are those of its weaknesses as they were read in its code (1.4) and measured (B). What has gone through its
wire is in `test_wire.py`; the sandbox has a suite of its own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from spokegate.v1 import decision_pb2

from hub.mediation import mediator, schema
from hub.mediation.asks import SpokeAsks
from hub.mediation.caller import Caller
from hub.store.grants import binding_of
from tests.attack.ledger import attack
from tests.attack.mediation.open_house import INTRUDER, Houses
from tests.support.live import (
    RELAY,
    SESSION,
    VAULT,
    Live,
    Person,
    ask,
    live,
    runs,
    unsaid,
    workplace,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

ALWAYS = decision_pb2.GRANT_SCOPE_ALWAYS
EVE, MALLORY = "eve@example.org", "mallory@example.org"


@attack(
    "After a no to one request, another one without a word",
    stopped_by="every request is decided on, and asked about, by itself",
    replays="1.4.4, B2",
)
async def test_a_no_is_followed_by_another_request(houses: Houses, defended: bool) -> bool:
    """SecGPT ran the second, and the prompt that came after named the first."""
    async with houses.guest(guarded=defended) as guest, Person(guest.client, None, None).watching() as person:
        erase, send = unsaid("vault.erase", name="all"), unsaid("vault.send", to=MALLORY, body="x")
        await ask(guest.session, erase, send)
        ran = await runs(guest.session)
    asked = [(prompt.caller, prompt.function, json.loads(prompt.arguments_json)) for prompt in person.seen]
    if defended:
        assert asked == [
            ("relay", "vault.erase", {"name": "all"}),
            ("relay", "vault.send", {"to": MALLORY, "body": "x"}),
        ]
    return "send" in ran


@attack(
    "In another app's name, in a field of the message",
    stopped_by="who asks is the stream that the hub opened",
    replays="1.4.5, B3",
)
async def test_a_name_in_the_message(houses: Houses, defended: bool, monkeypatch: pytest.MonkeyPatch) -> bool:
    """The stranger may ask for nothing of the vault. The control's hub believes what the message says."""

    class Believing(SpokeAsks):
        async def invoke(self, function: str, arguments_json: str) -> str:
            arguments = json.loads(arguments_json)
            named = arguments.pop("spoke_id", self.caller.id)
            app = self.mediator._registry.apps[named]
            claimed = Caller(self.caller.session, app, self.caller.chain, self.caller.deadline)
            return await SpokeAsks(self.mediator, claimed).invoke(function, json.dumps(arguments))

    if not defended:
        monkeypatch.setattr(mediator, "SpokeAsks", Believing)
    async with houses.guest(guarded=True) as guest:
        asks = {"function": "vault.runs", "arguments": {"spoke_id": "relay"}}
        [by_argument] = await ask(guest.session, asks, through="stranger")
        # A field that the message does not have is no field of any other either.
        claim = {"function": "vault.runs", "text": "{}", "name": "relay"}
        by_field = (await guest.session.invoke("timid.claim", claim)).result
    assert by_field is False
    return "result" in by_argument


@attack(
    "Arguments that their schema does not take",
    stopped_by="schema, formats and unknown fields are checked, and a check that fails refuses",
    replays="1.4.7, B16",
)
async def test_arguments_without_a_check(houses: Houses, defended: bool, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Both hubs allow everything, so that nothing else stops it."""
    if not defended:
        monkeypatch.setattr(schema, "check", lambda value, validator, *, what: None)
    wishes = [
        unsaid("vault.send", to="not an address", body="x"),
        unsaid("vault.note", text="x", more="y"),
        unsaid("vault.note", mood="x"),
        unsaid("vault.erase", name=["everything"]),
    ]
    async with houses.guest(guarded=False) as guest:
        outcomes = await ask(guest.session, *wishes)
        ran = await runs(guest.session)
    if defended:
        assert [outcome["refused"] for outcome in outcomes] == ["REQUEST_INVALID"] * 4
    else:
        assert ran == ["send", "note", "note", "erase"]
    return bool(ran)


@attack(
    "A result that its schema does not take",
    stopped_by="a result is checked as arguments are, whoever asked",
    replays="1.4.7",
)
async def test_a_result_without_a_check(houses: Houses, defended: bool, monkeypatch: pytest.MonkeyPatch) -> bool:
    if not defended:
        monkeypatch.setattr(schema, "check", lambda value, validator, *, what: None)
    async with houses.guest(guarded=False) as guest:
        [outcome] = await ask(guest.session, {"function": "misbehaving.wrong_result"})
    if defended:
        assert outcome["refused"] == "APP_FAILED"
    return "result" in outcome


def open_to_every_uid(*directories: Path) -> None:
    """Let spokes at these files. Started as root, they have uids of their own, even where there is no sandbox."""
    for directory in directories:
        directory.chmod(0o777)
        for path in directory.iterdir():
            if not path.is_dir():
                path.chmod(0o666)


@attack(
    "A call of another spoke at its own socket, past the hub",
    stopped_by="sandbox: no socket but a spoke's own is in sight, and connect() is forbidden",
    replays="1.4.3, B4",
)
async def test_another_spokes_socket(defended: bool) -> bool:
    """SecGPT's nested spokes had the sockets of those that waited, and answered in their place."""
    async with live(VAULT, INTRUDER, unsafe_no_sandbox=not defended) as hub, hub.client.session() as session:
        assert await runs(session) == []
        [socket] = (hub.config.runtime_dir / "spokes" / "1").glob("*.sock")  # of the first spoke, the vault's
        if not defended:
            open_to_every_uid(*list(socket.parents)[:4])
        wish = {"socket": str(socket), "function": "erase", "text": '{"name":"all"}'}
        said = (await session.invoke("intruder.call_past_the_hub", wish)).result
        ran = await runs(session)
        assert not [body for _, _, body in hub.rows("decision") if body["function"] == "vault.erase"]
    assert (said == "result") is (ran == ["erase"])
    return ran == ["erase"]


@attack(
    "A grant that an app writes into the hub's own files",
    stopped_by="sandbox: a spoke sees no file of the hub, and is no child that shares its memory",
    replays="1.4.3",
)
async def test_a_grant_of_an_apps_own_making(defended: bool) -> bool:
    """SecGPT's spokes were forks of the hub, and could write `permanent` for everything."""

    async def sent(hub: Live, to: str) -> bool:
        async with hub.client.session() as session, Person(hub.client, None).watching():
            [outcome] = await ask(session, unsaid("vault.send", to=to, body="x"))
        return "result" in outcome

    async def agree_and_change(hub: Live) -> None:
        async with hub.client.session() as session, Person(hub.client, ALWAYS).watching():
            await ask(session, unsaid("vault.send", to=EVE, body="x"))
            if not defended:
                open_to_every_uid(root / "state", root)
            change = {
                "database": str(root / "state" / "hub.db"),
                "constraint": json.dumps({"/to": MALLORY}),
                "binding": binding_of(None, {"/to": MALLORY}),
            }
            await session.invoke("intruder.change_the_grants", change)

    async with workplace() as root:
        async with live(VAULT, RELAY, INTRUDER, root=root, unsafe_no_sandbox=not defended) as hub:
            await agree_and_change(hub)
        # What is in the files counts from the next start on.
        async with live(VAULT, RELAY, INTRUDER, root=root, unsafe_no_sandbox=not defended) as hub:
            came_through = await sent(hub, MALLORY)
            assert await sent(hub, EVE) is not came_through
    return came_through


@attack(
    "An effect that leaves no trace",
    stopped_by="the decision is durable before anything is forwarded",
    replays="1.4.14",
)
async def test_an_effect_without_a_row(houses: Houses, defended: bool, monkeypatch: pytest.MonkeyPatch) -> bool:
    """The control's hub forwards first, and its log is what a hub says that nobody asks any more."""

    async def forget(self: Any, call: Any) -> None:
        call.recorded = True

    if not defended:
        monkeypatch.setattr(mediator.Mediator, "_put_on_record", forget)
    async with houses.guest(guarded=False) as guest:
        await ask(guest.session, unsaid("vault.erase", name="all"))
        ran = await runs(guest.session)
        records = await guest.client.decisions(session_id=guest.session.id)
    assert ran == ["erase"]
    return "vault.erase" not in [record.function for record in records]


@attack(
    "A yes for a session, used for what its arguments were not",
    stopped_by="a grant is bound to the function and to what steers it",
    replays="1.4.6",
)
async def test_a_yes_is_not_for_the_pair_of_apps(houses: Houses, defended: bool) -> bool:
    """SecGPT's grants were for a pair of apps, whatever one asked of the other."""
    async with houses.guest(guarded=defended) as guest, Person(guest.client, SESSION, *[None] * 3).watching():
        wishes = [unsaid("vault.send", to=EVE, body="x"), unsaid("vault.send", to=MALLORY, body="x")]
        outcomes = await ask(guest.session, *wishes, unsaid("vault.note", text=EVE), unsaid("vault.erase", name=EVE))
    assert "result" in outcomes[0]
    return any("result" in outcome for outcome in outcomes[1:])
