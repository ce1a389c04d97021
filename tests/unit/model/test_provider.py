"""The provider behind the `openai` client, against a real server: the API's forms, and every way to misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog
from aiohttp import web

from hub.errors import ModelUnavailable, QuotaExceeded
from hub.model.client import Completion, ModelClient, ModelRequest, ModelSpec
from hub.model.provider import MAX_RESPONSE_BYTES, OpenAIProvider
from scripted_model import Fault, Reply, Rule, Script, ScriptedModel, ToolCall, When
from tests.unit.scripted.test_script import tool, user

KEY = "sk-test-0123456789"
SCRIPT = Script(
    rules=(
        Rule(when=When(user="call"), then=Reply(calls=(ToolCall(name="a.b", arguments={"x": 1}),))),
        Rule(when=When(user="busy"), then=Reply(fault=Fault(status=429, retry_after=0.0)), times=1),
        Rule(when=When(user="ill"), then=Reply(fault=Fault(status=500)), times=2),
        Rule(when=When(user="down"), then=Reply(fault=Fault(status=503))),
        Rule(when=When(user="forbidden"), then=Reply(fault=Fault(status=403))),
        Rule(when=When(user="half"), then=Reply(fault=Fault(raw='data: {"choices": [{"delta"'))),
        Rule(when=When(user="nonsense"), then=Reply(fault=Fault(raw="data: [1, 2]\n\ndata: 7\n\n"))),
        Rule(when=When(user="page"), then=Reply(fault=Fault(raw="<html>It works!</html>"))),
        Rule(when=When(user="cut"), then=Reply(text="one two three four", fault=Fault(cut_after=2))),
        Rule(when=When(user="hang"), then=Reply(fault=Fault(hang=True))),
        Rule(when=When(user="endless"), then=Reply(text="ten bytes " * (1 << 20), fault=Fault(unbounded=True))),
        Rule(then=Reply(text="Good day to you.")),
    )
)


@asynccontextmanager
async def asking(base_url: str, *, retries: int = 2, idle_seconds: float = 1.0) -> AsyncIterator[Any]:
    provider = OpenAIProvider(base_url, KEY, connect_seconds=1.0, idle_seconds=idle_seconds)
    client = ModelClient(provider, [ModelSpec("scripted")], retries=retries)
    issuer = client.take_issuer()

    async def ask(text: str, on_text: Callable[[str], Awaitable[None]] | None = None, **members: Any) -> Completion:
        request = ModelRequest("scripted", {"messages": [user(text)], **members}, 100)
        return await client.generate(issuer.issue(decision_id="d", what=request), on_text)

    try:
        yield ask
    finally:
        await client.close()


@pytest.fixture
async def model() -> AsyncIterator[ScriptedModel]:
    async with ScriptedModel(SCRIPT, key=KEY) as running:
        yield running


async def test_an_answer_comes_with_its_usage(model: ScriptedModel) -> None:
    pieces: list[str] = []

    async def on_text(text: str) -> None:
        pieces.append(text)

    async with asking(model.base_url) as ask:
        done = await ask("Hello", on_text)
    assert done.text == "".join(pieces) == "Good day to you."
    assert len(pieces) > 1
    assert (done.completion_tokens, done.estimated) == (4, False)
    assert model.seen[0].body["max_completion_tokens"] == 100


async def test_a_tool_call_comes_whole(model: ScriptedModel) -> None:
    async with asking(model.base_url) as ask:
        done = await ask("call", tools=[tool("a.b")])
    [call] = done.message["tool_calls"]
    assert (call["function"], done.finish_reason) == ({"name": "a__b", "arguments": '{"x": 1}'}, "tool_calls")


@pytest.mark.parametrize(("text", "asked"), [("busy", 2), ("ill", 3)])
async def test_what_passes_is_tried_again(model: ScriptedModel, text: str, asked: int) -> None:
    async with asking(model.base_url) as ask:
        assert (await ask(text)).text == "Good day to you."
    assert model.calls == asked


@pytest.mark.parametrize(
    ("text", "asked"),
    [("down", 2), ("forbidden", 1), ("half", 2), ("nonsense", 1), ("page", 2), ("cut", 2), ("hang", 2)],
)
async def test_every_failure_is_one_error(model: ScriptedModel, text: str, asked: int) -> None:
    async with asking(model.base_url, retries=1, idle_seconds=0.3) as ask:
        with pytest.raises(ModelUnavailable):
            await ask(text)
    assert model.calls <= asked
    assert model.in_flight == 0 or text == "hang"


async def test_an_answer_of_10_mb_is_not_taken(model: ScriptedModel) -> None:
    async with asking(model.base_url) as ask:
        with pytest.raises(QuotaExceeded):
            await ask("endless")


async def test_nobody_there_is_unavailable() -> None:
    async with asking("http://127.0.0.1:9/v1", retries=0) as ask:
        with pytest.raises(ModelUnavailable):
            await ask("Hello")


@asynccontextmanager
async def serving(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


async def test_an_endless_line_fills_no_memory() -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: ")
        while sent < 4 * MAX_RESPONSE_BYTES:
            await response.write(b"x" * (1 << 20))
            sent += 1 << 20
        return response

    async with serving(endless) as url, asking(url) as ask:
        with pytest.raises(ModelUnavailable):
            await ask("Hello")
    assert sent < 3 * MAX_RESPONSE_BYTES


async def test_the_key_goes_nowhere_else() -> None:
    elsewhere: list[str] = []

    async def other(request: web.Request) -> web.StreamResponse:
        elsewhere.append(request.headers.get("Authorization", ""))
        return web.json_response({})

    async with serving(other) as target:

        async def redirect(request: web.Request) -> web.StreamResponse:
            raise web.HTTPTemporaryRedirect(f"{target}/chat/completions")

        async with serving(redirect) as url, asking(url) as ask:
            with pytest.raises(ModelUnavailable):
                await ask("Hello")
    assert elsewhere == []


async def test_an_error_holds_neither_the_key_nor_the_providers_words() -> None:
    async def telling(request: web.Request) -> web.StreamResponse:
        error = {"error": {"message": f"Incorrect API key provided: {KEY}; the prompt was Hello"}}
        return web.json_response(error, status=401)

    with structlog.testing.capture_logs() as logs:
        async with serving(telling) as url, asking(url) as ask:
            with pytest.raises(ModelUnavailable) as caught:
                await ask("Hello")
    said = f"{caught.value} {caught.value.__cause__!r} {logs}"
    assert "status 401" in said
    assert KEY not in said
    assert "Hello" not in said


async def test_a_cancelled_request_is_ended_at_the_provider(model: ScriptedModel) -> None:
    async with asking(model.base_url, idle_seconds=20.0) as ask:
        task = asyncio.create_task(ask("hang"))
        async with asyncio.timeout(5):
            while not model.in_flight:  # noqa: ASYNC110 - a counter of the server
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while model.in_flight:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert model.seen[0].outcome == "abandoned"
