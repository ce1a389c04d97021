"""The ten steps, in their order: what must be on record before anything moves, and what is never forwarded."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from hub.errors import (
    INTERNAL,
    AppFailed,
    AuditUnavailable,
    ConsentRefused,
    ConsentRequired,
    DeadlineExceeded,
    DecisionInvalid,
    FunctionNotFound,
    ObligationUnfulfilled,
    PdpUnavailable,
    PolicyDenied,
    QuotaExceeded,
    RequestInvalid,
    SpokegateError,
    SpokeUnavailable,
    outside,
    to_status,
)
from hub.mediation.call import Delivered
from hub.mediation.consent import Notice
from hub.mediation.labels import Labels
from hub.mediation.pdp import Decision
from tests.support.apps import function, installed, write_app
from tests.support.desk import a_grant, answering, desk, rows_of, until
from tests.support.pdp import FakePdp, by_grant, decision
from tests.unit.hub.target import Target, at_desk


async def test_an_allow_is_durable_before_the_function_runs(tmp_path: Path) -> None:
    target = Target()
    async with at_desk(tmp_path, target=target) as (hub, _):
        target.on_do = lambda _: [body["effect"] for _, _, body in rows_of(hub.engine, "decision")]
        assert json.loads((await hub.invoke("target.do")).result_json) == ["allow"]


async def test_the_rows_of_a_call_are_its_decision_and_its_outcome(tmp_path: Path) -> None:
    async with at_desk(tmp_path) as (hub, _):
        delivered = await hub.invoke("target.do", {"value": 1})
        (_, first, decided), (_, second, outcome) = await hub.rows("decision", "outcome")
    assert first == second == delivered.decision_id
    assert (decided["effect"], decided["decided_by"], outcome["outcome"]) == ("allow", "rule", "done")
    assert decided["arguments_digest"] == outcome["delivered_digest"]


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        (decision("deny"), PolicyDenied),
        (decision("deny", hidden=True), FunctionNotFound),
        (decision("ask"), ConsentRequired),
        (lambda _: DecisionInvalid("undefined"), DecisionInvalid),
        (lambda _: PdpUnavailable("late"), PdpUnavailable),
        (decision(obligations=[{"type": "encrypt", "on": "arguments"}]), ObligationUnfulfilled),
        (decision(obligations=[{"type": "redact", "on": "arguments"}]), ObligationUnfulfilled),
        (decision(obligations=[{"type": "max_result_bytes", "on": "arguments", "value": 9}]), ObligationUnfulfilled),
    ],
)
async def test_what_is_not_allowed_whole_is_never_forwarded(
    tmp_path: Path, rule: Any, error: type[SpokegateError]
) -> None:
    async with at_desk(tmp_path, FakePdp(rule)) as (hub, target):
        refusal = await hub.refusal("target.do")
        decided = await hub.rows("decision")
    assert type(refusal) is error
    assert target.ran == []
    assert [id_ for _, id_, _ in decided] == [refusal.decision_id]


async def test_a_decision_that_takes_longer_than_the_call_may_is_a_refusal_on_record(tmp_path: Path) -> None:
    async def never(_: dict[str, Any]) -> Decision:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    async with at_desk(tmp_path, FakePdp(never)) as (hub, target):
        refusal = await hub.refusal("target.do", seconds=0.05)
        [(_, id_, body)] = await hub.rows("decision")
    assert (type(refusal), target.ran) == (DeadlineExceeded, [])
    assert (id_, body["effect"], body["error"]) == (refusal.decision_id, "deny", "DEADLINE_EXCEEDED")


async def test_an_allow_that_cannot_be_recorded_is_not_forwarded(tmp_path: Path) -> None:
    async with at_desk(tmp_path) as (hub, target):
        await hub.rows()
        with hub.engine.begin() as connection:
            connection.execute(text("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(FAIL, 'full'); END"))
        refusal = await hub.refusal("target.do")
        assert (type(refusal), target.ran) == (AuditUnavailable, [])
        assert refusal.decision_id
        with hub.engine.begin() as connection:
            connection.execute(text("DROP TRIGGER full"))
        await hub.invoke("target.do")
        assert target.functions == ["do"]


async def test_a_deny_that_cannot_be_recorded_is_still_a_refusal(tmp_path: Path) -> None:
    async with at_desk(tmp_path, FakePdp(decision("deny"))) as (hub, target):
        await hub.rows()
        with hub.engine.begin() as connection:
            connection.execute(text("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(FAIL, 'full'); END"))
        assert type(await hub.refusal("target.do")) is AuditUnavailable
        assert target.ran == []


async def test_a_fault_in_the_hub_itself_is_on_record_and_forwards_nothing(tmp_path: Path) -> None:
    async with at_desk(tmp_path, FakePdp(lambda _: ZeroDivisionError("a fault"))) as (hub, target):
        refusal = await hub.refusal("target.do")
        [(_, id_, body)] = await hub.rows("decision")
    assert (outside(refusal), target.ran) == (INTERNAL, [])
    assert (id_, body["effect"], body["error"]) == (refusal.decision_id, "deny", "INTERNAL")


async def test_a_yes_is_decided_again_with_the_grant_it_became(tmp_path: Path) -> None:
    pdp = FakePdp(by_grant)
    async with at_desk(tmp_path, pdp) as (hub, target), answering(hub.prompts, "once"):
        delivered = await hub.invoke("target.do", {"value": 1})
        decided = await hub.rows("decision")
    assert [body["effect"] for _, _, body in decided] == ["ask", "allow"]
    assert decided[1][2]["decided_by"] == "person"
    assert decided[1][2]["parent"] == decided[0][1]
    assert (decided[1][1], target.functions) == (delivered.decision_id, ["do"])
    assert [len(document["grants"]) for document in pdp.asked] == [0, 1]


async def test_a_person_cannot_overrule_a_deny(tmp_path: Path) -> None:
    def deny_when_granted(document: dict[str, Any]) -> Decision:
        return decision("deny") if document["grants"] else decision("ask")

    async with at_desk(tmp_path, FakePdp(deny_when_granted)) as (hub, target), answering(hub.prompts, "session"):
        assert type(await hub.refusal("target.do")) is PolicyDenied
        assert target.ran == []


async def test_a_yes_that_the_policies_do_not_honour_is_a_refusal_and_asks_nobody_twice(tmp_path: Path) -> None:
    pdp = FakePdp(decision("ask"))
    async with at_desk(tmp_path, pdp) as (hub, target), answering(hub.prompts, "session", "session") as asked:
        assert type(await hub.refusal("target.do")) is PolicyDenied
        assert (len(asked), target.ran) == (1, [])


async def test_a_no_is_a_refusal(tmp_path: Path) -> None:
    async with at_desk(tmp_path, FakePdp(by_grant)) as (hub, target), answering(hub.prompts, None):
        refusal = await hub.refusal("target.do")
        assert (type(refusal), target.ran) == (ConsentRefused, [])
        assert await hub.outcome(refusal.decision_id) == "CONSENT_REFUSED"


async def test_a_prompt_that_nobody_answers_lapses_into_a_refusal(tmp_path: Path) -> None:
    async with (
        at_desk(tmp_path, FakePdp(by_grant), prompt_timeout_seconds=0.05) as (hub, target),
        answering(hub.prompts) as asked,
    ):
        assert type(await hub.refusal("target.do")) is ConsentRequired
        assert (len(asked), target.ran) == (1, [])


async def test_a_once_grant_lets_one_of_two_concurrent_requests_through(tmp_path: Path) -> None:
    both_decided = asyncio.Event()

    async def decide_together(document: dict[str, Any]) -> Decision:
        if sum(1 for asked in pdp.asked if asked["grants"]) == 2:
            both_decided.set()
        if document["grants"]:
            await asyncio.wait_for(both_decided.wait(), 2)
        return by_grant(document)

    pdp = FakePdp(decide_together)
    async with at_desk(tmp_path, pdp) as (hub, target):
        await hub.grants.give(a_grant(hub.session, scope="once"))
        answers = await asyncio.gather(*(hub.invoke("target.do") for _ in range(2)), return_exceptions=True)
        ended = await hub.grants.list_for("alice", include_ended=True)
    assert {type(answer) for answer in answers} == {ConsentRequired, Delivered}
    assert (target.functions, [grant.end_reason for grant in ended]) == (["do"], ["used"])


async def test_hidden_and_unknown_look_the_same_to_a_spoke(tmp_path: Path) -> None:
    def hide(document: dict[str, Any]) -> Decision:
        return decision("deny", hidden=True) if document["resource"]["id"] != "asker.ask" else decision()

    async with at_desk(tmp_path, FakePdp(hide)) as (hub, target):
        answers = []
        for name, arguments in (("target.do", {}), ("no.such", {}), ("target.do", {"no": 1}), ("no.such", {"no": 1})):
            delivered = await hub.invoke("asker.ask", {"function": name, "arguments": arguments})
            answer = json.loads(delivered.result_json)
            assert answer.pop("decision_id").startswith("d-")
            answers.append(answer)
    assert answers == [{"refused": "FUNCTION_NOT_FOUND", "message": "There is no such function."}] * 4
    assert target.ran == []


async def test_who_may_not_discover_a_function_does_not_learn_its_schema_from_bad_arguments(tmp_path: Path) -> None:
    def hide(document: dict[str, Any]) -> Decision:
        return decision("deny", hidden=True) if document["action"]["name"] == "probe" else decision()

    async with at_desk(tmp_path, FakePdp(hide)) as (hub, _):
        assert type(await hub.refusal("target.say", {"text": 5})) is FunctionNotFound


async def test_who_may_discover_a_function_learns_what_is_wrong_with_the_arguments(tmp_path: Path) -> None:
    async with at_desk(tmp_path) as (hub, target):
        refusal = await hub.refusal("target.say", {"text": 5})
        assert (type(refusal), target.ran) == (RequestInvalid, [])
        assert "/text" in to_status(refusal).message
        assert refusal.decision_id


async def test_a_caller_learns_the_labels_of_what_it_was_given(tmp_path: Path) -> None:
    async with at_desk(tmp_path) as (hub, _):
        await hub.invoke("asker.ask", {"function": "target.secret"})
        await hub.invoke("asker.ask", {"function": "target.do"})
        labels = hub.session.labels_of("asker")
        last = hub.pdp.asked[-1]["context"]["labels"]
    assert labels == Labels.of(["health"], ["untrusted:mail"])
    assert last == labels.to_json()


async def test_a_caller_learns_the_labels_of_a_call_that_failed(tmp_path: Path) -> None:
    async with at_desk(tmp_path) as (hub, _):
        await hub.invoke("asker.ask", {"function": "target.fail"})
        assert hub.session.labels_of("asker") == Labels.of(["failing"])


async def test_a_target_learns_the_labels_of_its_caller_before_it_runs(tmp_path: Path) -> None:
    target = Target()
    async with at_desk(tmp_path, target=target) as (hub, _):
        hub.session.learn("asker", Labels.of(["salary"]))
        target.on_do = lambda _: hub.session.labels_of("target").to_json()
        delivered = await hub.invoke("asker.ask", {"function": "target.do"})
    assert json.loads(delivered.result_json)["result"]["confidentiality"] == ["salary"]


async def test_a_refused_ask_teaches_its_caller_no_labels(tmp_path: Path) -> None:
    def deny_secret(document: dict[str, Any]) -> Decision:
        return decision("deny" if document["resource"]["id"] == "target.secret" else "allow")

    async with at_desk(tmp_path, FakePdp(deny_secret)) as (hub, _):
        await hub.invoke("asker.ask", {"function": "target.secret"})
        assert hub.session.labels_of("asker") == Labels()


async def test_what_an_app_says_when_it_fails_stays_out_of_the_status(tmp_path: Path) -> None:
    async with at_desk(tmp_path) as (hub, _):
        refusal = await hub.refusal("target.fail")
        assert type(refusal) is AppFailed
        assert "own words" not in to_status(refusal).message


async def test_arguments_are_redacted_before_they_are_delivered(tmp_path: Path) -> None:
    rule = decision(obligations=[{"type": "redact", "on": "arguments", "pointer": "/value/ssn"}])
    async with at_desk(tmp_path, FakePdp(rule)) as (hub, target):
        await hub.invoke("target.do", {"value": {"ssn": "123", "name": "Ann"}})
        [(_, _, decided), (_, _, outcome)] = await hub.rows("decision", "outcome")
    assert target.ran == [("do", {"ssn": "[redacted]", "name": "Ann"})]
    assert decided["arguments_digest"] != outcome["delivered_digest"]


async def test_obligations_that_break_the_schema_of_the_result_refuse_it(tmp_path: Path) -> None:
    rule = decision(obligations=[{"type": "drop", "on": "result", "pointer": "/text"}])
    async with at_desk(tmp_path, FakePdp(rule)) as (hub, _):
        assert type(await hub.refusal("target.say", {"text": "x"})) is ObligationUnfulfilled


async def test_a_result_is_dropped_from_and_capped(tmp_path: Path) -> None:
    drop = {"type": "drop", "on": "result", "pointer": "/more"}
    async with at_desk(tmp_path, FakePdp(decision(obligations=[drop]))) as (hub, _):
        assert (await hub.invoke("target.say", {"text": "x"})).result_json == '{"text":"x"}'
        size = len('{"text":"x"}')
        for limit, refused in ((size, False), (size - 1, True)):
            cap = {"type": "max_result_bytes", "on": "result", "value": limit}
            hub.pdp.rule = decision(obligations=[drop, cap])
            if refused:
                assert type(await hub.refusal("target.say", {"text": "x"})) is ObligationUnfulfilled
            else:
                await hub.invoke("target.say", {"text": "x"})


async def test_arguments_are_capped_as_they_would_be_delivered(tmp_path: Path) -> None:
    drop = {"type": "drop", "on": "arguments", "pointer": "/text"}
    for limit, refused in ((12, False), (11, True)):
        cap = {"type": "max_argument_bytes", "on": "arguments", "value": limit}
        async with at_desk(tmp_path / str(limit), FakePdp(decision(obligations=[cap]))) as (hub, target):
            if refused:
                assert type(await hub.refusal("target.say", {"text": "x"})) is ObligationUnfulfilled
                assert target.ran == []
                hub.pdp.rule = decision(obligations=[drop, cap])
            await hub.invoke("target.say", {"text": "x"})


OFF = {"type": "relabel", "on": "result", "confidentiality": ["health"], "integrity": []}


async def test_a_relabelled_result_takes_its_label_to_nobody_and_the_rest_to_its_caller(tmp_path: Path) -> None:
    def relabel(document: dict[str, Any]) -> Decision:
        return decision(obligations=[OFF] if document["resource"]["id"] == "target.secret" else [])

    async with at_desk(tmp_path, FakePdp(relabel)) as (hub, _):
        await hub.invoke("asker.ask", {"function": "target.secret"})
        assert hub.session.labels_of("asker").to_json() == {"confidentiality": [], "integrity": ["untrusted:mail"]}
        assert hub.session.labels_of("target").confidentiality == {"health"}
        to_user = await hub.invoke("target.secret")
        assert to_user.labels.confidentiality == frozenset()
        obliged = [body["obligations"] for _, _, body in await hub.rows("decision") if body["obligations"]]
    assert obliged == [[OFF], [OFF]]


async def test_a_failure_tells_of_all_that_the_target_knows_whatever_is_taken_off(tmp_path: Path) -> None:
    off = {**OFF, "confidentiality": ["failing"]}
    pdp = FakePdp(lambda document: decision(obligations=[off] if document["resource"]["id"] == "target.fail" else []))
    async with at_desk(tmp_path, pdp) as (hub, _):
        await hub.invoke("asker.ask", {"function": "target.fail"})
        assert hub.session.labels_of("asker").confidentiality == {"failing"}


async def test_labels_cannot_be_taken_off_when_the_function_has_run(tmp_path: Path) -> None:
    def late(document: dict[str, Any]) -> Decision:
        reviewing = document["action"]["name"] == "return"
        return decision(obligations=[OFF] if reviewing else [], review_result=not reviewing)

    async with at_desk(tmp_path, FakePdp(late)) as (hub, _):
        assert type(await hub.refusal("target.secret")) is ObligationUnfulfilled


async def test_what_a_review_is_told_of_a_result_leaves_out_what_is_taken_off(tmp_path: Path) -> None:
    pdp = FakePdp(lambda _: decision(obligations=[OFF], review_result=True))
    async with at_desk(tmp_path, pdp) as (hub, _):
        await hub.invoke("target.secret")
    [review] = pdp.asked_for("return")
    assert review["resource"]["function"]["labels"]["confidentiality"] == []


async def test_a_notice_for_the_user_is_on_record_and_shown_to_who_watches(tmp_path: Path) -> None:
    pdp = FakePdp(decision(obligations=[{"type": "notify", "message": "Mail went out."}]))
    async with at_desk(tmp_path, pdp) as (hub, _):
        with hub.prompts.watch("alice") as events:
            done = await hub.invoke("target.do")
            shown = await anext(events)
        [(_, decision_id, body)] = await hub.rows("notice")
    assert shown == Notice("alice", done.decision_id, hub.session.id, "target.do", "user", "Mail went out.")
    assert (decision_id, body) == (
        done.decision_id,
        {"message": "Mail went out.", "function": "target.do", "caller": "user"},
    )


async def test_a_result_is_decided_on_once_more_when_the_decision_wants_it(tmp_path: Path) -> None:
    def review(document: dict[str, Any]) -> Decision:
        if document["action"]["name"] == "return":
            return decision("deny" if document["result"] == "bad" else "allow")
        return decision(review_result=True)

    pdp = FakePdp(review)
    async with at_desk(tmp_path, pdp) as (hub, _):
        good = await hub.invoke("target.do", {"value": "good"})
        bad = await hub.refusal("target.do", {"value": "bad"})
        rows = {id_: body for _, id_, body in await hub.rows("decision")}
    assert (good.result_json, type(bad)) == ('"good"', PolicyDenied)
    assert rows[bad.decision_id]["action"] == "return"
    assert rows[rows[bad.decision_id]["parent"]]["action"] == "invoke"


async def test_a_review_sees_the_arguments_that_were_delivered_whatever_numbers_are_in_them(tmp_path: Path) -> None:
    async with at_desk(tmp_path, FakePdp(lambda _: decision(review_result=True))) as (hub, _):
        delivered = await hub.invoke("target.do", {"value": 1e20})
    assert float(delivered.result_json) == 1e20


async def test_a_result_of_null_is_reviewed_as_null(tmp_path: Path) -> None:
    pdp = FakePdp(lambda document: decision(review_result=document["action"]["name"] == "invoke"))
    async with at_desk(tmp_path, pdp) as (hub, _):
        await hub.invoke("target.do", {"value": None})
    assert pdp.asked_for("return")[0]["result"] is None


async def test_hops_are_bounded_by_the_hub_itself(tmp_path: Path) -> None:
    async with at_desk(tmp_path, max_hops=3) as (hub, _):
        assert json.loads((await hub.invoke("asker.loop")).result_json) == "QUOTA_EXCEEDED"
        chains = [document["context"]["chain"] for document in hub.pdp.asked]
    assert max(chains, key=len) == ["user", "asker", "asker", "asker"]


async def test_a_call_whose_caller_goes_away_is_cancelled_and_on_record(tmp_path: Path) -> None:
    async with at_desk(tmp_path) as (hub, target):
        task = asyncio.create_task(hub.invoke("target.wait"))
        await until(lambda: target.ran)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: target.cancelled)
        [(_, id_, _)] = await hub.rows("decision")
        assert await hub.outcome(id_) == "CANCELLED"


async def test_a_call_that_outlasts_its_deadline_is_ended_and_on_record(tmp_path: Path) -> None:
    async with at_desk(tmp_path) as (hub, target):
        refusal = await hub.refusal("target.wait", seconds=0.2)
        assert type(refusal) is DeadlineExceeded
        await until(lambda: target.cancelled)
        assert await hub.outcome(refusal.decision_id) == "DEADLINE_EXCEEDED"


async def test_an_app_that_cannot_be_started_is_said_to_be_unavailable(tmp_path: Path) -> None:
    path = write_app(tmp_path, "empty", {"do": function()})
    async with desk(installed(path), {}) as hub:
        assert type(await hub.refusal("empty.do")) is SpokeUnavailable


async def test_a_call_whose_spoke_is_ended_for_another_one_is_told_so_and_not_left_waiting(tmp_path: Path) -> None:
    async with at_desk(tmp_path) as (hub, target):
        waiting = asyncio.create_task(hub.refusal("target.wait"))
        await until(lambda: target.ran)
        await hub.spokes.cut("target")
        refusal = await asyncio.wait_for(waiting, 2)
        assert type(refusal) is SpokeUnavailable
        assert await hub.outcome(refusal.decision_id) == "SPOKE_UNAVAILABLE"


async def test_a_name_longer_than_any_function_has_is_not_kept_anywhere(tmp_path: Path) -> None:
    async with at_desk(tmp_path) as (hub, _):
        refusal = await hub.refusal("x" * 100_000)
        assert type(refusal) is FunctionNotFound
        size = sum(len(json.dumps(body)) for _, _, body in await hub.rows())
        assert size < 10_000
        assert max(map(len, hub.session.calls_by_function)) < 200


async def test_a_caller_that_goes_away_before_the_decision_leaves_a_refusal_on_record(tmp_path: Path) -> None:
    async def never(_: dict[str, Any]) -> Decision:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    async with at_desk(tmp_path, FakePdp(never)) as (hub, _):
        task = asyncio.create_task(hub.invoke("target.do"))
        await until(lambda: hub.pdp.asked)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        [(kind, _, body)] = await hub.rows("decision", "outcome")
    assert (kind, body["effect"], body["error"]) == ("decision", "deny", "CANCELLED")


async def test_arguments_that_are_no_object_are_refused(tmp_path: Path) -> None:
    async with at_desk(tmp_path) as (hub, _):
        for given in ("[]", "null", "1", '"x"'):
            assert type(await hub.refusal("target.do", given)) is RequestInvalid


async def test_arguments_beyond_the_limit_are_refused_before_they_are_parsed(tmp_path: Path) -> None:
    async with at_desk(tmp_path) as (hub, target):
        refusal = await hub.refusal("target.do", '{"value":"' + "x" * (1 << 20) + '"}')
        assert (type(refusal), target.ran) == (QuotaExceeded, [])


async def test_a_probe_lists_what_is_allowed_and_is_on_record_function_by_function(tmp_path: Path) -> None:
    def only_say(document: dict[str, Any]) -> Decision:
        allowed = document["action"]["name"] == "invoke" or document["resource"]["id"] == "target.say"
        return decision() if allowed else decision("deny", hidden=True)

    async with at_desk(tmp_path, FakePdp(only_say)) as (hub, _):
        assert json.loads((await hub.invoke("asker.probe")).result_json) == ["target.say"]
        probed = [body["function"] for _, _, body in await hub.rows("decision") if body["action"] == "probe"]
    assert sorted(probed) == sorted(hub.registry.functions)
