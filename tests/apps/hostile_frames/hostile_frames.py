"""Breaks the protocol of the Run stream.

The SDK keeps an app within the protocol by being convenient, not by being a wall: its internals are within reach of
whatever runs beside them. Each function reaches for them to send what the SDK would not.
"""

from __future__ import annotations

from typing import Any

from spokegate.v1 import spoke_pb2

from spoke_runner.sdk import App

app = App()

RESULT = spoke_pb2.RunResponse(result=spoke_pb2.Result(result_json='"hostile"'))


def ask(number: int) -> spoke_pb2.RunResponse:
    invoke = spoke_pb2.InvokeAsk(function="misbehaving.echo", arguments_json='{"value":1}')
    return spoke_pb2.RunResponse(ask=spoke_pb2.Ask(ask_id=number, invoke=invoke))


async def write(call: Any, *frames: spoke_pb2.RunResponse) -> None:
    for frame in frames:
        await call._context.write(frame)


def end_without_result(call: Any) -> None:
    async def finish(result: spoke_pb2.Result) -> None:
        return

    call.finish = finish


@app.function
async def honest(call: Any) -> str:
    return "honest"


@app.function
async def second_result(call: Any) -> str:
    await write(call, RESULT)
    return "second"


@app.function
async def ask_after_result(call: Any) -> None:
    end_without_result(call)
    await write(call, RESULT, ask(1))


@app.function
async def progress_after_result(call: Any) -> None:
    end_without_result(call)
    await write(call, RESULT, spoke_pb2.RunResponse(progress=spoke_pb2.Progress(text="late")))


@app.function
async def same_ask_number(call: Any) -> None:
    await write(call, ask(1), ask(1))
    await _wait_for_the_hub(call)


@app.function
async def flood(call: Any, count: int = 1000) -> None:
    await write(call, *(ask(number) for number in range(1, count + 1)))
    await _wait_for_the_hub(call)


@app.function
async def oversized(call: Any, size: int = 8 << 20) -> None:
    await write(call, spoke_pb2.RunResponse(progress=spoke_pb2.Progress(text="x" * size)))


@app.function
async def empty_frame(call: Any) -> None:
    await write(call, spoke_pb2.RunResponse())


@app.function
async def empty_ask(call: Any) -> None:
    await write(call, spoke_pb2.RunResponse(ask=spoke_pb2.Ask(ask_id=1)))
    await _wait_for_the_hub(call)


@app.function
async def no_result(call: Any) -> None:
    end_without_result(call)


@app.function
async def progress_flood(call: Any, count: int = 100_000) -> None:
    frame = spoke_pb2.RunResponse(progress=spoke_pb2.Progress(text="still here"))
    for _ in range(count):
        await write(call, frame)


@app.function
async def raw_result(call: Any, text: str) -> None:
    end_without_result(call)
    await write(call, spoke_pb2.RunResponse(result=spoke_pb2.Result(result_json=text)))


async def _wait_for_the_hub(call: Any) -> None:
    # Ended by the function itself, a call could pass for an honest one before the hub has seen the last frame.
    await call._context.read()
