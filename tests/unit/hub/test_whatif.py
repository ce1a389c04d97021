"""Which evidence, had it been otherwise, is asked about when a decision is explained."""

from __future__ import annotations

from typing import Any

from hub.mediation.whatif import Change, loosening, tightening


def document(called_for: bool = False, **provenance: Any) -> dict[str, Any]:
    return {
        "subject": {"id": "assistant", "user": "alice", "app": {"name": "assistant", "trust": "system"}},
        "resource": {"id": "mail.send", "function": {"labels": {"confidentiality": [], "integrity": []}}},
        "arguments": {"to": "bob"},
        "context": {
            "session": "s",
            "planned": True,
            "chain": ["user", "assistant"],
            "hop": 1,
            "labels": {"confidentiality": [], "integrity": []},
            "called_for": called_for,
            "provenance": {"/to": {"user": False, "from": [], **provenance}},
            "arguments_digest": "sha256:a",
            "counts": {"declined": 2},
        },
        "grants": [],
    }


def changes(found: list[Change]) -> dict[str, Any]:
    """Return what each change makes of the evidence, by its words."""
    return {
        change.words: (change.document["context"]["provenance"]["/to"], change.document["context"]["called_for"])
        for change in found
    }


def test_what_spares_a_question_is_taken_away() -> None:
    evidence = {
        "user_share": 0.9,
        "leaf_of": ["mail.list"],
        "identifier_of": ["mail.list"],
        "named_source": {"confidentiality": [], "integrity": []},
        "links": ["x.example"],
    }
    found = changes(tightening(document(called_for=True, **evidence)))
    without = {
        name: {"user": False, "from": [], **{k: v for k, v in evidence.items() if k != name}} for name in evidence
    }
    assert found == {
        "if /to were less of the user's own words": (without["user_share"], True),
        "if /to were no leaf of what some function returned": (without["leaf_of"], True),
        "if /to were not known to be there": (without["identifier_of"], True),
        "if /to did not stand in a source that the user named": (without["named_source"], True),
        "if alice's own words did not call for it": ({"user": False, "from": [], **evidence}, False),
    }


def test_what_makes_a_question_due_is_taken_away() -> None:
    found = changes(loosening(document(links=["x.example"])))
    assert found["if /to held no links that the user did not name"] == ({"user": False, "from": []}, False)
    assert found["if alice's own words called for it"][1] is True
    assert "if a person had said no to just this at most 0 times" in found


def test_nothing_is_taken_away_that_is_not_there() -> None:
    assert changes(tightening(document())) == {}
