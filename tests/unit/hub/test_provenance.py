"""Where the values of arguments stand: whole tokens, in what was really said."""

from __future__ import annotations

import time
from typing import Any

import pytest

from hub.mediation.provenance import MAX_RESULT_CHARACTERS, MAX_USER_CHARACTERS, Evidence


def user(text: str, value: Any) -> bool:
    """Return whether a value counts as the user's, who said a text."""
    evidence = Evidence()
    evidence.add_user_text(text)
    return evidence.of({"value": value})["/value"].user


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("write to bob@example.org please", "bob@example.org"),
        ("Write To BOB@Example.org", "bob@example.org"),
        ("a fare of 13 dollars", 13),
        ("a fare of 13.5 dollars", 13.5),
        ("from  Main\n Street", "Main Street"),
        ("cafe\u0301 at noon", "CAFÉ"),
        ("\uff42\uff4f\uff42", "bob"),
        ("(bob)", "bob"),
        ("at Elm Avenue, Springfield.", "Elm Avenue Springfield"),
        ("at Elm Avenue, Springfield.", "Elm Avenue, Springfield"),
        ("what is in (notes/*)?", "notes/*"),
        ("write to '_bob@example.org'.", "_bob@example.org"),
        ('it says "Hello, Bob!" and no more', "Hello, Bob!"),
        ("bob", "bob"),
        ("Straße", "STRASSE"),
        ("to a and b", ["a", "b"]),
        ("to a and b", {"x": "a", "y": ["b"]}),
    ],
)
def test_what_the_user_said_is_the_users(text: str, value: Any) -> None:
    assert user(text, value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("130 dollars", 13),
        ("2130", 13),
        ("write to bob@example.org", "ob@example.org"),
        ("write to bob@example.org", "bob@example.or"),
        ("write to bob", "bobby"),
        ("write to bob@example.org", "_bob@example.org"),
        ("write to bob@example.org", "bob@example.org'"),
        ("write to bob@example.org and no more", "+bob@example.org"),
        ("erase notes", "notes/*"),
        ("erase notes", "../notes"),
        ("erase notes", "~/notes"),
        ("erase notes/*.old", "notes/*"),
        ("rm rf notes", "rm -rf notes"),
        ("erase notes and drafts", "notes/* and drafts"),
        ("erase (notes", "(notes/"),
        ("erase notes", "notes\x08\x08"),
        ("write to bob", ""),
        ("write to bob", "  "),
        ("true", True),
        ("null", None),
        ("to a and b", ["a", "mallory"]),
        ("to a and b", {"x": "a", "y": ["mallory"]}),
        ("", "x"),
    ],
)
def test_what_the_user_did_not_say_is_not(text: str, value: Any) -> None:
    assert not user(text, value)


def test_nothing_matches_across_two_texts() -> None:
    evidence = Evidence()
    evidence.add_user_text("bob@")
    evidence.add_user_text("example.org")
    evidence.add_user_arguments({"a": "mallory@", "b": "example.com"})
    found = evidence.of({"x": "bob@ example.org", "y": "mallory@ example.com", "z": "mallory@\x00example.com"})
    assert not any(found[pointer].user for pointer in ("/x", "/y", "/z"))


def test_a_value_names_every_function_that_returned_it() -> None:
    evidence = Evidence()
    evidence.add_result("mail.read", {"from": "mallory@example.org"}, {})
    evidence.add_result("mail.search", ["so says mallory@example.org"], {})
    evidence.add_result("documents.read", "nothing of the kind", {})
    found = evidence.of({"to": "mallory@example.org"})["/to"]
    assert (found.user, found.sources) == (False, ["mail.read", "mail.search"])


def test_an_echo_is_no_source() -> None:
    evidence = Evidence()
    evidence.add_result("echo.say", {"said": "Hello", "more": "own words"}, {"text": " hello"})
    found = evidence.of({"a": "hello", "b": "own words"})
    assert (found["/a"].sources, found["/b"].sources) == ([], ["echo.say"])


def test_pointers_are_escaped_and_every_part_has_one() -> None:
    evidence = Evidence()
    found = evidence.of({"a/b": {"m~n": [1, {"": 2}]}})
    assert sorted(found) == ["/a~1b", "/a~1b/m~0n", "/a~1b/m~0n/0", "/a~1b/m~0n/1", "/a~1b/m~0n/1/"]


def test_what_is_kept_is_bounded_and_the_oldest_goes_first() -> None:
    evidence = Evidence()
    evidence.add_user_text("first")
    evidence.add_user_text("x" * MAX_USER_CHARACTERS)
    evidence.add_result("a.first", "result", {})
    evidence.add_result("a.big", "x" * MAX_RESULT_CHARACTERS, {})
    found = evidence.of({"said": "first", "returned": "result"})
    assert not found["/said"].user
    assert found["/returned"].sources == []


def test_hostile_values_cost_no_more_than_a_moment() -> None:
    evidence = Evidence()
    for _ in range(4):
        evidence.add_result("evil.flood", "a" * 1_000_000, {})
    started = time.perf_counter()
    found = evidence.of({"values": ["a" * (1 + i % 97) for i in range(10_000)]})
    assert time.perf_counter() - started < 5
    assert not found["/values"].user


def test_values_with_punctuation_cost_no_more_than_a_moment_either() -> None:
    evidence = Evidence()
    evidence.add_user_text("a" * 200_000)
    evidence.add_user_text("a " * 30_000)
    evidence.add_user_text("." * 200_000)
    started = time.perf_counter()
    found = evidence.of({"values": ["a" * (1 + i % 97) + "/" * (1 + i % 7) for i in range(10_000)], "dots": "." * 1000})
    assert time.perf_counter() - started < 5
    assert not found["/values"].user
