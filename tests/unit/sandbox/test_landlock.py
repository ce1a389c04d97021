"""Which rights each version of landlock is asked to handle."""

from __future__ import annotations

import pytest

from spoke_runner.sandbox.inside import landlock


@pytest.mark.parametrize(
    ("abi", "file_rights", "net", "scoped", "size"),
    [
        (2, 14, 0, 0, 8),
        (3, 15, 0, 0, 8),
        (4, 15, 0b11, 0, 16),
        (5, 16, 0b11, 0, 16),
        (6, 16, 0b11, 0b11, 24),
        (11, 16, 0b11, 0b11, 24),
    ],
)
def test_every_right_that_an_abi_knows_is_handled_and_no_other(
    abi: int, file_rights: int, net: int, scoped: int, size: int
) -> None:
    ruleset, known = landlock._ruleset_of(abi)
    assert (ruleset.fs, ruleset.net, ruleset.scoped, known) == ((1 << file_rights) - 1, net, scoped, size)


def test_the_floor_is_an_abi_whose_rights_are_listed() -> None:
    assert min(landlock._HANDLED_BITS) == landlock.MINIMUM_ABI
