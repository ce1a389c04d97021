"""The SDK's side of asking the model: pieces, the end, refusals, and answers that nobody waits for any more."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from spokegate.v1 import error_pb2, spoke_pb2, spoke_pb2_grpc

from tests.unit.sdk.serving import serving

APP = """
import asyncio
from spoke_runner.sdk import App, Call, Refused

app = App()
HI = [{"role": "user", "content": "Hi"}]

@app.function
async def listen(call: Call):
    pieces = []
    async def on_text(text): pieces.append(text)
    try:
        answer = await call.generate(HI, on_text=on_text, temperature=0)
    except Refused as refused:
        return [pieces, refused.reason]
    return [pieces, answer.text, answer.tool_calls, answer.finish_reason, answer.prompt_tokens]

@app.function
async def only_the_end(call: Call):
    return (await call.generate(HI, tools=[{"type": "function", "function": {"name": "f"}}])).message

@app.function
async def give_up(call: Call):
    heard = asyncio.Event()
    async def on_text(text): heard.set()
    asking = asyncio.create_task(call.generate(HI, on_text=on_text))
    await heard.wait()
    asking.cancel()
    return await call.invoke("a.b", {})

@app.function
async def deaf(call: Call):
    async def on_text(text): raise ValueError("I do not listen")
    await call.generate(HI, on_text=on_text)

@app.function
async def two(call: Call):
    async def one(name):
        said = []
        async def on_text(text): said.append(text)
        await call.generate([{"role": "user", "content": name}], on_text=on_text)
        return "".join(said)
    return await asyncio.gather(one("first"), one("second"))

@app.function
async def too_much(call: Call):
    await call.generate([{"role": "user", "content": "x" * (1 << 20)}])
"""


def text(number: int, piece: str) -> spoke_pb2.RunRequest:
    part = spoke_pb2.GenerateAnswer(text=piece)
    return spoke_pb2.RunRequest(answer=spoke_pb2.Answer(ask_id=number, generate=part))


def end(number: int, message: dict[str, Any], reason: str = "stop") -> spoke_pb2.RunRequest:
    whole = spoke_pb2.GenerateEnd(message_json=json.dumps(message), finish_reason=reason, prompt_tokens=7)
    part = spoke_pb2.GenerateAnswer(end=whole)
    return spoke_pb2.RunRequest(answer=spoke_pb2.Answer(ask_id=number, generate=part))


class Hub:
    """The test in the hub's place, with one stream."""

    def __init__(self, stub: Any, function: str) -> None:
        self._stream = stub.Run(timeout=10)
        self._function = function

    async def start(self) -> None:
        start = spoke_pb2.Start(function=self._function, arguments_json="{}", ask_window=4)
        await self._stream.write(spoke_pb2.RunRequest(start=start))

    async def read(self) -> spoke_pb2.RunResponse:
        frame = await self._stream.read()
        assert isinstance(frame, spoke_pb2.RunResponse)
        return frame

    async def write(self, *frames: spoke_pb2.RunRequest) -> None:
        for frame in frames:
            await self._stream.write(frame)

    async def result(self) -> Any:
        result = (await self.read()).result
        assert result.WhichOneof("outcome") == "result_json", result.failure.detail
        return json.loads(result.result_json)

    async def failure(self) -> str:
        return (await self.read()).result.failure.detail


@pytest.fixture
async def stub(tmp_path: Path) -> AsyncIterator[Any]:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "listener.py").write_text(APP)
    async with serving("listener:app", tmp_path / "app", tmp_path, tmp_path / "s") as channel:
        yield spoke_pb2_grpc.SpokeServiceStub(channel)


async def run(stub: Any, function: str) -> Hub:
    hub = Hub(stub, function)
    await hub.start()
    return hub


async def test_the_pieces_come_in_order_and_the_end_is_the_answer(stub: Any) -> None:
    hub = await run(stub, "listen")
    ask = (await hub.read()).ask
    assert json.loads(ask.generate.request_json) == {
        "messages": [{"role": "user", "content": "Hi"}],
        "temperature": 0,
    }
    await hub.write(text(1, "Hel"), text(1, "lo"), end(1, {"role": "assistant", "content": "Hello"}))
    assert await hub.result() == [["Hel", "lo"], "Hello", [], "stop", 7]


async def test_whoever_does_not_listen_gets_the_end(stub: Any) -> None:
    hub = await run(stub, "only_the_end")
    assert json.loads((await hub.read()).ask.generate.request_json)["tools"][0]["function"]["name"] == "f"
    await hub.write(text(1, "Hel"), end(1, {"role": "assistant", "content": "Hello"}))
    assert await hub.result() == {"role": "assistant", "content": "Hello"}


async def test_a_refusal_may_come_after_pieces(stub: Any) -> None:
    hub = await run(stub, "listen")
    await hub.read()
    refusal = spoke_pb2.Refusal(ask_id=1, reason=error_pb2.ERROR_REASON_MODEL_UNAVAILABLE)
    await hub.write(text(1, "Hel"), spoke_pb2.RunRequest(refusal=refusal))
    pieces, reason = await hub.result()
    assert reason == "MODEL_UNAVAILABLE"
    assert pieces in ([], ["Hel"])


async def test_an_answer_that_was_given_up_disturbs_no_other(stub: Any) -> None:
    hub = await run(stub, "give_up")
    await hub.read()
    await hub.write(text(1, "Hel"))
    assert (await hub.read()).ask.invoke.function == "a.b"
    answer = spoke_pb2.Answer(ask_id=2, invoke=spoke_pb2.InvokeAnswer(result_json="5"))
    await hub.write(text(1, "lo"), end(1, {"content": "Hello"}), spoke_pb2.RunRequest(answer=answer))
    assert await hub.result() == 5


async def test_two_answers_at_once_are_told_apart(stub: Any) -> None:
    hub = await run(stub, "two")
    asks = [(await hub.read()).ask for _ in range(2)]
    said = {ask.ask_id: json.loads(ask.generate.request_json)["messages"][0]["content"] for ask in asks}
    for piece in ("a", "b"):
        await hub.write(*(text(number, f"{name}-{piece} ") for number, name in said.items()))
    await hub.write(*(end(number, {"content": ""}) for number in said))
    assert await hub.result() == ["first-a first-b ", "second-a second-b "]


async def test_a_listener_that_fails_fails_the_call(stub: Any) -> None:
    hub = await run(stub, "deaf")
    await hub.read()
    await hub.write(text(1, "Hel"), end(1, {"content": "Hello"}))
    assert "I do not listen" in await hub.failure()


async def test_a_request_beyond_the_cap_is_not_sent(stub: Any) -> None:
    hub = await run(stub, "too_much")
    assert "larger than" in await hub.failure()


async def test_a_piece_of_no_ask_ends_the_call(stub: Any) -> None:
    hub = await run(stub, "listen")
    await hub.read()
    await hub.write(text(9, "Hel"))
    with pytest.raises((grpc.aio.AioRpcError, AssertionError)):
        await hub.result()
