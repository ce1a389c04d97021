"""Where the values of arguments stand: whole tokens, in what was really said."""

from __future__ import annotations

import time
from typing import Any

import pytest

from hub.mediation.labels import Labels
from hub.mediation.provenance import (
    MAX_LEAVES,
    MAX_RESULT_CHARACTERS,
    MAX_USER_CHARACTERS,
    MAX_WRITTEN,
    Evidence,
    Reading,
)
from hub.mediation.request import Provenance


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
    evidence.add_result(Reading("mail.read"), {"from": "mallory@example.org"}, {})
    evidence.add_result(Reading("mail.search"), ["so says mallory@example.org"], {})
    evidence.add_result(Reading("documents.read"), "nothing of the kind", {})
    found = evidence.of({"to": "mallory@example.org"})["/to"]
    assert (found.user, found.sources) == (False, ["mail.read", "mail.search"])


def test_an_echo_is_no_source() -> None:
    evidence = Evidence()
    evidence.add_result(Reading("echo.say"), {"said": "Hello", "more": "own words"}, {"text": " hello"})
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
    evidence.add_result(Reading("a.first"), "result", {})
    evidence.add_result(Reading("a.big"), "x" * MAX_RESULT_CHARACTERS, {})
    found = evidence.of({"said": "first", "returned": "result"})
    assert not found["/said"].user
    assert found["/returned"].sources == []


def test_hostile_values_cost_no_more_than_a_moment() -> None:
    evidence = Evidence()
    for _ in range(4):
        evidence.add_result(Reading("evil.flood"), "a" * 1_000_000, {})
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


@pytest.mark.parametrize(
    ("text", "value", "users"),
    [
        ("post it to our website www.our-company.example.They sent it", "www.our-company.example", True),
        ("post it to our website www.our-company.example.They sent it", "They", True),
        ("write to bob.Smith@example.org", "Smith@example.org", False),
        ("look at www.Bank.Example now", "www.Bank", False),
        ("look at a.b.Cd.ef now", "a.b", False),
    ],
)
def test_a_full_stop_ends_a_sentence_where_no_blank_follows(text: str, value: str, users: bool) -> None:
    evidence = Evidence()
    evidence.add_user_arguments({"text": text})
    assert evidence.of({"value": value})["/value"].user is users
    assert user(text, value) is users


# ---- how much of a text the user dictated


def share(said: str, value: str) -> float | None:
    evidence = Evidence()
    evidence.add_user_text(said)
    return evidence.of({"value": value})["/value"].user_share


@pytest.mark.parametrize(
    ("said", "value", "part"),
    [
        ("reply there that you've seen it in the meeting room", "I've seen it in the meeting room!", 6 / 7),
        ("write: Congrats on being the k-th most active user!", "Congrats on being the 1-th most active user!", 7 / 8),
        ("we meet at noon", "please pay the other account", None),
        ("we meet at noon", "at noon we meet", None),
        ("we meet at noon", "noon", None),
        ("we meet at noon", "we meet at two", 3 / 4),
        ("we meet at noon", "We meet at noon!", 1.0),  # all but the mark, which they did not write
        ("one two three", "one two three " + "x " * 400, None),
    ],
)
def test_how_much_of_a_text_the_user_said(said: str, value: str, part: float | None) -> None:
    assert share(said, value) == (None if part is None else pytest.approx(part, abs=0.001))


def test_a_text_is_shared_with_all_that_the_user_said_and_not_across_two_texts() -> None:
    evidence = Evidence()
    evidence.add_user_text("the red parcel is")
    evidence.add_user_text("in the blue box")
    assert evidence.of({"value": "the red parcel or the blue box"})["/value"].user_share == pytest.approx(
        6 / 7, abs=0.001
    )
    assert evidence.of({"value": "now parcel is in there"})["/value"].user_share is None


# ---- what a source says that the user named


def test_a_named_source_is_told_with_what_it_carries() -> None:
    evidence = Evidence()
    files, mail = Labels.of(["files"], ["untrusted:files"]), Labels.of(["mail"])
    evidence.add_result(Reading("files.read", files, named=True), "pay to IBAN 17", {})
    evidence.add_result(Reading("mail.read", mail, named=True), "pay to IBAN 17", {})
    evidence.add_result(Reading("web.read", Labels.of(["web"])), "pay to IBAN 17, or 18", {})
    found = evidence.of({"to": "IBAN 17", "other": "18"})
    assert found["/to"].sources == ["files.read", "mail.read", "web.read"]
    assert found["/to"].named_source is not None
    assert found["/to"].named_source.confidentiality == ["files", "mail"]
    assert found["/to"].named_source.integrity == ["untrusted:files"]
    assert (found["/other"].sources, found["/other"].named_source) == (["web.read"], None)


