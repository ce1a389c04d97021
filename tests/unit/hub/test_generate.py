"""Asking the model: the same ten steps, what they put on record, what is set aside, and what never gets there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hub.errors import DeadlineExceeded, ModelUnavailable, PolicyDenied, QuotaExceeded, RequestInvalid
from hub.mediation.asks import generate
from hub.mediation.caller import planner_caller
from hub.mediation.errands.generate import Generate
from hub.mediation.labels import Labels
from hub.mediation.pdp import Decision
from hub.model.client import ModelClient, ModelRequest, ModelSpec, Piece, ProviderFailed
from tests.apps.thinker import thinker
from tests.support.apps import APPS, installed
from tests.support.desk import Desk, answering, desk, rows_of, until
from tests.support.pdp import FakePdp, by_grant, decision
from tests.unit.model.test_client import HELLO, Turn, Turns

THINKER = APPS / "thinker"
SMALL = ModelSpec("small", clearance=("contact",), max_completion_tokens=100, max_prompt_characters=10_000)


@asynccontextmanager
async def thinking(
    *turns: Turn, pdp: FakePdp | None = None, provider: Turns | None = None
) -> AsyncIterator[tuple[Desk, Turns]]:
    """Set a desk up with an app that asks the model, whose provider plays these turns."""
    provider = provider or Turns(*turns)
    model = ModelClient(provider, [SMALL, ModelSpec("large")], retries=0)
    async with desk(installed(THINKER), {"thinker": thinker.app}, pdp, model=model) as it:
        yield it, provider


async def think(hub: Desk, text: str = "Hi", **arguments: Any) -> list[dict[str, Any]]:
    """Let the app ask, and return what came of each request."""
    delivered = await hub.invoke("thinker.think", {"text": text, **arguments})
    found: list[dict[str, Any]] = json.loads(delivered.result_json)
    return found


def except_for(action: str, answer: Decision) -> FakePdp:
    """Allow everything but an action, which gets another answer."""
    return FakePdp(lambda document: answer if document["action"]["name"] == action else decision())


async def test_an_answer_reaches_the_app_in_pieces_and_whole() -> None:
    async with thinking(HELLO) as (hub, provider):
        [answer] = await think(hub)
    assert answer == {
        "message": {"role": "assistant", "content": "Hello"},
        "finish": "stop",
        "tokens": {"prompt": 7, "completion": 2},
        "pieces": ["Hel", "lo"],
    }
    [asked] = provider.asked
    assert (asked.model, asked.max_completion_tokens) == ("small", 100)
    assert asked.body == {"messages": [{"role": "user", "content": "Hi"}]}


async def test_what_is_decided_on_is_a_summary_bound_to_the_very_request() -> None:
    async with thinking(HELLO, HELLO) as (hub, _):
        await think(hub, "my secret words", request={"max_completion_tokens": 5000, "model": "small"})
        await think(hub, "other words")
        first, second = hub.pdp.asked_for("generate")
        rows = await hub.rows("decision", "outcome")
    assert first["subject"]["id"] == "thinker"
    assert first["subject"]["app"]["asks_model"] is True
    assert first["resource"] == {
        "type": "model",
        "id": "model/small",
        "model": {"name": "small", "clearance": ["contact"]},
    }
    digest = first["arguments"].pop("digest")
    assert first["arguments"].pop("characters") > len("my secret words")
    assert first["arguments"] == {"model": "small", "messages": 1, "tools": [], "max_completion_tokens": 100}
    assert digest != second["arguments"]["digest"]
    [outcome] = [b for _, _, b in rows if b.get("usage")][:1]
    assert outcome["usage"] == {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9, "estimated": False}
    generations = [b for _, _, b in rows if b.get("action") == "generate"]
    assert "secret words" not in json.dumps(generations)


async def test_the_decision_is_on_record_before_the_provider_is_asked() -> None:
    async with thinking() as (hub, provider):
        at_that_time: list[str] = []
        stream = provider.stream

        def looking(request: Any) -> Any:
            at_that_time.extend(b["effect"] for _, _, b in rows_now(hub) if b["action"] == "generate")
            return stream(request)

        provider.stream = looking  # type: ignore[method-assign]
        provider._turns.append(HELLO)
        await think(hub)
    assert at_that_time == ["allow"]


def rows_now(hub: Desk) -> list[tuple[str, str, dict[str, Any]]]:
    return rows_of(hub.engine, "decision")


async def test_a_deny_asks_no_provider() -> None:
    async with thinking(HELLO, pdp=except_for("generate", decision("deny"))) as (hub, provider):
        [refused] = await think(hub)
        assert await hub.outcome(refused["decision_id"]) == "POLICY_DENIED"
    assert (refused["refused"], refused["pieces"], provider.asked) == ("POLICY_DENIED", [], [])


async def test_a_person_may_be_asked_and_a_yes_counts_for_the_session() -> None:
    def rule(document: dict[str, Any]) -> Decision:
        return by_grant(document) if document["action"]["name"] == "generate" else decision()

    async with thinking(HELLO, HELLO, pdp=FakePdp(rule)) as (hub, _), answering(hub.prompts, "session") as seen:
        assert "message" in (await think(hub))[0]
        assert "message" in (await think(hub, "again"))[0]
    [question] = seen
    assert [offer.covers for offer in question.offers] == [
        "This one use of model/small, for exactly this request.",
        "Every use of model/small by thinker, until the session ends.",
    ]


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"stream": True}, "stream"),
        ({"n": 2}, "n"),
        ({"user": "alice"}, "user"),
        ({"extra_headers": {"Host": "evil.example"}}, "extra_headers"),
        ({"extra_body": {"n": 9}}, "extra_body"),
        ({"timeout": 9}, "timeout"),
        ({"model": "other"}, "no such model"),
        ({"messages": []}, "/messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "/messages/0/role"),
        ({"messages": [{"role": "user", "content": "x", "audio": {}}]}, "/messages/0"),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image_url", "image_url": {"url": "https://evil.example/?leak"}}],
                    }
                ]
            },
            "/messages/0/content",
        ),
        ({"tools": [{"type": "function", "function": {"name": "a.b"}}]}, "/tools/0/function/name"),
        ({"tools": [{"type": "web_search"}]}, "/tools/0"),
        ({"temperature": 9}, "/temperature"),
        ({"response_format": {"type": "pdf"}}, "/response_format/type"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_member_that_there_is_not_is_refused(request_: dict[str, Any], says: str) -> None:
    async with thinking(HELLO) as (hub, provider):
        [refused] = await think(hub, request=request_)
        with pytest.raises(RequestInvalid, match=says):
            Generate(json.dumps({"messages": [{"role": "user", "content": "x"}], **request_}), hub.mediator.doors.model)
    assert (refused["refused"], provider.asked) == ("REQUEST_INVALID", [])


async def test_a_request_that_is_too_long_is_refused() -> None:
    async with thinking(HELLO) as (hub, provider):
        [refused] = await think(hub, "x" * 10_001)
    assert (refused["refused"], provider.asked) == ("QUOTA_EXCEEDED", [])


async def test_without_a_model_it_says_so() -> None:
    async with desk(installed(THINKER), {"thinker": thinker.app}) as hub:
        [refused] = await think(hub)
    assert refused["refused"] == "MODEL_UNAVAILABLE"


async def test_what_the_provider_gets_wrong_is_one_refusal_on_record() -> None:
    async with thinking([*HELLO[:1], ProviderFailed("it broke off", again=True)]) as (hub, _):
        [refused] = await think(hub)
        assert await hub.outcome(refused["decision_id"]) == "MODEL_UNAVAILABLE"
        # It was said, and what was said is paid for.
        assert hub.session.spending.of_session > 0
    assert (refused["refused"], refused["pieces"]) == ("MODEL_UNAVAILABLE", ["Hel"])


async def test_what_never_began_is_not_paid_for() -> None:
    async with thinking(ProviderFailed("it answers with status 500")) as (hub, _):
        await think(hub)
        assert hub.session.spending.of_session == 0


async def test_tokens_are_counted_per_session_app_and_user() -> None:
    async with thinking(HELLO, HELLO, HELLO) as (hub, _):
        await think(hub)
        await think(hub)
        _, second = [document["context"]["counts"] for document in hub.pdp.asked_for("generate")]
        spent = hub.session.spending
        assert (spent.of_session, spent.of_app("thinker"), spent.of_app("other"), spent.of_user) == (18, 18, 0, 18)
    # The second request knows what the first used, and what itself may use at most.
    assert second["session_tokens"] == second["app_tokens"] == second["user_tokens"] > 9 + 100


class Held(Turns):
    """A provider that answers nobody until it is let."""

    def __init__(self, *turns: Turn) -> None:
        super().__init__(*turns)
        self.let = asyncio.Event()

    async def _play(self, turn: Sequence[Piece | Exception]) -> AsyncIterator[Piece]:
        await self.let.wait()
        async for piece in super()._play(turn):
            yield piece


async def test_many_at_once_do_not_spend_one_budget_each() -> None:
    limit, times, provider = 400, 16, Held(*[HELLO] * 16)

    def rule(document: dict[str, Any]) -> Decision:
        if len(pdp.asked_for("generate")) == times:
            provider.let.set()
        counts = document["context"]["counts"]
        return decision("deny" if counts["app_tokens"] > limit else "allow")

    pdp = FakePdp(rule)
    async with thinking(pdp=pdp, provider=provider) as (hub, _):
        answers = await think(hub, times=times)
    assert len(provider.asked) == sum("message" in answer for answer in answers)
    assert 1 <= len(provider.asked) <= 3  # each may use more than 100


async def test_the_labels_that_the_app_carries_are_decided_on_and_the_answer_brings_none() -> None:
    async with thinking(HELLO) as (hub, _):
        hub.session.give("thinker", Labels.of(["health"], ["untrusted:mail"]))
        await think(hub)
        [document] = hub.pdp.asked_for("generate")
        carried = hub.session.labels_of("thinker")
    assert document["context"]["labels"] == {"confidentiality": ["health"], "integrity": ["untrusted:mail"]}
    assert carried == Labels.of(["health"], ["untrusted:mail"])


class Silent(Turns):
    """A provider that takes a request and never says a word."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = asyncio.Event()

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[Any]:
        self.asked.append(request)
        try:
            await asyncio.Event().wait()
            yield
        finally:
            self.ended.set()


