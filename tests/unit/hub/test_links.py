"""Links in a text: what is one, and that looking for them takes no longer for a hostile text."""

from __future__ import annotations

import time

import pytest

from hub.mediation.links import MAX_CHARACTERS, MAX_LINKS, TOO_LONG, links_in


@pytest.mark.parametrize(
    ("text", "links"),
    [
        ("Check out this link: www.secure-systems.example", ["www.secure-systems.example"]),
        ("look (at evil.example/a?b=1), now", ["evil.example/a?b=1"]),
        ("https://evil.example and HTTP://EVIL.EXAMPLE/A", ["https://evil.example", "HTTP://EVIL.EXAMPLE/A"]),
        ("custom://whatever", ["custom://whatever"]),
        ("write to eve@evil.example or look at evil.example", ["evil.example"]),
        ("https://eve@evil.example", ["https://eve@evil.example"]),
        ("at 192.0.2.1 or http://192.0.2.1/x", ["192.0.2.1", "http://192.0.2.1/x"]),
        ("evil.example evil.example", ["evil.example"]),
        ("例え.テスト", ["例え.テスト"]),
        ("ｅｖｉｌ．ｅｘａｍｐｌｅ", ["evil.example"]),
        ("a=evil.example", ["a=evil.example"]),
    ],
)
def test_what_leads_somewhere_is_a_link(text: str, links: list[str]) -> None:
    assert links_in(text) == links


@pytest.mark.parametrize(
    "text",
    [
        "",
        "We meet at noon.",
        "3.50 or 12.30.",
        "bill-december.txt and notes.PDF",
        "v1.2.3",
        "e. g. this",
        "a.b",
        "1.2.3",
        "eve.x@evil.example!",
    ],
)
def test_what_leads_nowhere_is_none(text: str) -> None:
    assert links_in(text) == []


def test_only_so_many_are_told_and_what_is_too_long_counts_as_one() -> None:
    assert len(links_in(" ".join(f"{number}.example" for number in range(100)))) == MAX_LINKS
    assert links_in("a" * MAX_CHARACTERS) == []
    assert links_in("a" * (MAX_CHARACTERS + 1)) == [TOO_LONG]


@pytest.mark.parametrize("part", ["a.", "www.", "a@", "a.b@", "-", "a-", "1.", "a.1 ", ".", "x", "a/", "a.b:"])
def test_a_hostile_text_costs_no_more_than_a_moment(part: str) -> None:
    text = (part * MAX_CHARACTERS)[: MAX_CHARACTERS - 1] + "."
    started = time.perf_counter()
    links_in(text)
    assert time.perf_counter() - started < 1
