"""Labels: a join that only grows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hub.mediation.caller import SessionState
from hub.mediation.labels import NONE, Labels

SETS = st.sets(st.sampled_from(["a", "b", "c"]))
LABELS = st.builds(Labels.of, SETS, SETS)


@given(LABELS, LABELS, LABELS)
def test_the_join_is_a_least_upper_bound(a: Labels, b: Labels, c: Labels) -> None:
    assert a | b == b | a
    assert (a | b) | c == a | (b | c)
    assert a | a == a == a | NONE
    assert (a | b) >= a
    assert not (c >= a and c >= b) or c >= (a | b)


@given(st.lists(LABELS))
def test_what_an_app_knows_never_shrinks(learnt: list[Labels]) -> None:
    session = SessionState(id="s", user="alice")
    for labels in learnt:
        before = session.labels_of("app")
        session.learn("app", labels)
        assert session.labels_of("app") >= before
        assert session.labels_of("app") >= labels
    assert session.labels_of("other") == NONE


def test_as_json_labels_are_sorted() -> None:
    assert Labels.of("cab", "zx").to_json() == {"confidentiality": ["a", "b", "c"], "integrity": ["x", "z"]}
