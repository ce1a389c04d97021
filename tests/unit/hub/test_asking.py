"""From a question to what is delivered: shared questions, edited arguments, how often a person was asked."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from hub.errors import ConsentRequired, PolicyDenied, RequestInvalid
from hub.mediation.call import Call, Delivered
from hub.mediation.caller import SessionState, user_caller
from hub.mediation.consent import Yes
from hub.mediation.labels import NONE
from hub.mediation.pdp import Decision
from hub.mediation.schema import digest
from tests.support.desk import answering, until
from tests.support.pdp import FakePdp, by_grant, decision
from tests.unit.hub.target import at_desk


async def together(hub: Any, times: int, function: str, arguments: Any = None) -> list[type]:
    """Call a function several times at once, and return what came of each."""
    calls = (hub.invoke(function, arguments) for _ in range(times))
    return [type(answer) for answer in await asyncio.gather(*calls, return_exceptions=True)]


async def test_a_once_yes_to_a_shared_question_lets_exactly_one_through(tmp_path: Path) -> None:
    async with at_desk(tmp_path, FakePdp(by_grant)) as (hub, target), answering(hub.prompts, "once") as asked:
        answers = await together(hub, 8, "target.do", {"value": 1})
        grants = await hub.grants.list_for("alice", include_ended=True)
    assert sorted(answer.__name__ for answer in answers) == [*["ConsentRequired"] * 7, "Delivered"]
    assert (target.functions, len(asked), len(grants)) == (["do"], 1, 1)


async def test_a_session_yes_to_a_shared_question_lets_all_through(tmp_path: Path) -> None:
    async with at_desk(tmp_path, FakePdp(by_grant)) as (hub, target), answering(hub.prompts, "session") as asked:
        assert await together(hub, 8, "target.do") == [Delivered] * 8
        assert (len(target.ran), len(asked), len(await hub.grants.list_for("alice"))) == (8, 1, 1)
        assert (hub.session.prompts, hub.session.approved) == (1, 1)


async def test_a_yes_with_uses_lets_as_many_through(tmp_path: Path) -> None:
    reply = Yes("session", uses=3)
    async with at_desk(tmp_path, FakePdp(by_grant)) as (hub, target), answering(hub.prompts, reply):
        answers = await together(hub, 8, "target.do")
    assert (answers.count(Delivered), answers.count(ConsentRequired), len(target.ran)) == (3, 5, 3)


async def test_a_no_to_a_shared_question_is_a_no_to_all(tmp_path: Path) -> None:
    async with at_desk(tmp_path, FakePdp(by_grant)) as (hub, target), answering(hub.prompts, None) as asked:
        answers = await together(hub, 4, "target.do")
    assert ({answer.__name__ for answer in answers}, target.ran, len(asked)) == ({"ConsentRefused"}, [], 1)


async def test_what_a_person_made_of_the_arguments_is_decided_bound_and_delivered(tmp_path: Path) -> None:
    pdp = FakePdp(by_grant)
    kept = {"value": {"to": ["ann"]}}
    async with (
        at_desk(tmp_path, pdp) as (hub, target),
        answering(hub.prompts, Yes("once", edited=kept)),
    ):
        await hub.invoke("target.do", {"value": {"to": ["ann", "eve"], "note": "x"}})
        [grant] = await hub.grants.list_for("alice", include_ended=True)
        decided = await hub.rows("decision")
    canonical = json.dumps(kept, separators=(",", ":")).encode()
    assert target.ran == [("do", {"to": ["ann"]})]
    assert pdp.asked[1]["arguments"] == kept
    assert grant.arguments_digest == pdp.asked[1]["context"]["arguments_digest"] == digest(canonical)
    assert decided[1][2]["arguments_digest"] == digest(canonical) != decided[0][2]["arguments_digest"]


async def test_edited_arguments_that_the_policies_deny_are_not_delivered(tmp_path: Path) -> None:
    def deny_edited(document: dict[str, Any]) -> Decision:
        return decision("deny") if document["arguments"] == {} else by_grant(document)

    async with (
        at_desk(tmp_path, FakePdp(deny_edited)) as (hub, target),
        answering(hub.prompts, Yes("session", edited={})),
    ):
        assert type(await hub.refusal("target.do", {"value": 1})) is PolicyDenied
        assert target.ran == []


async def test_edited_arguments_that_break_the_schema_are_not_delivered(tmp_path: Path) -> None:
    pdp = FakePdp(by_grant)
    async with at_desk(tmp_path, pdp) as (hub, target), answering(hub.prompts, Yes("once", edited={})):
        assert type(await hub.refusal("target.needs", {"text": "x"})) is RequestInvalid
        assert (target.ran, len(pdp.asked)) == ([], 1)
        assert await hub.grants.list_for("alice", include_ended=True) == []


async def test_a_grant_is_bound_to_both_apps_and_the_decision_that_asked(tmp_path: Path) -> None:
    end = time.time() + 60
    prompt = {"title": "May it?", "detail": "", "scopes": ["once", "until"], "until_seconds": 3600}

    def offering(document: dict[str, Any]) -> Decision:
        if document["subject"]["type"] == "user":
            return decision()
        return by_grant(document) if document["grants"] else decision("ask", prompt=prompt)

    pdp = FakePdp(offering)
    async with (
        at_desk(tmp_path, pdp) as (hub, _),
        answering(hub.prompts, Yes("until", expires=end, uses=5, exact=True)) as asked,
    ):
        await hub.invoke("asker.ask", {"function": "target.do"})
        [grant] = await hub.grants.list_for("alice")
        apps = hub.registry.apps
    assert (grant.scope, grant.expires, grant.uses_left, grant.constraint) == ("until", end, 4, None)
    assert (grant.caller_digest, grant.target_digest) == (apps["asker"].digest, apps["target"].digest)
    assert (grant.decision_id, grant.arguments_digest) == (asked[0].decision_id, digest(b"{}"))
    fact = next(document["grants"][0] for document in pdp.asked if document["grants"])
    assert (fact["caller_digest"], fact["target_digest"], fact["uses_left"]) == (
        apps["asker"].digest,
        apps["target"].digest,
        5,
    )


async def test_how_often_a_person_was_asked_is_in_the_access_request(tmp_path: Path) -> None:
    pdp = FakePdp(by_grant)
    async with at_desk(tmp_path, pdp) as (hub, _), answering(hub.prompts, "once", None, "once"):
        for value in range(3):
            await asyncio.gather(hub.invoke("target.do", {"value": value}), return_exceptions=True)
    counts = [(d["context"]["counts"]["prompts"], d["context"]["counts"]["approved"]) for d in pdp.asked]
    assert counts == [(0, 0), (1, 1), (1, 1), (2, 1), (3, 2)]


async def test_a_question_that_nobody_sees_is_not_counted(tmp_path: Path) -> None:
    async with at_desk(tmp_path, FakePdp(by_grant)) as (hub, _):
        await hub.refusal("target.do")
        assert hub.session.prompts == 0


async def test_however_many_ask_at_once_no_more_are_shown_than_the_policies_let(tmp_path: Path) -> None:
    def at_most_three(document: dict[str, Any]) -> Decision:
        return decision("ask" if document["context"]["counts"]["prompts"] < 3 else "deny")

    async with (
        at_desk(tmp_path, FakePdp(at_most_three), prompt_timeout_seconds=0.2) as (hub, _),
        answering(hub.prompts) as asked,
    ):
        calls = (hub.refusal("target.do", {"value": value}) for value in range(30))
        refusals = [type(refusal) for refusal in await asyncio.gather(*calls)]
        await until(lambda: hub.session.prompts == 3)
    assert (len(asked), refusals.count(ConsentRequired), refusals.count(PolicyDenied)) == (3, 3, 27)


def test_what_is_no_function_cannot_be_edited() -> None:
    """A connection's request is decided on, and put through, as it came."""
    call = Call(
        caller=user_caller(SessionState(id="s-1", user="alice"), deadline=0.0),
        labels=NONE,
        given=NONE,
        action="connect",
        function="api.example.org:443",
        decision_id="d-1",
        started=0.0,
    )
    call.edit(None)
    with pytest.raises(RequestInvalid, match="no function"):
        call.edit({})
