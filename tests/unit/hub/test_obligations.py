"""Obligations: met on a copy, or the request is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from hub.errors import ObligationUnfulfilled
from hub.mediation.obligations import Obligation, On, apply, require_known, require_size


def obligation(type_: str, on: str = "arguments", **more: Any) -> Obligation:
    return Obligation.model_validate({"type": type_, "on": on, **more})


DOCUMENT = {"ssn": "1", "a/b": {"m~n": [1, 2, 3]}, "": "empty", "n": None}


@pytest.mark.parametrize(
    ("type_", "pointer", "expected"),
    [
        ("redact", "/ssn", {**DOCUMENT, "ssn": "[redacted]"}),
        ("redact", "/a~1b/m~0n/1", {**DOCUMENT, "a/b": {"m~n": [1, "[redacted]", 3]}}),
        ("redact", "/a~1b", {**DOCUMENT, "a/b": "[redacted]"}),
        ("redact", "/", {**DOCUMENT, "": "[redacted]"}),
        ("redact", "/n", {**DOCUMENT, "n": "[redacted]"}),
        ("replace", "/ssn", {**DOCUMENT, "ssn": 9}),
        ("replace", "/a~1b/m~0n/1", {**DOCUMENT, "a/b": {"m~n": [1, 9, 3]}}),
        ("drop", "/ssn", {key: value for key, value in DOCUMENT.items() if key != "ssn"}),
        ("drop", "/a~1b/m~0n/0", {**DOCUMENT, "a/b": {"m~n": [2, 3]}}),
    ],
)
def test_the_value_that_is_pointed_at_is_changed_in_a_copy(type_: str, pointer: str, expected: Any) -> None:
    before = repr(DOCUMENT)
    more: dict[str, Any] = {"replacement": 9} if type_ == "replace" else {}
    assert apply([obligation(type_, "arguments", pointer=pointer, **more)], DOCUMENT, on="arguments") == expected
    assert repr(DOCUMENT) == before


@pytest.mark.parametrize("pointer", ["/no", "/ssn/x", "/a~1b/m~0n/9", "/a~1b/m~0n/-", "/a~1b/m~0n/x", "/no/such/thing"])
@pytest.mark.parametrize("type_", ["redact", "drop"])
def test_a_pointer_at_nothing_is_fulfilled_by_itself(type_: str, pointer: str) -> None:
    assert apply([obligation(type_, pointer=pointer)], DOCUMENT, on="arguments") == DOCUMENT


@pytest.mark.parametrize("pointer", ["ssn", "/~2", "/a~"])
def test_a_pointer_that_is_none_is_a_refusal(pointer: str) -> None:
    with pytest.raises(ObligationUnfulfilled):
        apply([obligation("redact", pointer=pointer)], DOCUMENT, on="arguments")


@pytest.mark.parametrize("document", [5, "text", None, [], True])
def test_a_document_without_the_place_is_left_as_it_is(document: Any) -> None:
    assert apply([obligation("redact", on="result", pointer="/a")], document, on="result") == document


def test_what_is_for_the_result_leaves_the_arguments_alone_and_unchanged() -> None:
    assert apply([obligation("redact", on="result", pointer="/ssn")], DOCUMENT, on="arguments") is DOCUMENT


@pytest.mark.parametrize(
    "bad",
    [
        obligation("encrypt", pointer="/ssn"),
        obligation("redact"),
        obligation("redact", pointer=""),
        obligation("drop"),
        obligation("max_result_bytes", value=1),
        obligation("max_result_bytes", on="result"),
        obligation("max_argument_bytes", on="result", value=1),
        obligation("max_argument_bytes"),
        obligation(""),
        obligation("replace", pointer="/a"),
        obligation("replace", replacement=1),
        obligation("relabel", confidentiality=["health"]),
        obligation("relabel", on="result"),
        obligation("notify"),
        obligation("notify", message=""),
    ],
    ids=repr,
)
def test_an_unknown_or_incomplete_obligation_is_a_refusal(bad: Obligation) -> None:
    with pytest.raises(ObligationUnfulfilled):
        require_known([obligation("redact", pointer="/ssn"), bad])


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "redact", "on": "everything"},
        {"type": "redact", "pointer": 5},
        {"type": "max_result_bytes", "on": "result", "value": -1},
        {"type": "max_result_bytes", "on": "result", "value": "10"},
        {"type": "redact", "pointer": "/a", "more": 1},
        {},
    ],
    ids=repr,
)
def test_an_obligation_of_another_shape_is_not_of_the_contract(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Obligation.model_validate(fields)


def test_a_value_can_be_replaced_by_null() -> None:
    by_null = obligation("replace", pointer="/ssn", replacement=None)
    require_known([by_null])
    assert apply([by_null], {"ssn": 1}, on="arguments") == {"ssn": None}


@pytest.mark.parametrize(("kind", "on"), [("max_argument_bytes", "arguments"), ("max_result_bytes", "result")])
def test_the_smallest_cap_of_its_own_counts(kind: str, on: On) -> None:
    caps = [obligation(kind, on=on, value=value) for value in (10, 4)]
    require_size(caps, b"1234", on=on)
    require_size(caps, b"12345", on="result" if on == "arguments" else "arguments")
    with pytest.raises(ObligationUnfulfilled):
        require_size(caps, b"12345", on=on)
