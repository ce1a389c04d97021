"""Calls that call, without end or all at once: what is bounded, and that nobody else waits for it."""

from __future__ import annotations

import asyncio

import pytest

from tests.attack.ledger import attack
from tests.attack.mediation.open_house import Houses
from tests.support.live import runs

pytestmark = pytest.mark.asyncio(loop_scope="session")

DEPTH, WIDTH = 5, 3
WHOLE = sum(WIDTH**level for level in range(DEPTH + 1))  # 364 calls
PER_MINUTE = 240  # of one function in one session, as the policies ship


@attack("An app that asks for itself without end", stopped_by="a chain of calls has a most hops", replays="1.4.9")
async def test_a_recursion(houses: Houses, defended: bool) -> bool:
    """The control's hub takes 20 hops, where the shipped policies and limits take 8."""
    async with houses.guest(guarded=defended) as guest:
        answer = (await guest.session.invoke("misbehaving.recurse", {})).result
    assert answer["reason"] in {"POLICY_DENIED", "QUOTA_EXCEEDED"}
    return bool(answer["depth"] > 9)


@attack(
    "A storm: each call makes three more, five deep",
    stopped_by="a session has a most calls of a function, a minute and in all",
    replays="1.4.9",
)
async def test_a_storm(houses: Houses, defended: bool) -> bool:
    async with houses.guest(guarded=defended) as guest, houses.guest(guarded=defended) as other:
        assert await runs(other.session) == []
        storm = asyncio.create_task(guest.session.invoke("intruder.fan", {"depth": DEPTH, "width": WIDTH}))
        beside = 0
        while not storm.done():
            beside += await runs(other.session) == []
        calls = storm.result().result
    assert beside > 0
    assert calls in (PER_MINUTE, WHOLE)
    return bool(calls == WHOLE)
