"""Memory and user data in the SDK, over a real stream: what is asked for, and what a function gets to see of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from spokegate.v1 import error_pb2, memory_pb2, spoke_pb2, spoke_pb2_grpc

from tests.unit.sdk.serving import serving

APP = """
from spoke_runner.sdk import App, Call, Refused

app = App()

@app.function
async def whom(call: Call):
    return dict(call.user_data)

@app.function
async def keep(call: Call):
    await call.remember("city", {"name": "Paris"})
    await call.forget("country")
    await call.say("user", "to Paris")
    return [await call.recall("city"), await call.recall("country", "none"), await call.entries()]

@app.function
async def read_back(call: Call):
    history = await call.history()
    return [history.summary, [[turn.role, turn.text] for turn in history.turns]]

@app.function
async def refused(call: Call):
    try:
        await call.remember("city", "Paris")
    except Refused as error:
        return error.reason

@app.function
async def too_much(call: Call):
    problems = []
    for ask in (call.remember("k", "x" * 65536), call.say("user", "ü" * 40000), call.remember("k", {1, 2})):
        try:
            await ask
        except (ValueError, TypeError) as error:
            problems.append(type(error).__name__)
    await call.say("user", "x" * 65536)
    return problems
"""


@pytest.fixture
async def spoke(tmp_path: Path) -> AsyncIterator[grpc.aio.Channel]:
    app_dir, data = tmp_path / "app", tmp_path / "data"
    app_dir.mkdir()
    data.mkdir()
    name = f"app_{abs(hash(tmp_path))}"  # modules are kept by name, and each test wants its own
    (app_dir / f"{name}.py").write_text(APP)
    async with serving(f"{name}:app", app_dir, data, tmp_path / "s") as channel:
        yield channel


class Hub:
    """Answers as a hub with this memory, and keeps what it was asked."""

    def __init__(self, channel: grpc.aio.Channel, *, refuses: bool = False) -> None:
        self.asked: list[spoke_pb2.Ask] = []
        self._stub = spoke_pb2_grpc.SpokeServiceStub(channel)
        self._refuses = refuses
        self._entries: dict[str, str] = {"country": '"France"'}
        self._turns: list[memory_pb2.MemoryTurn] = []

    async def call(self, function: str, **user_data: str) -> Any:
        stream = self._stub.Run(timeout=10)
        start = spoke_pb2.Start(function=function, arguments_json="{}", ask_window=4, user_data_json=user_data)
        await stream.write(spoke_pb2.RunRequest(start=start))
        while True:
            frame = await stream.read()
            assert isinstance(frame, spoke_pb2.RunResponse)
            if frame.WhichOneof("frame") == "result":
                assert frame.result.WhichOneof("outcome") == "result_json", frame.result
                return json.loads(frame.result.result_json)
            self.asked.append(frame.ask)
            await stream.write(self._reply(frame.ask))

    def _reply(self, ask: spoke_pb2.Ask) -> spoke_pb2.RunRequest:
        if self._refuses:
            refusal = spoke_pb2.Refusal(ask_id=ask.ask_id, reason=error_pb2.ERROR_REASON_POLICY_DENIED)
            return spoke_pb2.RunRequest(refusal=refusal)
        answer = spoke_pb2.Answer(ask_id=ask.ask_id)
        if ask.WhichOneof("kind") == "remember":
            answer.remember.SetInParent()
            self._remember(ask.remember)
        else:
            answer.recall.CopyFrom(self._recall(ask.recall))
        return spoke_pb2.RunRequest(answer=answer)

    def _remember(self, ask: spoke_pb2.RememberAsk) -> None:
        match ask.WhichOneof("what"):
            case "entry":
                self._entries[ask.entry.key] = ask.entry.value_json
            case "turn":
                self._turns.append(ask.turn)
            case "forget_key":
                del self._entries[ask.forget_key]

    def _recall(self, ask: spoke_pb2.RecallAsk) -> spoke_pb2.RecallAnswer:
        if ask.WhichOneof("what") == "history":
            return spoke_pb2.RecallAnswer(summary="They like cities.", turns=self._turns)
        keys = [ask.key] if ask.WhichOneof("what") == "key" else sorted(self._entries)
        held = [memory_pb2.MemoryEntry(key=key, value_json=self._entries[key]) for key in keys if key in self._entries]
        return spoke_pb2.RecallAnswer(entries=held)


async def test_a_function_sees_of_the_user_what_its_start_carries(spoke: grpc.aio.Channel) -> None:
    hub = Hub(spoke)
    told = await hub.call("whom", email='"a@b.c"', heart='{"surgery":2019}')
    assert told == {"email": "a@b.c", "heart": {"surgery": 2019}}
    assert await hub.call("whom") == {}


async def test_what_a_function_keeps_it_finds_again(spoke: grpc.aio.Channel) -> None:
    hub = Hub(spoke)
    assert await hub.call("keep") == [{"name": "Paris"}, "none", {"city": {"name": "Paris"}}]
    assert await hub.call("read_back") == ["They like cities.", [["user", "to Paris"]]]
    assert hub.asked[0].remember.entry.value_json == '{"name":"Paris"}'


async def test_a_memory_that_refuses_is_an_exception(spoke: grpc.aio.Channel) -> None:
    assert await Hub(spoke, refuses=True).call("refused") == "POLICY_DENIED"


async def test_what_is_too_large_to_keep_is_not_even_asked_for(spoke: grpc.aio.Channel) -> None:
    hub = Hub(spoke)
    assert await hub.call("too_much") == ["ValueError", "ValueError", "TypeError"]
    assert [ask.remember.WhichOneof("what") for ask in hub.asked] == ["turn"]
