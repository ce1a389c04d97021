"""Asks for whatever it is told to ask for."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from spokegate.v1 import spoke_pb2

from spoke_runner.sdk import App, Call, Refused

app = App()


@app.function
async def ask(call: Call, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [await outcome_of(call, request) for request in requests]


@app.function
async def ask_at_once(call: Call, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return list(await asyncio.gather(*(outcome_of(call, request) for request in requests)))


@app.function
async def probe(call: Call) -> list[str]:
    return [function.name for function in await call.probe()]


@app.function
async def bounce(call: Call, ring: list[str]) -> dict[str, Any]:
    try:
        below = await call.invoke(f"{ring[0]}.bounce", {"ring": [*ring[1:], ring[0]]})
    except Refused as refused:
        return {"depth": 1, "reason": refused.reason}
    return {"depth": below["depth"] + 1, "reason": below["reason"]}


async def outcome_of(call: Any, request: dict[str, Any]) -> dict[str, Any]:
    # Past `call.invoke`, which writes JSON itself: a test wants to write its own.
    text = request.get("text") or json.dumps(request.get("arguments", {}))
    invoke = spoke_pb2.InvokeAsk(function=request["function"], arguments_json=text)
    try:
        answer = await call._ask(spoke_pb2.Ask(invoke=invoke))
    except Refused as refused:
        return {"refused": refused.reason, "message": refused.message, "decision_id": refused.decision_id}
    return {"result": json.loads(answer.invoke.result_json)}