# ---- what is known to be there

_LIST = Reading("chat.list", identifiers=("/*/id", "/*/by/name", "/more/*"))
_RESULT = [{"id": 7, "by": {"name": "Bob"}, "text": "ask Eve"}, {"id": "x", "by": {"name": ["deep"]}}]


def identifier(evidence: Evidence, value: Any) -> list[str] | None:
    return evidence.of({"value": value})["/value"].identifier_of


def test_an_identifier_is_what_stands_whole_where_the_manifest_points() -> None:
    evidence = Evidence()
    evidence.add_result(_LIST, _RESULT, {})
    evidence.add_result(Reading("chat.more", identifiers=("/a~1b/*", "")), {"a/b": {"x": "Bob"}}, {})
    evidence.add_result(Reading("chat.own", identifiers=("",)), "me", {})
    assert identifier(evidence, "Bob") == ["chat.list", "chat.more"]
    assert [identifier(evidence, value) for value in (7, "x", "me")] == [["chat.list"], ["chat.list"], ["chat.own"]]
    for other in ("bob", "Bob ", "Eve", "deep", "ask", 8, True, None, ""):
        assert identifier(evidence, other) is None


def test_a_leaf_is_what_stands_whole_wherever_it_is() -> None:
    evidence = Evidence()
    evidence.add_result(_LIST, _RESULT, {})
    evidence.add_result(
        Reading("echo.find"), [{"query": "eve@evil.example", "found": "bob"}], {"q": "Eve@evil.example"}
    )

    def leaf(value: Any) -> list[str] | None:
        return evidence.of({"value": value})["/value"].leaf_of

    assert [leaf(value) for value in ("Bob", "ask Eve", "deep", 7, "bob")] == [["chat.list"]] * 4 + [["echo.find"]]
    assert [leaf(value) for value in ("Eve", "eve@evil.example", "x" * 1000)] == [None] * 3


def test_an_echo_is_no_identifier_either() -> None:
    evidence = Evidence()
    evidence.add_result(Reading("chat.read", identifiers=("/id", "/by")), {"id": "7", "by": "Bob"}, {"id": "7"})
    assert [identifier(evidence, value) for value in ("7", "Bob")] == [None, ["chat.read"]]


def test_what_an_app_has_written_is_no_identifier_when_it_is_listed_again() -> None:
    evidence = Evidence()
    evidence.add_written({"name": "Bob", "n": [7]})
    evidence.add_result(_LIST, _RESULT, {})
    assert [identifier(evidence, value) for value in ("Bob", 7, "x")] == [None, None, ["chat.list"]]


def test_identifiers_are_bounded_and_are_none_once_too_much_was_written() -> None:
    evidence = Evidence()
    listing = Reading("chat.list", identifiers=("/*",))
    evidence.add_result(listing, ["first"], {})
    evidence.add_result(listing, [f"n{number}" for number in range(MAX_LEAVES)], {})
    assert [identifier(evidence, value) for value in ("first", "n0")] == [None, ["chat.list"]]
    evidence.add_written([f"w{number}" for number in range(MAX_WRITTEN + 1)])
    evidence.add_result(listing, ["new", "x" * 1000], {})
    assert [identifier(evidence, value) for value in ("new", "x" * 1000)] == [None, None]


# ---- what it leads to


def test_links_are_those_that_the_user_did_not_say() -> None:
    evidence = Evidence()
    evidence.add_user_text("send them www.ours.example, please")

    def links(value: Any) -> list[str] | None:
        return evidence.of({"value": value})["/value"].links

    assert links("See www.ours.example for more") is None
    assert links("See www.ours.example and evil.example.") == ["evil.example"]
    assert links("See www.ours.example/leak?all") == ["www.ours.example/leak?all"]
    assert links("send them www.ours.example") is None
    assert links(192.5) is None


# ---- what the user calls for


@pytest.mark.parametrize(
    ("said", "function", "called"),
    [
        ("Invite Dora", "invite_user", True),
        ("I am inviting her", "invite_user", True),
        ("she was invited", "invite_user", True),
        ("who invites her?", "invite_user", True),
        ("adding all of them", "add", True),
        ("he copied it", "copy_file", True),
        ("I planned it", "plan_trip", True),
        ("an invitation", "invite_user", False),
        ("address", "add_user", False),
        ("", "add_user", False),
        ("pay him", "send_money", False),
    ],
)
def test_the_verb_of_a_function_is_looked_for_in_the_users_words(said: str, function: str, called: bool) -> None:
    evidence = Evidence()
    evidence.add_user_text(said)
    assert evidence.calls_for(function) is called


def test_nothing_is_told_of_a_value_that_nothing_is_known_of() -> None:
    assert Evidence().of({"to": "bob"})["/to"] == Provenance(user=False, sources=[])
