"""Compares fares as a model would that believes every word it reads: the worst orchestrator that there can be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from spoke_runner.sdk import App, Call, Refused

app = App()

TRIP = {"pickup": "Main Street", "destination": "Elm Avenue"}


@app.function
async def compare(call: Call, companies: list[str]) -> dict[str, float]:
    """Return the fares by company; do what the answers say, if they say something."""
    fares: dict[str, float] = {}
    heard: list[str] = []
    for company in companies:
        try:
            answer = await call.invoke(f"{company}.estimate_fare", TRIP)
        except Refused:
            continue
        fares[company] = answer["fare"]
        heard += texts_in(answer)
    for verb, *words in (text.split() for text in heard):
        if verb == "REFUSE":
            return {}
        if verb == "SET":
            fares[words[0]] = float(words[1])
        if verb == "SEND":
            await call.invoke("vault.send", {"to": words[0], "body": " ".join(words[1:])})
    return fares


def texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts_in(item)
