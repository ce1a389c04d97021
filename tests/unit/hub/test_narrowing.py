"""Edited arguments: what a person may take away, and what they may not put in."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import RequestInvalid
from hub.mediation.narrowing import require_narrower

MAIL = {
    "to": ["ann", "bob", "eve"],
    "body": "hello",
    "urgent": True,
    "copies": 2,
    "more": {"tags": ["a", "b"], "x": None},
}


def edited(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(MAIL), **changes}


@pytest.mark.parametrize(
    "narrower",
    [
        MAIL,
        {},
        {"to": ["ann", "bob", "eve"]},
        edited(to=["bob"]),
        edited(to=["ann", "eve"]),
        edited(to=[]),
        edited(body="other words"),
        edited(urgent=False),
        edited(copies=1.5),
        edited(more={"tags": ["b"]}),
        edited(more={}),
    ],
)
def test_what_is_taken_away_or_reworded_beside_the_control_arguments_is_narrower(narrower: Any) -> None:
    require_narrower(narrower, MAIL, ["/to"])


@pytest.mark.parametrize(
    ("wider", "place"),
    [
        (edited(cc=["mallory"]), "/cc"),
        (edited(to=["ann", "mallory"]), "/to/1"),
        (edited(to=["eve", "ann"]), "/to/1"),
        (edited(to=["ann", "ann"]), "/to/1"),
        (edited(to="ann"), "/to"),
        (edited(to={"0": "ann"}), "/to"),
        (edited(body=["hello"]), "/body"),
        (edited(body=None), "/body"),
        (edited(urgent=1), "/urgent"),
        (edited(copies=True), "/copies"),
        (edited(copies="2"), "/copies"),
        (edited(more={"tags": ["a", "b", "c"]}), "/more/tags/2"),
        (edited(more={"tags": ["a"], "y": 1}), "/more/y"),
        (edited(more={"x": 0}), "/more/x"),
        ([], "the whole"),
    ],
)
def test_what_adds_anything_is_wider(wider: Any, place: str) -> None:
    with pytest.raises(RequestInvalid, match=f"edited arguments: {place}: an edit may only narrow"):
        require_narrower(wider, MAIL, ["/to"])


def test_without_control_arguments_every_value_steers() -> None:
    require_narrower({"to": ["ann"]}, MAIL, [])
    with pytest.raises(RequestInvalid, match="/body"):
        require_narrower(edited(body="other words"), MAIL, [])


def test_below_a_control_argument_every_value_steers() -> None:
    asked = {"to": {"name": "Ann", "address": "ann@example.org"}}
    require_narrower({"to": {"address": "ann@example.org"}}, asked, ["/to"])
    with pytest.raises(RequestInvalid, match="/to/address"):
        require_narrower({"to": {"address": "eve@example.org"}}, asked, ["/to"])


def test_an_item_that_is_left_out_puts_no_other_in_the_place_of_a_control_argument() -> None:
    require_narrower({"path": ["/home"]}, {"path": ["/home", "/"]}, ["/path/0"])
    with pytest.raises(RequestInvalid, match="/path/0"):
        require_narrower({"path": ["/"]}, {"path": ["/home", "/"]}, ["/path/0"])


def test_a_key_with_a_slash_is_named_by_its_pointer() -> None:
    with pytest.raises(RequestInvalid, match="/a~1b~0"):
        require_narrower({"a/b~": "y"}, {"a/b~": "x"}, ["/a~1b~0"])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=8,
)


def leaves(value: Any) -> list[str]:
    if isinstance(value, dict):
        return sorted(repr(key) for key in value) + [leaf for item in value.values() for leaf in leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item)]
    return [repr(value)]


@given(VALUES, VALUES)
def test_nothing_passes_that_holds_what_was_not_asked_for(one: Any, other: Any) -> None:
    """Where every value steers, whatever passes is made of what was asked for, each at most as often."""
    try:
        require_narrower(one, other, [])
    except RequestInvalid:
        return
    left = leaves(other)
    for leaf in leaves(one):
        left.remove(leaf)


@given(VALUES)
def test_what_was_asked_for_is_narrower_than_itself(value: Any) -> None:
    require_narrower(value, value, [])
