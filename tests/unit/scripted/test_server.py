"""The scripted model as a server: the API's forms, its counters, its slowness, and its faults."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from scripted_model import Fault, Reply, Rule, Script, ScriptedModel, ToolCall, When
from tests.support.live import until
from tests.unit.scripted.test_script import tool, user

LONG = " ".join(f"word{n}" for n in range(300))
SCRIPT = Script(
    rules=(
        Rule(when=When(user="call"), then=Reply(calls=(ToolCall(name="a.b", arguments={"x": [1, "é"]}),))),
        Rule(when=When(user="busy"), then=Reply(fault=Fault(status=429, retry_after=0.1)), times=1),
        Rule(when=When(user="raw"), then=Reply(fault=Fault(raw='{"half": '))),
        Rule(when=When(user="cut"), then=Reply(text=LONG, fault=Fault(cut_after=3))),
        Rule(when=When(user="hang"), then=Reply(fault=Fault(hang=True))),
        Rule(then=Reply(text=LONG)),
    )
)


@pytest.fixture
async def model() -> AsyncIterator[ScriptedModel]:
    async with ScriptedModel(SCRIPT, key="sk-test") as running:
        yield running


@pytest.fixture
async def http(model: ScriptedModel) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"Authorization": "Bearer sk-test"}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=5)) as session:
        yield session


def body(text: str, **members: Any) -> dict[str, Any]:
    return {"model": "scripted", "messages": [user(text)], **members}


def events(text: str) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


async def test_a_stream_and_a_whole_answer_say_the_same(model: ScriptedModel, http: aiohttp.ClientSession) -> None:
    url = f"{model.base_url}/chat/completions"
    async with http.post(url, json=body("hi")) as response:
        whole = await response.json()
    options = {"stream": True, "stream_options": {"include_usage": True}}
    async with http.post(url, json=body("hi", **options)) as response:
        chunks = events(await response.text())
    text = "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"])
    assert text == whole["choices"][0]["message"]["content"] == LONG
    assert chunks[-1]["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"] == 300
    assert chunks[-2]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"] == "stop"
    assert whole["system_fingerprint"] == "scripted-model"


async def test_tool_calls_come_whole_and_in_pieces(model: ScriptedModel, http: aiohttp.ClientSession) -> None:
    url = f"{model.base_url}/chat/completions"
    async with http.post(url, json=body("call", tools=[tool("a.b")])) as response:
        [call] = (await response.json())["choices"][0]["message"]["tool_calls"]
    assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == ("a__b", {"x": [1, "é"]})
    async with http.post(url, json=body("call", stream=True, tools=[tool("a.b")])) as response:
        chunks = events(await response.text())
    deltas = [c["choices"][0]["delta"] for c in chunks]
    pieces = [delta["tool_calls"][0]["function"] for delta in deltas if "tool_calls" in delta]
    assert json.loads("".join(piece["arguments"] for piece in pieces)) == {"x": [1, "é"]}
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


async def test_an_answer_ends_where_its_tokens_do(model: ScriptedModel, http: aiohttp.ClientSession) -> None:
    async with http.post(f"{model.base_url}/chat/completions", json=body("hi", max_completion_tokens=3)) as response:
        [choice] = (await response.json())["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("word0 word1 word2", "length")


async def test_latency_counts_per_call_and_per_token(http: aiohttp.ClientSession, model: ScriptedModel) -> None:
    model.call_ms, model.token_ms = 60, 5
    limited = body("hi", max_completion_tokens=10)
    async with http.post(f"{model.base_url}/chat/completions", json=limited) as response:
        await response.read()
    [seen] = model.seen
    assert seen.ended - seen.started >= 0.11


async def test_it_counts_what_it_took_and_at_once(model: ScriptedModel, http: aiohttp.ClientSession) -> None:
    model.call_ms = 30

    async def ask() -> None:
        async with http.post(f"{model.base_url}/chat/completions", json=body("hi")) as response:
            await response.read()

    await asyncio.gather(*(ask() for _ in range(3)))
    assert (model.calls, model.most_in_flight, model.in_flight) == (3, 3, 0)
    assert [seen.outcome for seen in model.seen] == ["done"] * 3
    assert all(count > 0 for count in model.prompt_characters)
    model.forget()
    assert model.calls == 0


async def test_a_caller_that_goes_away_is_noticed(model: ScriptedModel, http: aiohttp.ClientSession) -> None:
    asking = asyncio.create_task(http.post(f"{model.base_url}/chat/completions", json=body("hang")).__aenter__())
    await until(lambda: model.in_flight)
    asking.cancel()
    await until(lambda: not model.in_flight)
    assert model.seen[0].outcome == "abandoned"


async def test_faults_come_as_the_script_has_them(model: ScriptedModel, http: aiohttp.ClientSession) -> None:
    url = f"{model.base_url}/chat/completions"
    async with http.post(url, json=body("busy")) as response:
        assert (response.status, response.headers["Retry-After"]) == (429, "0.1")
    async with http.post(url, json=body("busy")) as response:
        assert response.status == 200
    async with http.post(url, json=body("raw")) as response:
        assert await response.text() == '{"half": '
    with pytest.raises(aiohttp.ClientPayloadError):
        async with http.post(url, json=body("cut", stream=True)) as response:
            await response.read()


@pytest.mark.parametrize(
    ("sent", "status"),
    [(body("hi", model="other"), 404), ({"model": "scripted"}, 400), ({"model": "scripted", "messages": [1]}, 400)],
)
async def test_what_a_provider_refuses_has_its_status(
    model: ScriptedModel, http: aiohttp.ClientSession, sent: dict[str, Any], status: int
) -> None:
    async with http.post(f"{model.base_url}/chat/completions", json=sent) as response:
        assert response.status == status


async def test_another_key_is_refused(model: ScriptedModel, http: aiohttp.ClientSession) -> None:
    headers = {"Authorization": "Bearer sk-other"}
    async with http.post(f"{model.base_url}/chat/completions", json=body("hi"), headers=headers) as response:
        assert response.status == 401
    assert model.calls == 0
