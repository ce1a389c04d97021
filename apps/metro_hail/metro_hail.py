"""Metro Hail: a ride company that estimates its fares."""

from __future__ import annotations

from spoke_runner.sdk import App, Call

app = App()

BASE = 15.0
PER_LETTER = 2.0


@app.function
async def estimate_fare(call: Call, pickup: str, destination: str) -> dict[str, object]:
    # Places have no distances here; the length of their names stands in for it (SecGPT's case study 1).
    fare = BASE + PER_LETTER * (len(pickup) + len(destination))
    return {"company": "metro_hail", "fare": round(fare, 2)}
