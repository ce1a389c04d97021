"""What the shipped rules say of themselves: every code has its words, its place, and what it reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.config import PROJECT_ROOT
from hub.opa.binary import find_opa
from hub.opa.bundle import PolicyBundle, PolicyInvalid
from hub.opa.rules import RuleNote, RuleNotes
from tests.support.live import policies_of

TOPIC = """package site

import data.spokegate.lib.reasons
import data.spokegate.rules.helper as other

# METADATA
# title: Some title
# description: >-
#   A sentence
#   in two lines.
# custom:
#   code: site.some
deny contains reason if {
	input.subject.type == "spoke"
	not of_old
	other.near
	object.get(input, ["context", "labels", "integrity"], []) != []
	reason := reasons.of(rego.metadata.chain(), {})
}

# METADATA
# title: Another
# description: Another.
# custom:
#   code: site.other
deny contains reason if {
	some pointer in input.resource.function.control_arguments
	input.context.provenance[pointer].user
	reason := reasons.of(rego.metadata.chain(), {})
}

of_old if input.context.counts.session > limit

limit := input.context.hop
"""
HELPER = """package spokegate.rules.helper

near if far

far if input.arguments.x == input.arguments.y
"""
REASONS = 'package spokegate.lib.reasons\n\nof(_, _) := {"code": input.resource.id}\n'


def bundle(sources: Path, directory: Path) -> PolicyBundle:
    return PolicyBundle(find_opa(PROJECT_ROOT).path, [sources], directory / "bundle")


@pytest.fixture
async def notes(tmp_path: Path) -> dict[str, RuleNote]:
    sources = policies_of(tmp_path / "policies", TOPIC)
    (sources / "helper.rego").write_text(HELPER)
    (sources / "reasons.rego").write_text(REASONS)
    it = bundle(sources, tmp_path / "out")
    await it.build()
    return await RuleNotes(find_opa(PROJECT_ROOT).path, it)()


async def test_a_rule_has_its_words_its_place_and_what_it_reads_at_any_distance(
    notes: dict[str, RuleNote], tmp_path: Path
) -> None:
    assert notes == {
        "site.some": RuleNote(
            code="site.some",
            title="Some title",
            description="A sentence in two lines.",
            file=str(tmp_path / "policies" / "decision.rego"),
            line=13,
            reads=(
                ("arguments", "x"),
                ("arguments", "y"),
                ("context", "counts", "session"),
                ("context", "hop"),
                ("context", "labels", "integrity"),
                ("subject", "type"),
            ),
        ),
        "site.other": RuleNote(
            code="site.other",
            title="Another",
            description="Another.",
            file=str(tmp_path / "policies" / "decision.rego"),
            line=26,
            reads=(("context", "provenance"), ("resource", "function", "control_arguments")),
        ),
    }


async def test_every_code_of_the_shipped_rules_has_a_note_that_leads_to_it(tmp_path: Path) -> None:
    it = bundle(PROJECT_ROOT / "policies", tmp_path / "out")
    await it.build()
    notes = await RuleNotes(find_opa(PROJECT_ROOT).path, it)()
    assert len(notes) > 30
    for code, note in notes.items():
        lines = (PROJECT_ROOT / note.file).read_text().splitlines()
        assert any(f"code: {code}" in line for line in lines[: note.line])
        assert f"code: {code}" in "\n".join(lines[max(0, note.line - 15) : note.line])
        assert note.title
        assert note.description
        assert () not in note.reads, f"{code} is said to read the whole access request"


async def test_the_notes_are_those_of_the_policies_in_force(tmp_path: Path) -> None:
    sources = policies_of(tmp_path / "policies", TOPIC)
    (sources / "helper.rego").write_text(HELPER)
    (sources / "reasons.rego").write_text(REASONS)
    it = bundle(sources, tmp_path / "out")
    await it.build()
    notes = RuleNotes(find_opa(PROJECT_ROOT).path, it)
    assert (await notes())["site.some"].title == "Some title"
    (sources / "decision.rego").write_text(TOPIC.replace("Some title", "A new title"))
    assert (await notes())["site.some"].title == "Some title"
    await it.build()
    assert (await notes())["site.some"].title == "A new title"


async def test_a_bundle_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    it = bundle(tmp_path, tmp_path / "out")
    it.revision = "sha256:of-nothing"
    with pytest.raises(PolicyInvalid, match=r"bundle\.tar\.gz"):
        await RuleNotes(find_opa(PROJECT_ROOT).path, it)()
