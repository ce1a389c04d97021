"""Quick Ride: a ride company that estimates its fares and compares them with a competitor's."""

from __future__ import annotations

from spoke_runner.sdk import App, Call, Refused

app = App()

BASE = 14.0
PER_LETTER = 1.8


@app.function
async def estimate_fare(call: Call, pickup: str, destination: str) -> dict[str, object]:
    return {"company": "quick_ride", "fare": _fare(pickup, destination)}


@app.function
async def compare_fares(call: Call, pickup: str, destination: str) -> dict[str, object]:
    fares = {"quick_ride": _fare(pickup, destination)}
    missing: dict[str, str] = {}
    try:
        theirs = await call.invoke("metro_hail.estimate_fare", {"pickup": pickup, "destination": destination})
        fares["metro_hail"] = theirs["fare"]
    except Refused as refused:
        # Half a comparison is still of use to whoever asked, as long as it says that it is half.
        missing["metro_hail"] = refused.reason
    return {"fares": fares, "cheapest": min(fares, key=lambda company: fares[company]), "missing": missing}


def _fare(pickup: str, destination: str) -> float:
    # Places have no distances here; the length of their names stands in for it (SecGPT's case study 1).
    return round(BASE + PER_LETTER * (len(pickup) + len(destination)), 2)
