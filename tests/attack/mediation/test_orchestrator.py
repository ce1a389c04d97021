"""The attacks on SecGPT that ACE published, and their kin: one app's answer that steers what becomes of another's.

The orchestrator here does whatever it reads, so that nothing depends on what a model would take for an order. The
planner's part of the attacks is for where there is a planner.
"""

from __future__ import annotations

import pytest

from hub.client import HubError
from tests.attack.ledger import attack
from tests.attack.mediation.open_house import Guest, Houses
from tests.support.live import Person, runs

pytestmark = pytest.mark.asyncio(loop_scope="session")

FARES = {"metro_hail": 57}


async def compared(guest: Guest, company: str) -> dict[str, float]:
    """Let the orchestrator compare what a company says with what Metro Hail does."""
    wish = {"companies": [company, "metro_hail"]}
    fares: dict[str, float] = (await guest.session.invoke("believer.compare", wish)).result
    return fares


@attack(
    "An answer that has the orchestrator refuse everybody's (execution-flow disruption)",
    stopped_by="results are typed: words where none belong fail the app that says them, and no other",
    replays="ACE, 1.4.7",
)
async def test_an_answer_that_ends_it_all(houses: Houses, defended: bool) -> bool:
    """The control's manifest lets the answer be text, as SecGPT's schemas did."""
    async with houses.guest(guarded=True) as guest:
        fares = await compared(guest, "disrupter" if defended else "talking_disrupter")
    assert fares in ({}, FARES)
    return fares == {}


@attack(
    "An answer that has the orchestrator change another's (execution-manager hijack)",
    stopped_by="results are typed: words where none belong fail the app that says them, and no other",
    replays="ACE, 1.4.7",
)
async def test_an_answer_that_changes_anothers(houses: Houses, defended: bool) -> bool:
    async with houses.guest(guarded=True) as guest:
        fares = await compared(guest, "hijacker" if defended else "talking_hijacker")
    return fares["metro_hail"] != FARES["metro_hail"]


@attack(
    "An answer that has the orchestrator send mail",
    stopped_by="who is written to is not in the user's words, so a person is asked",
    replays="ACE, 1.2 case 2",
)
async def test_an_answer_that_makes_it_act(houses: Houses, defended: bool) -> bool:
    """Where an answer is free text, what it says is read; what the reader then does is decided on all the same."""
    async with houses.guest(guarded=defended) as guest, Person(guest.client, None).watching() as person:
        if defended:
            with pytest.raises(HubError, match="The app failed"):
                await compared(guest, "talking_mailer")
            assert [list(prompt.untrusted_pointers) for prompt in person.seen] == [["/body", "/to"]]
        else:
            await compared(guest, "talking_mailer")
        return "send" in await runs(guest.session)
