"""Health companion: a record of the user's health, and appointments. It keeps both in its data directory."""

from __future__ import annotations

import json
from typing import Any

from spoke_runner.sdk import Agent, Call

app = Agent()


@app.function
async def record(call: Call, **told: Any) -> dict[str, object]:
    known = _read(call, "profile")
    _write(call, "profile", {**known, **told})
    return {"recorded": sorted(told)}


@app.function
async def profile(call: Call) -> dict[str, object]:
    return _read(call, "profile")


@app.function
async def book_appointment(call: Call, reason: str, date: str) -> dict[str, object]:
    booked = _read(call, "appointments")
    number = f"A-{len(booked) + 1}"
    _write(call, "appointments", {**booked, number: {"reason": reason, "date": date}})
    return {"appointment": number, "date": date}


def _read(call: Call, name: str) -> dict[str, Any]:
    try:
        kept: dict[str, Any] = json.loads((call.data / f"{name}.json").read_text())
    except FileNotFoundError:
        return {}
    return kept


def _write(call: Call, name: str, value: dict[str, Any]) -> None:
    # Whole or not at all, whenever the spoke is ended; nothing is awaited in between, so calls do not meet here.
    new = call.data / f"{name}.new"
    new.write_text(json.dumps(value))
    new.replace(call.data / f"{name}.json")
