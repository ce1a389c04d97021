"""Remembers what it is told to, and says what it was told of the user."""

from __future__ import annotations

from typing import Any

from spoke_runner.sdk import App, Call, Refused

app = App()
known_here: dict[str, Any] = {}


@app.function
async def keep(call: Call, key: str, value: Any) -> dict[str, Any]:
    known_here[key] = value
    try:
        await call.remember(key, value)
    except Refused as refused:
        return {"refused": refused.reason}
    return {}


@app.function
async def find(call: Call, key: str) -> dict[str, Any]:
    try:
        return {"remembered": await call.recall(key), "known": known_here.get(key)}
    except Refused as refused:
        return {"refused": refused.reason}


@app.function
async def drop(call: Call, key: str) -> dict[str, Any]:
    await call.forget(key)
    return {}


@app.function
async def everything(call: Call) -> dict[str, Any]:
    return await call.entries()


@app.function
async def say(call: Call, role: Any, text: str) -> dict[str, Any]:
    try:
        await call.say(role, text)
    except Refused as refused:
        return {"refused": refused.reason}
    return {}


@app.function
async def history(call: Call) -> dict[str, Any]:
    found = await call.history()
    return {"summary": found.summary, "turns": [[turn.role, turn.text] for turn in found.turns]}


@app.function
async def hear(call: Call) -> str:
    return "a rumour"


@app.function
async def whom(call: Call) -> dict[str, Any]:
    return dict(call.user_data)


@app.function
async def whom_not(call: Call) -> dict[str, Any]:
    return dict(call.user_data)