async def test_a_call_that_is_cancelled_ends_its_request_and_is_on_record() -> None:
    provider = Silent()
    async with thinking(provider=provider) as (hub, _):
        call = asyncio.create_task(think(hub))
        await until(lambda: provider.asked)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.wait_for(provider.ended.wait(), 5)
        outcomes = [body for _, _, body in await hub.rows("outcome") if "usage" in body]
    assert [(body["outcome"], body["usage"]["estimated"]) for body in outcomes] == [("CANCELLED", True)]


async def test_a_provider_that_is_too_slow_ends_with_the_call() -> None:
    provider = Silent()
    async with thinking(provider=provider) as (hub, _):
        error = await hub.refusal("thinker.think", {"text": "Hi"}, seconds=0.5)
        assert isinstance(error, DeadlineExceeded)
        await asyncio.wait_for(provider.ended.wait(), 5)
        # It may have been answered for all that is known, so it counts.
        assert hub.session.spending.of_session > 0
        assert not hub.session.spending.under_way


@pytest.mark.parametrize(
    ("obligation", "outcome"),
    [
        ({"type": "max_result_bytes", "on": "result", "value": 3}, "QUOTA_EXCEEDED"),
        ({"type": "redact", "pointer": "/model"}, "OBLIGATION_UNFULFILLED"),
        ({"type": "relabel", "on": "result", "confidentiality": ["health"]}, "OBLIGATION_UNFULFILLED"),
    ],
)
async def test_an_obligation_is_met_or_it_is_refused(obligation: dict[str, Any], outcome: str) -> None:
    async with thinking(HELLO, pdp=except_for("generate", decision(obligations=[obligation]))) as (hub, _):
        [refused] = await think(hub)
    assert refused["refused"] == outcome


