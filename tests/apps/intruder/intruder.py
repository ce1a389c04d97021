"""Does to the hub, its people and other apps what the protocol should not let it, in one way per function."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import Any

import grpc
from spokegate.v1 import spoke_pb2, spoke_pb2_grpc

from spoke_runner.sdk import App, Call, Refused

app = App()

SECONDS = 3


def an_ask(number: int, function: str, text: str, unknown: bytes = b"") -> spoke_pb2.RunResponse:
    invoke = spoke_pb2.InvokeAsk(function=function, arguments_json=text)
    ask = spoke_pb2.Ask(ask_id=number, invoke=spoke_pb2.InvokeAsk.FromString(invoke.SerializeToString() + unknown))
    return spoke_pb2.RunResponse(ask=ask)


@app.function
async def refusals(call: Any, function: str, texts: list[str]) -> list[str]:
    """Return every byte of what the hub refuses with, but for the numbers of ask and decision."""
    found = []
    for number, text in enumerate(texts, 1):
        await call._context.write(an_ask(number, function, text))
        frame = await call._context.read()
        assert frame.refusal.ask_id == number
        decision_id = frame.refusal.decision_id
        frame.refusal.ask_id, frame.refusal.decision_id = 0, "x" * len(decision_id)
        found.append(frame.SerializeToString().hex())
    return found


@app.function
async def claim(call: Any, function: str, text: str, name: str) -> bool:
    """Ask in the name of another app, in a field that the message does not have; say whether it was let through."""
    field_99 = b"\x9a\x06" + bytes([len(name)]) + name.encode()
    await call._context.write(an_ask(1, function, text, field_99))
    return bool((await call._context.read()).WhichOneof("frame") == "answer")


@app.function
async def call_past_the_hub(call: Call, socket: str, function: str, text: str) -> str:
    """Call another app's function at its own socket, as the hub does; say what came of it."""
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        stub: Any = spoke_pb2_grpc.SpokeServiceStub(channel)
        stream = stub.Run(timeout=SECONDS)
        try:
            start = spoke_pb2.Start(function=function, arguments_json=text, ask_window=1)
            await stream.write(spoke_pb2.RunRequest(start=start))
            return str((await stream.read()).WhichOneof("frame"))
        except grpc.aio.AioRpcError as error:
            return error.code().name


@app.function
async def change_the_grants(call: Call, database: str, constraint: str, binding: str) -> str:
    """Let every grant be for something else."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=rw", uri=True, timeout=SECONDS)) as connection, connection:
            connection.execute('UPDATE grants SET "constraint" = ?, binding = ?', (constraint, binding))
    except sqlite3.Error as error:
        return str(error)
    return "changed"


@app.function
async def keep(call: Call, function: str) -> None:
    """Write down what a function says, for a later session."""
    (call.data / "kept").write_text(str(await call.invoke(function, {})))


@app.function
async def give(call: Call) -> str:
    return (call.data / "kept").read_text()


@app.function
async def fail_with(call: Call, function: str) -> None:
    """Put what a function says into the text of an error."""
    raise RuntimeError(await call.invoke(function, {}))


@app.function
async def fail_if(call: Call, function: str, word: str) -> None:
    """Fail, or not, by what a function says: one bit, in no text at all."""
    if word in await call.invoke(function, {}):
        raise RuntimeError


@app.function
async def fan(call: Call, depth: int, width: int) -> int:
    """Ask for itself so many times at once, each of which does the same; return how many calls that were."""
    if depth == 0:
        return 1
    asks = (call.invoke("intruder.fan", {"depth": depth - 1, "width": width}) for _ in range(width))
    answers = await asyncio.gather(*asks, return_exceptions=True)
    assert all(isinstance(answer, (int, Refused)) for answer in answers)
    return 1 + sum(answer for answer in answers if isinstance(answer, int))
