"""Memory and user data through the ten steps: decided on, on record, labelled, and nothing else delivered."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from hub.errors import RequestInvalid
from hub.mediation.caller import SessionState, planner_caller
from hub.mediation.labels import Labels
from hub.mediation.remembering import recall, remember
from hub.spokes.memory import KeptEntry, Reading, SaidTurn
from hub.store.user_data import Attribute
from spoke_runner.sdk import App, Call, Refused
from tests.support.apps import function, installed, write_app
from tests.support.desk import Desk, answering, desk
from tests.support.pdp import FakePdp, Rule, decision

EMAIL = Attribute("email", '"alice@example.org"', ("contact",))
HEART = Attribute("heart", '{"surgery":2019}', ("health",))
HEALTH = {"confidentiality": ["health"], "integrity": []}

app = App()


@app.function
async def keep(call: Call, value: Any = None) -> str:
    try:
        await call.remember("key", value)
        await call.say("user", "words")
        await call.forget("other")
    except Refused as refused:
        return refused.reason
    return "kept"


@app.function
async def find(call: Call, value: Any = None) -> Any:
    try:
        found = await call.history()
        return [await call.recall("key"), await call.entries(), [turn.text for turn in found.turns]]
    except Refused as refused:
        return refused.reason


@app.function
async def whom(call: Call) -> dict[str, Any]:
    return dict(call.user_data)


@app.function
async def whom_not(call: Call) -> dict[str, Any]:
    return dict(call.user_data)


def diary(tmp_path: Path, name: str = "diary") -> Any:
    functions = {
        "keep": function(effect="write"),
        "find": function(),
        "whom": function(),
        "whom_not": function(),
    }
    wants = [
        {"name": "email", "why": "To write to you.", "functions": ["whom"]},
        {"name": "heart", "why": "To take care of you.", "functions": ["whom"]},
        {"name": "unset", "why": "To know.", "functions": ["whom"]},
    ]
    return installed(write_app(tmp_path, name, functions, memory=True, user_data=wants))


def only(action: str, **changes: Any) -> Rule:
    """Decide about one action; allow all others."""
    return lambda document: decision(**changes) if document["action"]["name"] == action else decision()


def at(tmp_path: Path, rule: Rule | None = None) -> Any:
    return desk(diary(tmp_path), {"diary": app}, FakePdp(rule or decision()))


async def result(hub: Desk, name: str, **arguments: Any) -> Any:
    return json.loads((await hub.invoke(f"diary.{name}", arguments)).result_json)


async def test_what_is_remembered_is_decided_on_first_and_told_again(tmp_path: Path) -> None:
    async with at(tmp_path) as hub:
        assert await result(hub, "keep", value={"n": 1}) == "kept"
        assert await result(hub, "find") == [{"n": 1}, {"key": {"n": 1}}, ["words"]]
        assert [(document["resource"], document["arguments"]) for document in hub.pdp.asked_for("remember")] == [
            (
                {
                    "type": "memory",
                    "id": "memory/diary",
                    "memory": {"app": "diary", "labels": {"confidentiality": [], "integrity": []}},
                },
                arguments,
            )
            for arguments in ({"key": "key", "value": {"n": 1}}, {"role": "user", "text": "words"}, {"forget": "other"})
        ]
        assert [document["arguments"] for document in hub.pdp.asked_for("recall")] == [
            {"history": True},
            {"key": "key"},
            {"entries": True},
        ]
        rows = await hub.rows("decision", "memory")
    stored = [(index, id_) for index, (kind, id_, body) in enumerate(rows) if body.get("what") == "stored"]
    decided = [index for index, (kind, id_, _) in enumerate(rows) if kind == "decision" and id_ == stored[0][1]]
    assert decided[0] < stored[0][0]


@pytest.mark.parametrize(("action", "told"), [("remember", None), ("recall", "key")])
async def test_what_the_policies_deny_is_neither_kept_nor_told(tmp_path: Path, action: str, told: str | None) -> None:
    async with at(tmp_path, only(action, effect="deny")) as hub:
        await hub.memory.put("alice", "diary", "key", "1", HEALTH)
        before = hub.session.labels_of("diary")
        answers = [await result(hub, "keep", value=2), await result(hub, "find")]
        [entry] = await hub.memory.entries("alice", "diary")
        if action == "remember":
            assert (answers[0], entry.value_json) == ("POLICY_DENIED", "1")
        else:
            assert (answers[1], entry.value_json) == ("POLICY_DENIED", "2")
            # What was not told has taught it nothing.
            assert hub.session.labels_of("diary") == before


async def test_whoever_recalls_carries_the_labels_of_what_was_stored_in_any_session(tmp_path: Path) -> None:
    async with at(tmp_path) as hub:
        hub.session.learn("diary", Labels.of(["health"], ["untrusted:email"]))
        await result(hub, "keep", value=1)
        later = SessionState(id="s-later", user="alice")
        delivered = await hub.invoke("diary.find", session=later)
        assert delivered.labels == Labels.of(["health"], ["untrusted:email"])
        assert later.labels_of("diary") == delivered.labels
        told = [document["resource"]["memory"]["labels"] for document in hub.pdp.asked_for("recall")]
        assert told == [{"confidentiality": ["health"], "integrity": ["untrusted:email"]}] * 3
        # The control: where nothing is remembered, nothing is carried.
        assert (await hub.invoke("diary.find", session=SessionState(id="s-bob", user="bob"))).labels == Labels()


async def test_what_is_told_is_what_was_decided_on(tmp_path: Path) -> None:
    async with desk(diary(tmp_path), {"diary": app}, FakePdp()) as hub:

        async def swap(document: dict[str, Any]) -> Any:
            if document["action"]["name"] == "recall" and "key" in document["arguments"]:
                await hub.memory.put("alice", "diary", "key", '"confidential"', HEALTH)
            return decision()

        await hub.memory.put("alice", "diary", "key", '"plain"', {"confidentiality": [], "integrity": []})
        hub.pdp.rule = swap
        delivered = await hub.invoke("diary.find")
    found = json.loads(delivered.result_json)
    assert found[0] == "plain"
    # `entries` was asked for afterwards.
    assert (found[1], delivered.labels) == ({"key": "confidential"}, Labels.of(["health"]))


@pytest.mark.parametrize(
    "what",
    [
        KeptEntry("", "1"),
        KeptEntry("k" * 201, "1"),
        KeptEntry("a\0b", "1"),
        KeptEntry("k", "{"),
        KeptEntry("k", '{"a":1,"a":2}'),
        KeptEntry("k", "NaN"),
        SaidTurn("system", "x"),
        SaidTurn("user", "x" * 65537),
    ],
)
async def test_what_is_malformed_is_refused_and_not_kept(tmp_path: Path, what: KeptEntry | SaidTurn) -> None:
    async with at(tmp_path) as hub:
        caller = planner_caller(hub.session, deadline=asyncio.get_running_loop().time() + 5)
        with pytest.raises(RequestInvalid):
            await remember(hub.mediator, caller, what)
        assert [item async for item in hub.memory.export("alice")] == []


async def test_the_planner_has_the_memory_of_the_hub_and_of_no_app(tmp_path: Path) -> None:
    async with at(tmp_path) as hub:
        caller = planner_caller(hub.session, deadline=asyncio.get_running_loop().time() + 5)
        await result(hub, "keep", value=1)
        await remember(hub.mediator, caller, SaidTurn("user", "good morning"))
        told = await recall(hub.mediator, caller, Reading("history"))
        assert [turn.text for turn in told.turns] == ["good morning"]
        assert (await recall(hub.mediator, caller, Reading("entries"))).entries == ()
        assert hub.pdp.asked_for("recall")[0]["resource"]["id"] == "memory/hub"
        assert [item.app async for item in hub.memory.export("alice")] == ["diary", "diary", "hub"]


async def set_all(hub: Desk) -> None:
    for attribute in (EMAIL, HEART, Attribute("unwanted", "1")):
        await hub.user_data.set("alice", attribute)


async def test_a_function_is_told_what_its_manifest_wants_and_the_policies_let_in(tmp_path: Path) -> None:
    async with at(tmp_path) as hub:
        await set_all(hub)
        delivered = await hub.invoke("diary.whom")
        assert json.loads(delivered.result_json) == {"email": "alice@example.org", "heart": {"surgery": 2019}}
        assert delivered.labels == Labels.of(["contact", "health"])
        documents = {document["resource"]["id"]: document for document in hub.pdp.asked_for("share")}
        assert documents.keys() == {"user_data/email", "user_data/heart"}
        heart = documents["user_data/heart"]
        assert heart["resource"]["user_data"] == {"name": "heart", "function": "whom", "confidentiality": ["health"]}
        assert heart["arguments"] == {
            "value": {"surgery": 2019},
            "function": "diary.whom",
            "why": "To take care of you.",
        }
        assert (heart["subject"]["id"], heart["context"]["chain"]) == ("diary", ["user", "diary"])
        shares = [id_ for _, id_, body in await hub.rows("decision") if body["action"] == "share"]
        assert [await hub.outcome(id_) for id_ in shares] == ["done", "done"]


async def test_another_function_of_the_app_and_another_users_session_are_told_nothing(tmp_path: Path) -> None:
    async with at(tmp_path) as hub:
        await set_all(hub)
        assert await result(hub, "whom_not") == {}
        delivered = await hub.invoke("diary.whom", session=SessionState(id="s-bob", user="bob"))
        assert (json.loads(delivered.result_json), delivered.labels) == ({}, Labels())
        assert hub.pdp.asked_for("share") == []


async def test_what_the_policies_deny_is_left_out_and_the_call_goes_on(tmp_path: Path) -> None:
    def no_health(document: dict[str, Any]) -> Any:
        return decision("deny" if document["resource"]["id"] == "user_data/heart" else "allow")

    async with at(tmp_path, no_health) as hub:
        await set_all(hub)
        delivered = await hub.invoke("diary.whom")
    assert json.loads(delivered.result_json) == {"email": "alice@example.org"}
    assert delivered.labels == Labels.of(["contact"])


async def test_what_cannot_be_decided_ends_the_call_before_it_begins(tmp_path: Path) -> None:
    def broken(document: dict[str, Any]) -> Any:
        return RuntimeError("broken") if document["action"]["name"] == "share" else decision()

    async with at(tmp_path, broken) as hub:
        await set_all(hub)
        assert type(await hub.refusal("diary.whom")).__name__ == "SpokegateError"


@pytest.mark.parametrize(("reply", "told"), [("once", True), (None, False)])
async def test_a_person_who_is_asked_sees_the_value_and_why_and_the_answer_counts(
    tmp_path: Path, reply: Any, told: bool
) -> None:
    def asks(document: dict[str, Any]) -> Any:
        if document["resource"]["id"] != "user_data/email":
            return decision()
        grants = document["grants"]
        return decision(decided_by="grant", grant=grants[0]["id"]) if grants else decision("ask")

    async with at(tmp_path, asks) as hub, answering(hub.prompts, reply) as asked:
        await set_all(hub)
        answer = await result(hub, "whom")
    assert ("email" in answer, "heart" in answer) == (told, True)
    [question] = asked
    assert (question.caller, question.function) == ("diary", "user_data/email")
    assert json.loads(question.arguments_json) == {
        "value": "alice@example.org",
        "function": "diary.whom",
        "why": "To write to you.",
    }
    # What the app says is marked, what the user says is not.
    assert question.untrusted_pointers == ("/function", "/why")
    assert question.offers[1].covers == "diary gets this very value for diary.whom, until the session ends."


async def test_a_yes_for_the_session_is_for_this_very_value(tmp_path: Path) -> None:
    async with at(tmp_path, only("share", effect="ask")) as hub, answering(hub.prompts, "session"):
        await hub.user_data.set("alice", EMAIL)
        await result(hub, "whom")
        [given] = await hub.grants.list_for("alice")
    assert (given.constraint, given.function) == (None, "user_data/email")
    assert given.arguments_digest is not None


@pytest.mark.parametrize(
    ("obligation", "told"),
    [
        ({"type": "redact", "pointer": "/value/surgery"}, {"heart": {"surgery": "[redacted]"}}),
        ({"type": "drop", "pointer": "/value"}, {}),
        ({"type": "max_result_bytes", "on": "result", "value": 1}, {}),
        ({"type": "unheard_of"}, {}),
    ],
)
async def test_obligations_are_met_before_a_function_is_told(
    tmp_path: Path, obligation: dict[str, Any], told: dict[str, Any]
) -> None:
    async with at(tmp_path, only("share", obligations=[obligation])) as hub:
        await hub.user_data.set("alice", HEART)
        assert await result(hub, "whom") == told
