"""The hostile app really sends what its functions say: or the hub's tests would prove nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from spokegate.v1 import spoke_pb2, spoke_pb2_grpc

from tests.unit.sdk.serving import serving

APPS = Path(__file__).parents[2] / "apps"

Frames = Callable[..., Awaitable[list[str]]]


@pytest.fixture
async def frames(tmp_path: Path) -> AsyncIterator[Frames]:
    """Return a function that runs one of the app's, and returns what it sent."""
    app = APPS / "hostile_frames"
    async with serving("hostile_frames:app", app, tmp_path, tmp_path / "s") as channel:
        stub: Any = spoke_pb2_grpc.SpokeServiceStub(channel)

        async def run(function: str, **arguments: object) -> list[str]:
            stream = stub.Run(timeout=10)
            start = spoke_pb2.Start(function=function, arguments_json=json.dumps(arguments), ask_window=2)
            await stream.write(spoke_pb2.RunRequest(start=start))
            # Nothing will be answered, so those that wait for the hub wait no longer.
            await stream.done_writing()
            sent: list[str] = []
            while (frame := await stream.read()) is not grpc.aio.EOF:
                kind = frame.WhichOneof("frame")
                sent.append(f"ask {frame.ask.ask_id}" if kind == "ask" else str(kind))
            return sent

        yield run


@pytest.mark.parametrize(
    ("function", "sends"),
    [
        ("honest", ["result"]),
        ("second_result", ["result", "result"]),
        ("ask_after_result", ["result", "ask 1"]),
        ("progress_after_result", ["result", "progress"]),
        ("same_ask_number", ["ask 1", "ask 1", "result"]),
        ("empty_frame", ["None", "result"]),
        ("empty_ask", ["ask 1", "result"]),
        ("no_result", []),
    ],
)
async def test_a_function_sends_what_it_says(frames: Frames, function: str, sends: list[str]) -> None:
    assert await frames(function) == sends


async def test_the_flood_does_not_keep_to_the_window(frames: Frames) -> None:
    assert await frames("flood", count=50) == [*(f"ask {number}" for number in range(1, 51)), "result"]


async def test_the_oversized_frame_is_too_large_for_a_default_channel(frames: Frames) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await frames("oversized", size=5 << 20)
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_raw_result_is_sent_as_it_is(frames: Frames) -> None:
    assert await frames("raw_result", text='{"a":1,"a":NaN}') == ["result"]
