"""Strict JSON: what is not plainly one document is refused, and what is canonical stays so."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.errors import QuotaExceeded, RequestInvalid, SpokegateError
from hub.mediation import schema

# What JSON can say exactly: integers that a double holds, doubles, Unicode without surrogates.
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=5), children, max_size=4),
    max_leaves=12,
)


def read(text: str, **options: Any) -> bytes:
    """Take a text the way of all arguments: parsed, then canonicalised."""
    return schema.canonical(schema.parse(text, what="arguments", **options), what="arguments")


def nested(depth: int, inner: str = "1") -> str:
    return "[" * depth + inner + "]" * depth


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}',
        '{"x": {"a": 1, "b": 2, "\\u0061": 3}}',
        "NaN",
        '{"a": Infinity}',
        "[-Infinity]",
        "1e999",
        "[-1e999]",
        "9007199254740993",
        "-9007199254740993",
        "100000000000000000001",
        "1" * 5000,
        '"\\ud800"',
        '{"\\udc00": 1}',
        '"\\ud83d\\u0041"',
        "",
        " ",
        "{",
        "{'a': 1}",
        "[1,]",
        "01",
        "+1",
        ".5",
        "1 2",
        "// comment\n1",
        '"\t"',
        "\ufeff1",
        "\u00a01",
        nested(33),
        nested(33, ""),
        nested(100),
        nested(100_000),
        '{"a":' * 33 + "1" + "}" * 33,
    ],
    ids=lambda text: ascii(text[:20]),
)
def test_a_text_that_two_readers_could_read_differently_is_refused(text: str) -> None:
    with pytest.raises(RequestInvalid, match=r"^arguments: "):
        read(text)


@pytest.mark.parametrize("text", [nested(32), nested(32, ""), '{"a":' * 32 + "1" + "}" * 32])
def test_thirty_two_levels_are_taken(text: str) -> None:
    assert read(text) == text.encode()


def test_a_problem_is_said_in_a_bounded_text() -> None:
    key = "k" * 100_000
    with pytest.raises(RequestInvalid) as error:
        read(f'{{"{key}":1,"{key}":2}}')
    assert "duplicate key 'kkk" in str(error.value)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("text", ['"' + "x" * schema.MAX_BYTES + '"', '"' + "é" * (schema.MAX_BYTES // 2) + '"'])
def test_size_is_counted_in_bytes(text: str) -> None:
    with pytest.raises(QuotaExceeded):
        read(text)
    assert read(text[:-3] + '"')


@pytest.mark.parametrize("shape", [lambda n: [1] * n, lambda n: {str(i): {} for i in range(n)}])
def test_values_are_counted(shape: Any) -> None:
    read(json.dumps(shape(schema.MAX_VALUES - 1)))
    with pytest.raises(QuotaExceeded):
        read(json.dumps(shape(schema.MAX_VALUES)))


def test_five_megabytes_are_refused() -> None:
    with pytest.raises(QuotaExceeded):
        read(json.dumps({"value": "x" * (5 << 20)}))


# RFC 8785, 3.2.2 to 3.2.4 and appendix B.
RFC_8785 = [
    (
        r"""{
          "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
          "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
          "literals": [null, true, false]
        }""",
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    ),
    (
        r"""{"\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh",
             "1": "One", "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control",
             "\u00f6": "Latin Small Letter O With Diaeresis"}""",
        '{"\\r":"Carriage Return","1":"One","\x80":"Control","ö":"Latin Small Letter O With Diaeresis",'
        '"€":"Euro Sign","😀":"Emoji: Grinning Face","\ufb33":"Hebrew Letter Dalet With Dagesh"}',
    ),
    ("[-0, -0.0, 0.0]", "[0,0,0]"),
    ("[5e-324, 1.7976931348623157e308, 9007199254740991]", "[5e-324,1.7976931348623157e+308,9007199254740991]"),
    ("[295147905179352830000, 9.999999999999997e22, 1e23]", "[295147905179352830000,9.999999999999997e+22,1e+23]"),
]


@pytest.mark.parametrize(("text", "canonical"), RFC_8785)
def test_canonical_is_as_rfc_8785_has_it(text: str, canonical: str) -> None:
    assert read(text).decode() == canonical


@pytest.mark.parametrize(("text", "canonical"), RFC_8785)
def test_canonical_is_canonical_again(text: str, canonical: str) -> None:
    assert read(canonical).decode() == canonical


@settings(deadline=None, max_examples=150)
@given(JSON)
def test_what_is_canonical_reads_as_what_it_was_made_of(value: Any) -> None:
    text = schema.canonical(value, what="arguments")
    assert schema.parse(text.decode(), what="arguments") == value
    assert read(text.decode()) == text


@settings(deadline=None, max_examples=150)
@given(st.text() | st.text('[]{}:,"0123456789eE+-.\\ud8 truefalsnNaIity', max_size=40))
def test_any_text_is_read_or_refused_and_nothing_else_happens(text: str) -> None:
    try:
        canonical = read(text)
    except SpokegateError:
        return
    assert read(canonical.decode()) == canonical
