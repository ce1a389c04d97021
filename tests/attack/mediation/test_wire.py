"""What hung or broke SecGPT's hub from a spoke's end of the wire. Here a call ends, and the next one is answered."""

from __future__ import annotations

import asyncio
import time

import pytest
from spokegate.v1 import spoke_pb2

from hub.client import HubError, Session
from hub.mediation import mediator
from hub.mediation.consent import Answer
from hub.spokes import forwarder
from tests.attack.ledger import attack
from tests.attack.mediation.line_hub import LineHub
from tests.attack.mediation.open_house import Houses
from tests.support.live import Person, ask, refused, unsaid

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def goes_on(session: Session) -> bool:
    """Return whether a session still answers."""
    return bool((await session.invoke("misbehaving.echo", {"value": 1})).result == {"value": 1})


@attack("A spoke that dies in the middle of a call", stopped_by="the stream ends with the spoke", replays="1.4.9, B8")
async def test_a_spoke_that_dies(houses: Houses, defended: bool) -> bool:
    if not defended:
        return await LineHub().take() == ["waits for ever"]
    async with houses.guest(guarded=True) as guest:
        began = time.monotonic()
        error = await refused(guest.session.invoke("misbehaving.die", {}))
        assert await goes_on(guest.session)
    assert error.reason == "SPOKE_UNAVAILABLE"
    return time.monotonic() - began > 5


@attack(
    "A spoke that never answers", stopped_by="every call has a deadline, which no app can move", replays="1.4.9, B8"
)
async def test_a_spoke_that_sleeps(houses: Houses, defended: bool) -> bool:
    """Both apps sleep for a minute; the control's has a deadline that is as good as none."""
    async with houses.guest(guarded=True) as guest:
        call = asyncio.create_task(guest.session.invoke("brief.linger" if defended else "patient.linger", {}))
        done, _ = await asyncio.wait((call,), timeout=5 if defended else 1.5)
        assert await goes_on(guest.session)
        call.cancel()
        [ended] = await asyncio.gather(call, return_exceptions=True)
    assert not done or (isinstance(ended, HubError) and ended.reason == "DEADLINE_EXCEEDED")
    return not done


@attack(
    "A message that is no JSON, or no text at all",
    stopped_by="whatever cannot be read is the app's failure, of this call alone",
    replays="1.4.8, B9",
)
async def test_what_cannot_be_read(houses: Houses, defended: bool) -> bool:
    if not defended:
        outcomes = [(await LineHub().take(line))[0] for line in (b'{"kind":\n', b'{"kind":"\xff"}\n')]
        return all(outcome.startswith("the query is lost") for outcome in outcomes)
    async with houses.guest(guarded=True) as guest:
        for text in ('{"kind":', "", "NaN", '{"a":1,"a":2}', '"\\ud800"', "[" * 100 + "]" * 100):
            error = await refused(guest.session.invoke("hostile_frames.raw_result", {"text": text}))
            assert error.reason == "APP_FAILED"
        return not await goes_on(guest.session)


@attack(
    "A second message right behind the first",
    stopped_by="messages are frames of HTTP/2, each with its length",
    replays="1.4.10, B11",
)
async def test_two_messages_at_once(houses: Houses, defended: bool) -> bool:
    if not defended:
        return await LineHub().take(*[b'{"kind":"ask"}\n'] * 2) == ["ask", "waits for ever"]
    wishes = [{"function": "misbehaving.echo", "arguments": {"value": number}} for number in range(16)]
    async with houses.guest(guarded=True) as guest:
        outcomes = (await guest.session.invoke("relay.ask_at_once", {"requests": wishes})).result
    return [outcome["result"]["value"] for outcome in outcomes] != list(range(16))


@attack(
    "A character that two reads have half of each",
    stopped_by="a message is decoded when it is whole",
    replays="1.4.10, B11",
)
async def test_a_character_in_two_pieces(houses: Houses, defended: bool) -> bool:
    if not defended:
        [outcome] = await LineHub().take(f'{{"kind":"{"世" * 2000}"}}\n'.encode())
        return outcome == "the query is lost: UnicodeDecodeError"
    async with houses.guest(guarded=True) as guest:
        [outcome] = await ask(guest.session, {"function": "misbehaving.echo", "arguments": {"value": "世" * 20_000}})
    return bool(outcome["result"]["value"] != "世" * 20_000)


@attack("A message without an end", stopped_by="a frame, and a text, has a most bytes", replays="B11")
async def test_a_message_without_an_end(houses: Houses, defended: bool) -> bool:
    if not defended:
        return await LineHub().take(b"x" * (16 << 20)) == ["waits for ever"]
    async with houses.guest(guarded=True) as guest:
        error = await refused(guest.session.invoke("misbehaving.big_result", {"size": 16 << 20}))
        assert error.reason == "APP_FAILED"
        return not await goes_on(guest.session)


@attack(
    "A no of the person's that breaks the hub",
    stopped_by="a no is an answer like another, and what is unexpected fails one call",
    replays="1.4.8, B10",
)
async def test_a_no_that_breaks(houses: Houses, defended: bool, monkeypatch: pytest.MonkeyPatch) -> bool:
    """The control's hub fails on a no, as SecGPT's did; even there the session goes on."""

    def fail(answer: Answer) -> None:
        raise TypeError("missing 1 required positional argument")

    if not defended:
        monkeypatch.setattr(mediator, "refusal_of", fail)
    async with houses.guest(guarded=True) as guest, Person(guest.client, None).watching():
        [outcome] = await ask(guest.session, unsaid("vault.erase", name="all"))
        assert await goes_on(guest.session)
    return bool(outcome["refused"] != "CONSENT_REFUSED")


@attack(
    "A second result behind the first, in the hope that one passes for the other",
    stopped_by="a frame after the result ends the call",
    replays="B4",
)
async def test_a_second_result(houses: Houses, defended: bool, monkeypatch: pytest.MonkeyPatch) -> bool:
    """The control's hub takes the first result that comes, whoever wrote it into the stream."""

    async def take_the_first(self: forwarder._Run, result: spoke_pb2.Result) -> str:
        return str(result.result_json)

    if not defended:
        monkeypatch.setattr(forwarder._Run, "_finish", take_the_first)
    async with houses.guest(guarded=True) as guest:
        [outcome] = await ask(guest.session, {"function": "hostile_frames.second_result"})
        assert await goes_on(guest.session)
    return bool(outcome.get("result") == "hostile")