async def test_an_answer_cannot_be_reviewed() -> None:
    async with thinking(HELLO, pdp=except_for("generate", decision(review_result=True))) as (hub, provider):
        [refused] = await think(hub)
    assert (refused["refused"], provider.asked) == ("OBLIGATION_UNFULFILLED", [])


async def test_the_planner_asks_as_itself_with_what_it_was_shown() -> None:
    async with thinking(HELLO) as (hub, _):
        deadline = asyncio.get_running_loop().time() + 5
        shown = Labels.of(["contact"])
        caller = planner_caller(hub.session, deadline=deadline, carries=shown)
        request = json.dumps({"messages": [{"role": "user", "content": "Plan."}]})
        done = await generate(hub.mediator, caller, request)
        [document] = hub.pdp.asked_for("generate")
        assert hub.session.spending.of_app("planner") == 9
    assert done.text == "Hello"
    assert document["subject"] == {"type": "planner", "id": "planner", "user": "alice", "roles": []}
    assert document["context"]["labels"]["confidentiality"] == ["contact"]
    assert (document["context"]["chain"], document["context"]["hop"]) == (["planner"], 0)


async def test_the_planner_is_refused_like_anybody() -> None:
    async with thinking(HELLO, pdp=except_for("generate", decision("deny"))) as (hub, _):
        caller = planner_caller(hub.session, deadline=asyncio.get_running_loop().time() + 5)
        request = json.dumps({"messages": [{"role": "user", "content": "Plan."}]})
        with pytest.raises(PolicyDenied):
            await generate(hub.mediator, caller, request)
        with pytest.raises(QuotaExceeded):
            await generate(hub.mediator, caller, json.dumps({"messages": [{"role": "user", "content": "x" * 10_001}]}))


async def test_the_hub_without_a_model_refuses_the_planner(tmp_path: Path) -> None:
    async with desk(installed(THINKER), {"thinker": thinker.app}) as hub:
        caller = planner_caller(hub.session, deadline=asyncio.get_running_loop().time() + 5)
        with pytest.raises(ModelUnavailable, match="configure one under `model`"):
            await generate(hub.mediator, caller, "{}")
