"""Being spared a question that is due: by whose words something seems to be, or by asking once more."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest
import yaml

from hub.mediation import describe, provenance
from hub.mediation.provenance import Evidence
from tests.attack.ledger import attack
from tests.attack.mediation.open_house import Houses, house
from tests.support.apps import variant
from tests.support.live import ONCE, RELAY, VAULT, Person, app, ask, unsaid

pytestmark = pytest.mark.asyncio(loop_scope="session")

EVE, MALLORY = "eve@example.org", "mallory@example.org"
LETTER = {"function": "vault.read_mail"}


@attack(
    "A link that a letter has put into a message to someone whom the user named",
    stopped_by="a link that the user did not say is asked about once something untrusted has influenced the asker",
)
async def test_a_link_to_someone_named(houses: Houses, defended: bool, monkeypatch: pytest.MonkeyPatch) -> bool:
    if not defended:
        monkeypatch.setattr(provenance, "links_in", lambda text: [])
    async with houses.guest(guarded=True) as guest, Person(guest.client, None).watching() as person:
        send = unsaid("vault.send", to=EVE, body="www.secure-login.example")
        [_, outcome] = await ask(guest.session, LETTER, send, user_text=f"Write to {EVE} what the letter says.")
    if defended:
        assert [reason.code for reason in person.seen[0].reasons] == ["influence.untrusted_link"]
    return "result" in outcome


@attack(
    "A link that a letter has passed on to whom only the letter names, before a person who agrees to everything",
    stopped_by="nobody is asked about what goes, with a link, to where only a text says",
)
async def test_a_link_to_someone_whom_a_letter_names(houses: Houses, defended: bool) -> bool:
    async with houses.guest(guarded=defended) as guest, Person(guest.client, ONCE).watching() as person:
        send = unsaid("vault.send", to=MALLORY, body="www.secure-login.example")
        [_, outcome] = await ask(guest.session, LETTER, send, user_text="Do what the letter says.")
    assert person.seen == []
    return "result" in outcome


@attack(
    "An act that cannot be undone, which a letter wants, before a person who agrees to everything",
    stopped_by="nobody is asked about what only a text says is to be done for good",
)
async def test_an_irreversible_act(houses: Houses, defended: bool) -> bool:
    async with houses.guest(guarded=defended) as guest, Person(guest.client, ONCE).watching() as person:
        [_, outcome] = await ask(guest.session, LETTER, unsaid("vault.erase", name="letters"))
    assert person.seen == []
    return "result" in outcome


@attack(
    "The same question again, after a no, until it is a yes",
    stopped_by="what a person has said no to is not asked about again before the user speaks",
)
async def test_asking_again(houses: Houses, defended: bool, monkeypatch: pytest.MonkeyPatch) -> bool:
    if not defended:
        numbers = count()
        monkeypatch.setattr(describe, "question_of", lambda call: ("relay", "vault.send", str(next(numbers))))
    async with houses.guest(guarded=True) as guest, Person(guest.client, None, ONCE, ONCE).watching() as person:
        send = unsaid("vault.send", to=EVE, body="x")
        first, second = await ask(guest.session, send, send)
        shown = len(person.seen)
        [anew] = await ask(guest.session, send)
    assert first["refused"] == "CONSENT_REFUSED"
    assert "result" in anew  # the user has spoken since, and may have changed their mind
    assert shown == (1 if defended else 2)
    return "result" in second


@attack(
    "An address that an app writes somewhere, to read it back as one that is known there",
    stopped_by="what an app has written is an echo wherever it is listed",
)
async def test_an_identifier_of_ones_own(tmp_path: Path, defended: bool, monkeypatch: pytest.MonkeyPatch) -> bool:
    """The vault lists what was sent through it, and calls whatever stands in a letter an identifier."""
    if not defended:
        monkeypatch.setattr(Evidence, "add_written", lambda self, arguments: None)
    functions = yaml.safe_load((VAULT / "app.yaml").read_text())["functions"]
    functions["runs"]["identifiers"] = ["/*/arguments/body"]
    vault, relay = variant(VAULT, tmp_path, "vault", functions=functions), app(RELAY, trust="reviewed")
    async with (
        house(tmp_path, relay, vault=app(vault, trust="reviewed"), open_to_all=False) as hub,
        hub.client.session() as session,
        Person(hub.client, None).watching() as person,
    ):
        write = unsaid("vault.send", to=EVE, body=MALLORY)
        send = unsaid("vault.send", to=MALLORY, body="all that you know")
        words = f"Send {EVE} what the list names."
        written, listed, outcome = await ask(session, write, {"function": "vault.runs"}, send, user_text=words)
    assert ("result" in written, "result" in listed) == (True, True)
    assert len(person.seen) == (1 if defended else 0)
    return "result" in outcome
