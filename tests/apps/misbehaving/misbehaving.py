"""Fails in every way in which an app can fail, without touching the SDK's internals."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from contextlib import suppress
from typing import Any

from spoke_runner.sdk import App, Call, Refused

app = App()


@app.function
async def echo(call: Call, value: Any) -> dict[str, Any]:
    return {"value": value}


@app.function
async def die(call: Call) -> None:
    os._exit(1)


@app.function
async def hang(call: Call) -> None:
    await asyncio.Event().wait()


@app.function
async def hang_stubborn(call: Call) -> None:
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue


@app.function
async def hang_sync(call: Call) -> None:
    while True:
        time.sleep(1)  # noqa: ASYNC251 -- the point of it


@app.function
async def flood_connection(call: Call) -> None:
    """Write PING frames to the connection with the hub, past gRPC."""
    ping = b"\0\0\x08\x06" + bytes(5 + 8)
    for descriptor in range(3, 64):
        with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as end:
            if end.family == socket.AF_UNIX and str(end.getsockname()).endswith("spoke.sock"):
                end.getpeername()  # of the listener, this fails
                end.setblocking(True)
                while True:
                    end.sendall(ping * 64)


@app.function
async def raise_error(call: Call, message: str) -> None:
    raise RuntimeError(message)


@app.function
async def wrong_result(call: Call) -> dict[str, object]:
    return {"ok": "yes", "more": 1}


@app.function
async def big_result(call: Call, size: int) -> str:
    return "x" * size


@app.function
async def print_flood(call: Call, size: int) -> int:
    for stream in (sys.stdout, sys.stderr):
        left = size
        while left > 0:
            left -= stream.write("x" * min(left, 4095) + "\n")
        stream.flush()
    return size


@app.function
async def recurse(call: Call) -> dict[str, object]:
    try:
        below = await call.invoke("misbehaving.recurse", {})
    except Refused as refused:
        return {"depth": 1, "reason": refused.reason}
    return {"depth": below["depth"] + 1, "reason": below["reason"]}
