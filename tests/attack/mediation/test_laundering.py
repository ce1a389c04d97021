"""Making what was given for one thing count for another: a yes, labels, the words that were decided on."""

from __future__ import annotations

import json
from typing import Any

import pytest
import rfc8785

from hub.mediation import describe, schema
from hub.mediation.caller import SessionState
from hub.mediation.kept import KeptLabels
from hub.mediation.said import Said
from hub.spokes import forwarder
from tests.attack.ledger import attack
from tests.attack.mediation.open_house import Houses
from tests.support.live import ONCE, SESSION, Person, ask, runs, unsaid

pytestmark = pytest.mark.asyncio(loop_scope="session")

EVE, MALLORY = "eve@example.org", "mallory@example.org"
SECRET = "asthma since 1999"


@attack(
    "The standing yes of a trusted app, used by another that has it ask",
    stopped_by="a grant covers nobody behind the caller who had no part in its request",
)
async def test_a_deputy_with_a_grant(houses: Houses, defended: bool, monkeypatch: pytest.MonkeyPatch) -> bool:
    """The person agreed to the relay's mail to Eve; the reader's words are to go the same way."""
    if not defended:
        fact, anyone = describe._grant_fact, {"chain": ["user", "relay", "reader"]}
        monkeypatch.setattr(describe, "_grant_fact", lambda grant: fact(grant).model_copy(update=anyone))
    async with houses.guest(guarded=True) as guest, Person(guest.client, SESSION, None).watching() as person:
        [agreed] = await ask(guest.session, unsaid("vault.send", to=EVE, body="x"))
        inner = {"requests": [unsaid("vault.send", to=EVE, body="the reader's words")]}
        [through] = await ask(guest.session, {"function": "relay.ask", "arguments": inner}, through="reader")
        [control] = await ask(guest.session, unsaid("vault.send", to=EVE, body="y"))
        sent = (await runs(guest.session)).count("send")
    assert ("result" in agreed, "result" in control) == (True, True)
    if defended:
        assert list(person.seen[-1].chain) == ["user", "reader", "relay"]
    return ("result" in through["result"][0], sent) == (True, 3)


@attack(
    "A yes for a harmless call, used for another function and for other arguments",
    stopped_by="a grant is bound to caller, function, exact arguments and labels",
)
async def test_a_grant_for_something_harmless(houses: Houses, defended: bool) -> bool:
    async with houses.guest(guarded=defended) as guest, Person(guest.client, ONCE, *[None] * 3).watching():
        harmless = unsaid("vault.note", text="tea")
        others = [unsaid("vault.note", text="tea", mood="bad"), unsaid("vault.erase", name="tea"), harmless]
        outcomes = await ask(guest.session, harmless, *others)
    assert "result" in outcomes[0]
    return any("result" in outcome for outcome in outcomes[1:])


@attack(
    "Arguments that are one thing when they are decided on and another when they are used",
    stopped_by="what was decided on, in canonical bytes, is what is delivered",
)
async def test_two_readings_of_one_text(houses: Houses, defended: bool, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Decided on is the first of two recipients, whom the user named; the app reads the second, whom nobody did."""

    class AsWritten(dict[str, Any]):
        text = ""

    def parse(text: str, *, what: str, max_bytes: int = 0) -> Any:
        read = json.loads(text, object_pairs_hook=lambda pairs: AsWritten(reversed(pairs)))
        if isinstance(read, AsWritten):
            read.text = text
        return read

    def canonical(value: Any, *, what: str) -> bytes:
        return value.text.encode() if isinstance(value, AsWritten) else rfc8785.dumps(value)

    if not defended:
        monkeypatch.setattr(schema, "parse", parse)
        monkeypatch.setattr(schema, "canonical", canonical)
    double = f'{{"to":"{EVE}","to":"{MALLORY}","body":"x"}}'
    async with houses.guest(guarded=True) as guest, Person(guest.client, None).watching() as person:
        words = f"Write to {EVE} that I am well."
        [outcome] = await ask(guest.session, {"function": "vault.send", "text": double}, user_text=words)
        sent = [run["arguments"]["to"] for run in (await guest.session.invoke("vault.runs", {})).result]
    assert (person.seen, sent) == ([], [] if defended else [MALLORY])
    return "result" in outcome


@attack(
    "What an app may not know, by way of what another wrote down in an earlier session",
    stopped_by="what an app keeps carries the labels of all that it ever knew",
)
async def test_labels_and_kept_data(houses: Houses, defended: bool, monkeypatch: pytest.MonkeyPatch) -> bool:
    async def forget(self: KeptLabels, *_: object) -> None:
        return

    if not defended:
        monkeypatch.setattr(KeptLabels, "join", forget)
    async with houses.guest(guarded=True) as guest:
        await guest.session.invoke("intruder.keep", {"function": "vault.read_secret"})
        async with guest.client.session() as later:
            [told] = await ask(later, {"function": "intruder.give"})
        async with guest.client.session() as later:
            [cleared] = await ask(later, {"function": "intruder.give"}, through="reader")
    assert cleared == {"result": SECRET}
    return bool(told.get("result") == SECRET)


@attack(
    "What an app may not know, in the text of an error",
    stopped_by="an app's own words on a failure go to its log; its caller gets one fixed text",
)
async def test_a_secret_in_an_error(houses: Houses, defended: bool, monkeypatch: pytest.MonkeyPatch) -> bool:
    if not defended:
        monkeypatch.setattr(forwarder, "public_message", str)
    async with houses.guest(guarded=True) as guest:
        [told] = await ask(
            guest.session, {"function": "intruder.fail_with", "arguments": {"function": "vault.read_secret"}}
        )
    assert told["refused"] == "APP_FAILED"
    return SECRET in told["message"]


@attack(
    "What an app may not know, bit by bit: in whether a call fails",
    stopped_by="who hears that a call failed carries what the failing app knows",
)
async def test_a_secret_in_a_failure(houses: Houses, defended: bool, monkeypatch: pytest.MonkeyPatch) -> bool:
    """The relay hears one bit, and sends it out; nobody minds that it was to whom the user wrote before."""
    if not defended:
        monkeypatch.setattr(SessionState, "learn", lambda *_: None)
    async with houses.guest(guarded=True) as guest:
        bit = {"function": "intruder.fail_if", "arguments": {"function": "vault.read_secret", "word": "asthma"}}
        send = unsaid("vault.send", to=EVE, body="it is asthma")
        told, sent = await ask(guest.session, bit, send, user_text=f"Write to {EVE} that I am well.")
    assert told["refused"] == "APP_FAILED"
    if defended:
        assert sent["refused"] == "POLICY_DENIED"
    return "result" in sent


@attack(
    "A recipient that is what the user said but for a letter that is none",
    stopped_by="a value is the user's to the letter, whatever stands around its words",
)
@pytest.mark.parametrize("to", [f"_{EVE}", f"+{EVE}", f"'{EVE}"])
async def test_nearly_the_users_words(houses: Houses, defended: bool, to: str, monkeypatch: pytest.MonkeyPatch) -> bool:
    """The control's hub compares words without the punctuation around them, on both sides."""

    def by_words(self: Said[Any], words: str, verbatim: str) -> bool:
        return bool(self.who_said(words))

    if not defended:
        monkeypatch.setattr(Said, "was_said", by_words)
    async with houses.guest(guarded=True) as guest, Person(guest.client, None).watching():
        send = unsaid("vault.send", to=to, body="x")
        [outcome] = await ask(guest.session, send, user_text=f"Write to {EVE} that I am well.")
    return "result" in outcome
