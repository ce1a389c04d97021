"""Permits: one door, one use."""

from __future__ import annotations

import pytest

from hub.permit import Door, Permit, PermitInvalid


def door() -> tuple[Door[str], Permit[str]]:
    """Return a door and a permit for it."""
    made: Door[str] = Door()
    return made, made.take_issuer().issue(decision_id="d-1", what="this")


def test_a_permit_is_redeemed_once_and_for_what_it_was_made() -> None:
    mine, permit = door()
    assert mine.redeem(permit) == "this"
    with pytest.raises(PermitInvalid):
        mine.redeem(permit)


def test_a_foreign_permit_is_not_redeemed_and_not_used_up() -> None:
    mine, _ = door()
    other, foreign = door()
    with pytest.raises(PermitInvalid):
        mine.redeem(foreign)
    assert other.redeem(foreign) == "this"


def test_the_issuer_is_given_out_once() -> None:
    mine, _ = door()
    with pytest.raises(RuntimeError, match="one mediator"):
        mine.take_issuer()
