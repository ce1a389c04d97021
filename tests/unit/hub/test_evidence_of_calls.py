"""What a call leaves behind as evidence, and what the next access request says by it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from spoke_runner.sdk import App, Call, Refused
from tests.support.apps import function, installed, write_app
from tests.support.desk import Desk, answering, desk
from tests.support.pdp import FakePdp, by_grant, decision

_TEXT = {"type": "object", "additionalProperties": False, "properties": {"text": {"type": "string"}}}
_FUNCTIONS = {
    "read": function(
        arguments=_TEXT,
        control_arguments=["/text"],
        identifiers=["/id"],
        labels={"confidentiality": ["files"], "integrity": ["untrusted:files"]},
    ),
    "look": function(arguments=_TEXT),
    "add_note": function(arguments=_TEXT, effect="write", control_arguments=["/text"]),
}
_ASKER = {
    "ask": function(
        arguments={
            "type": "object",
            "additionalProperties": False,
            "properties": {"asks": {"type": "array", "items": {"type": "array"}}},
        }
    )
}
_FOUND = {"id": "box 7", "text": "pay 17 to bob"}


@asynccontextmanager
async def at_desk(directory: Path, pdp: FakePdp, *, trust: Any = "reviewed") -> AsyncIterator[Desk]:
    """Set a desk up with an app that asks for whatever it is told, and one that is asked."""
    code = {"shelf": App(), "asker": App()}

    async def read(call: Call, text: str = "") -> Any:
        return _FOUND

    async def look(call: Call, text: str = "") -> Any:
        return _FOUND

    async def add_note(call: Call, text: str = "") -> Any:
        return None

    async def ask(call: Call, asks: Sequence[Sequence[Any]]) -> Any:
        for name, text in asks:
            try:
                await call.invoke(f"shelf.{name}", {} if text is None else {"text": text})
            except Refused:
                continue

    for implementation in (read, look, add_note):
        code["shelf"].function(implementation)
    code["asker"].function(ask)
    paths = (write_app(directory, "shelf", _FUNCTIONS), write_app(directory, "asker", _ASKER, asks=["*"]))
    async with desk(installed(*paths, trust=trust), code, pdp) as it:
        it.session.plan = frozenset()  # with a plan, what the asker is told to ask for is not the user's words
        yield it


async def provenance_after(
    directory: Path, *before: Sequence[Any], value: str, pdp: FakePdp | None = None, trust: Any = "reviewed"
) -> dict[str, Any]:
    """Return what an access request says of a value, after the asker has asked for this."""
    pdp = pdp or FakePdp()
    async with at_desk(directory, pdp, trust=trust) as it, answering(it.prompts, "once", "once"):
        it.session.hear("Look into the cupboard.")
        await it.invoke("asker.ask", {"asks": [*before, ("add_note", value)]})
    asked = [asked for asked in pdp.asked_for("invoke") if asked["resource"]["id"] == "shelf.add_note"]
    found: dict[str, Any] = asked[-1]["context"]["provenance"]["/text"]
    return found


async def test_what_an_app_keeps_as_names_is_known_to_be_there(tmp_path: Path) -> None:
    found = await provenance_after(tmp_path, ("look", None), ("read", None), value="box 7")
    assert found["leaf_of"] == ["shelf.look", "shelf.read"]
    assert found["identifier_of"] == ["shelf.read"]


async def test_an_app_that_nobody_reviewed_says_of_nothing_that_it_is_there(tmp_path: Path) -> None:
    found = await provenance_after(tmp_path, ("read", None), value="box 7", trust="unreviewed")
    assert (found["leaf_of"], "identifier_of" in found) == (["shelf.read"], False)


async def test_what_was_written_is_no_name_when_it_is_read_again(tmp_path: Path) -> None:
    found = await provenance_after(tmp_path, ("add_note", "box 7"), ("read", None), value="box 7")
    assert (found["from"], "identifier_of" in found, "leaf_of" in found) == (["shelf.read"], False, False)


@pytest.mark.parametrize(
    ("name", "text", "named"),
    [
        ("read", "cupboard", True),
        ("read", "cellar", False),
        ("read", None, False),
        ("look", "cupboard", True),
        ("look", "cellar", False),
        ("look", None, False),
    ],
)
async def test_a_source_is_named_by_what_the_user_said_is_to_be_read(
    tmp_path: Path, name: str, text: str | None, named: bool
) -> None:
    found = await provenance_after(tmp_path, (name, text), value="17")
    labels = {"confidentiality": ["files"], "integrity": ["untrusted:files"]}
    if name == "look":
        labels = {"confidentiality": [], "integrity": []}
    assert found["from"] == [f"shelf.{name}"]
    assert found.get("named_source") == (labels if named else None)


async def test_a_source_is_named_where_a_person_agreed_that_it_is_read(tmp_path: Path) -> None:
    def rule(document: dict[str, Any]) -> Any:
        return by_grant(document) if document["resource"]["id"] == "shelf.read" else decision()

    found = await provenance_after(tmp_path, ("read", "cellar"), value="17", pdp=FakePdp(rule))
    assert found["named_source"]["confidentiality"] == ["files"]


async def test_the_request_says_whether_the_user_calls_for_it(tmp_path: Path) -> None:
    pdp = FakePdp()
    async with at_desk(tmp_path, pdp) as it:
        it.session.hear("Add a note.")
        await it.invoke("asker.ask", {"asks": [["add_note", "x"], ["read", "x"]]})
    called = {asked["resource"]["id"]: asked["context"]["called_for"] for asked in pdp.asked_for("invoke")}
    assert called == {"asker.ask": False, "shelf.add_note": True, "shelf.read": False}


async def test_a_no_is_counted_until_the_user_speaks(tmp_path: Path) -> None:
    def rule(document: dict[str, Any]) -> Any:
        return decision("ask") if document["resource"]["id"] == "shelf.add_note" else decision()

    pdp = FakePdp(rule)
    async with at_desk(tmp_path, pdp) as it, answering(it.prompts, None, None, None, None):
        await it.invoke("asker.ask", {"asks": [["add_note", "x"], ["add_note", "x"], ["add_note", "y"]]})
        it.session.hear("Go on.")
        await it.invoke("asker.ask", {"asks": [["add_note", "x"]]})
    asked = [asked for asked in pdp.asked_for("invoke") if asked["resource"]["id"] == "shelf.add_note"]
    told = {(one["arguments"]["text"], one["context"]["counts"]["declined"]) for one in asked}
    assert told == {("x", 0), ("x", 1), ("y", 0)}
    assert asked[-1]["context"]["counts"]["declined"] == 0
