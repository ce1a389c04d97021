"""Permits: one door, one use."""

from __future__ import annotations

import pytest

from hub.spokes.forwarder import Forwarder
from hub.spokes.permit import Permit, PermitInvalid, PermitIssuer


def permit(issuer: PermitIssuer) -> Permit:
    return issuer.issue(decision_id="d-1", function="do", arguments_json="{}")


def test_a_permit_is_redeemed_once() -> None:
    issuer = PermitIssuer()
    mine = permit(issuer)
    mine.redeem(issuer)
    with pytest.raises(PermitInvalid):
        mine.redeem(issuer)


def test_a_foreign_permit_is_not_redeemed_and_not_used_up() -> None:
    mine, other = PermitIssuer(), PermitIssuer()
    foreign = permit(other)
    with pytest.raises(PermitInvalid):
        foreign.redeem(mine)
    foreign.redeem(other)


def test_the_issuer_is_given_out_once() -> None:
    forwarder = Forwarder()
    forwarder.take_issuer()
    with pytest.raises(RuntimeError, match="one mediator"):
        forwarder.take_issuer()
