"""Summaries by the model: asked as the app, on the budgets of its session, with the labels of what it is shown."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hub.errors import ModelUnavailable, PolicyDenied
from hub.mediation.labels import NONE, Labels
from hub.model.client import ModelClient, ModelSpec
from hub.sessions.memory import ModelSummaries
from tests.support.apps import function, installed, write_app
from tests.support.desk import Desk, desk
from tests.support.pdp import FakePdp, decision
from tests.unit.model.test_client import HELLO, Turn, Turns

HEALTH = Labels.of(["health"], ["untrusted:email"])


@asynccontextmanager
async def summarising(
    tmp_path: Path, *turns: Turn, pdp: FakePdp | None = None
) -> AsyncIterator[tuple[Desk, Turns, ModelSummaries]]:
    provider = Turns(*turns)
    model = ModelClient(provider, [ModelSpec("small", max_completion_tokens=100)], retries=0)
    path = write_app(tmp_path, "diary", {"do": function()}, memory=True, asks_model=True)
    async with desk(installed(path), {}, pdp, model=model) as hub:
        yield hub, provider, ModelSummaries(hub.mediator, hub.registry, characters=4000)


async def test_it_is_the_app_that_asks_with_what_its_history_carries(tmp_path: Path) -> None:
    async with summarising(tmp_path, HELLO) as (hub, provider, summarise):
        assert await summarise(hub.session, "diary", HEALTH, "Be short.", "user: hello") == "Hello"
        [document] = hub.pdp.asked_for("generate")
        # It cost what it costs the app to ask, and taught its spoke nothing.
        assert hub.session.spending.of_app("diary") == 9
        assert hub.session.labels_of("diary") == NONE
    assert (document["subject"]["type"], document["subject"]["id"]) == ("spoke", "diary")
    assert document["context"]["session"] == hub.session.id
    assert document["context"]["labels"] == HEALTH.to_json()
    [asked] = provider.asked
    assert asked.body["messages"] == [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "user: hello"},
    ]


async def test_what_else_the_spoke_knows_is_no_part_of_it(tmp_path: Path) -> None:
    async with summarising(tmp_path, HELLO) as (hub, _, summarise):
        hub.session.learn("diary", HEALTH)
        await summarise(hub.session, "diary", NONE, "Be short.", "user: hello")
        [document] = hub.pdp.asked_for("generate")
    assert document["context"]["labels"] == NONE.to_json()


async def test_the_hub_s_own_history_is_summarised_by_its_planner(tmp_path: Path) -> None:
    async with summarising(tmp_path, HELLO) as (hub, _, summarise):
        await summarise(hub.session, "hub", NONE, "Be short.", "user: hello")
        [document] = hub.pdp.asked_for("generate")
    assert document["subject"]["type"] == "planner"


async def test_what_the_policies_deny_goes_to_no_model(tmp_path: Path) -> None:
    async with summarising(tmp_path, HELLO, pdp=FakePdp(decision("deny"))) as (hub, provider, summarise):
        with pytest.raises(PolicyDenied):
            await summarise(hub.session, "diary", HEALTH, "Be short.", "user: hello")
    assert provider.asked == []


async def test_for_an_app_that_is_gone_no_model_is_asked(tmp_path: Path) -> None:
    async with summarising(tmp_path) as (hub, _, summarise):
        with pytest.raises(ModelUnavailable):
            await summarise(hub.session, "gone", NONE, "Be short.", "user: hello")
        assert hub.pdp.asked == []
