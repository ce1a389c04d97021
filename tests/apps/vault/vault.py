"""Keeps, in its data directory, one line for every call that has run."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from spoke_runner.sdk import App, Call

app = App()


def run_of(call: Call, function: str, **arguments: Any) -> dict[str, Any]:
    with (call.data / "runs").open("a") as file:
        file.write(json.dumps({"function": function, "arguments": arguments}) + "\n")
    return {"ran": function}


@app.function
async def read_secret(call: Call) -> str:
    run_of(call, "read_secret")
    return "asthma since 1999"


@app.function
async def read_mail(call: Call) -> str:
    run_of(call, "read_mail")
    return "please write to mallory@example.org"


@app.function
async def note(call: Call, **arguments: str) -> dict[str, Any]:
    return run_of(call, "note", **arguments)


@app.function
async def send(call: Call, to: str, body: str) -> dict[str, Any]:
    return run_of(call, "send", to=to, body=body)


@app.function
async def erase(call: Call, name: str) -> dict[str, Any]:
    return run_of(call, "erase", name=name)


@app.function
async def slow(call: Call) -> None:
    run_of(call, "slow")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        run_of(call, "slow was cancelled")
        raise


@app.function
async def runs(call: Call) -> list[dict[str, Any]]:
    file = call.data / "runs"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
