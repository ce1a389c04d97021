"""Travel mate: flights that are made up, and bookings that it keeps in its data directory, as an airline would."""

from __future__ import annotations

import json
from typing import Any

from spoke_runner.sdk import Agent, Call

app = Agent()

DEPARTURES = ("07:10", "13:45", "19:30")


@app.function
async def find_flights(call: Call, origin: str, destination: str, date: str) -> dict[str, object]:
    return {"flights": _flights(origin, destination)}


@app.function
async def book_flight(call: Call, origin: str, destination: str, date: str, notes: str = "") -> dict[str, object]:
    cheapest = min(_flights(origin, destination), key=lambda flight: flight["price"])
    path = call.data / "bookings.jsonl"
    number = f"T-{len(path.read_text().splitlines()) + 1 if path.exists() else 1}"
    booking = {"booking": number, "origin": origin, "destination": destination, "date": date, "notes": notes}
    with path.open("a") as file:
        file.write(json.dumps(booking) + "\n")
    return {"booking": number, "flight": cheapest["flight"], "price": cheapest["price"]}


def _flights(origin: str, destination: str) -> list[dict[str, Any]]:
    # There is no timetable here; the letters of the places stand in for one.
    base = 90.0 + 7.5 * (len(origin) + len(destination))
    return [
        {"flight": f"TM{100 + index}", "departs": departs, "price": round(base + 40.0 * ((index + 1) % 3), 2)}
        for index, departs in enumerate(DEPARTURES)
    ]
