"""What an app could want of the model besides an answer: a way out, more than its budget. Each with its control."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from aiohttp import ClientSession, web

from hub.mediation.pdp import Decision
from hub.mediation.spending import Expense, Spending
from hub.model.client import ModelClient, ModelRequest, ModelSpec
from hub.model.provider import OpenAIProvider
from tests.apps.thinker import thinker
from tests.support.apps import APPS, installed
from tests.support.desk import Desk, desk
from tests.support.pdp import FakePdp, decision
from tests.unit.model.test_client import HELLO, Turns

ANSWER = (
    b'data: {"choices": [{"index": 0, "delta": {"content": "Nice."}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
)


class FetchingProvider:
    """A provider that does what real ones do with a picture's address: it fetches it."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.fetched: list[str] = []
        self.base_url = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[FetchingProvider]:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        app.router.add_get("/leak", self._leak)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    @property
    def picture(self) -> dict[str, Any]:
        """A message with a picture whose address holds a secret."""
        address = {"url": f"{self.base_url}/leak?secret=asthma"}
        return {"role": "user", "content": [{"type": "image_url", "image_url": address}]}

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        async with ClientSession() as session:
            for message in body["messages"]:
                for part in message["content"] if isinstance(message["content"], list) else ():
                    if part["type"] == "image_url":
                        await (await session.get(part["image_url"]["url"])).read()
        return web.Response(body=ANSWER, content_type="text/event-stream")

    async def _leak(self, request: web.Request) -> web.StreamResponse:
        self.fetched.append(request.query_string)
        return web.Response()


def client_of(provider: FetchingProvider) -> ModelClient:
    there = OpenAIProvider(f"{provider.base_url}/v1", "sk-1", connect_seconds=1, idle_seconds=2)
    return ModelClient(there, [ModelSpec("small")], retries=0)


@asynccontextmanager
async def thinking(model: ModelClient, pdp: FakePdp | None = None) -> AsyncIterator[Desk]:
    async with desk(installed(APPS / "thinker"), {"thinker": thinker.app}, pdp, model=model) as hub:
        yield hub
        await model.close()


async def think(hub: Desk, **arguments: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        (await hub.invoke("thinker.think", {"text": "Hi", **arguments})).result_json
    )
    return found


async def test_a_pictures_address_is_no_way_out() -> None:
    async with FetchingProvider().open() as provider, thinking(client_of(provider)) as hub:
        [refused] = await think(hub, request={"messages": [provider.picture]})
        assert refused["refused"] == "REQUEST_INVALID"
        assert (provider.requests, provider.fetched) == ([], [])


async def test_control_past_the_check_the_address_is_fetched() -> None:
    async with FetchingProvider().open() as provider:
        model = client_of(provider)
        request = ModelRequest("small", {"messages": [provider.picture]}, 10)
        await model.generate(model.take_issuer().issue(decision_id="d", what=request))
        await model.close()
    assert provider.fetched == ["secret=asthma"]


HEADERS = {"extra_headers": {"Authorization": "Bearer of-the-app", "X-Secret": "asthma"}}


async def test_no_member_steers_the_hubs_own_client() -> None:
    async with FetchingProvider().open() as provider, thinking(client_of(provider)) as hub:
        [refused] = await think(hub, request=HEADERS)
        assert refused["refused"] == "REQUEST_INVALID"
        assert provider.requests == []


async def test_control_past_the_check_a_member_sets_headers() -> None:
    async with FetchingProvider().open() as provider:
        model = client_of(provider)
        body = {"messages": [{"role": "user", "content": "Hi"}], **HEADERS}
        await model.generate(model.take_issuer().issue(decision_id="d", what=ModelRequest("small", body, 10)))
        await model.close()
    [headers] = provider.headers
    assert (headers["authorization"], headers["x-secret"]) == ("Bearer of-the-app", "asthma")


class Unreserved(Spending):
    """The defence off: what requests under way may use is not set aside."""

    @contextmanager
    def setting_aside(self, app: str, expense: Expense) -> Iterator[None]:
        yield
        self.apps[app] += expense.used or 0


@pytest.mark.parametrize("spending", [Spending, Unreserved])
async def test_many_at_once_do_not_spend_one_budget_each(spending: type[Spending]) -> None:
    limit = 400
    together = asyncio.Event()

    class Waiting(Turns):
        """Answers nobody before all who are let through have asked."""

        @asynccontextmanager
        async def stream(self, request: ModelRequest) -> AsyncIterator[Any]:
            self.asked.append(request)
            await together.wait()
            yield self._play(HELLO)

    def rule(document: dict[str, Any]) -> Decision:
        return decision("deny" if document["context"]["counts"]["app_tokens"] > limit else "allow")

    provider, pdp = Waiting(), FakePdp(rule)
    model = ModelClient(provider, [ModelSpec("small", max_completion_tokens=100)], retries=0)
    async with thinking(model, pdp) as hub:
        hub.session.spending = spending()
        asking = asyncio.create_task(think(hub, times=16))
        async with asyncio.timeout(5):
            while len(pdp.asked_for("generate")) < 16:  # noqa: ASYNC110 - the list is the decision point's
                await asyncio.sleep(0.01)
        together.set()
        answers = await asking
    reached = sum("message" in answer for answer in answers)
    assert reached == len(provider.asked)
    assert reached == 16 if spending is Unreserved else 1 <= reached <= 3
