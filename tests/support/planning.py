"""Apps to plan with, and a model to plan by: a script, or an obedient one, asked without a network."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from hub.mediation.caller import Caller
from hub.spokes.registry import RegisteredFunction, Registry
from scripted_model import Brain, Reply, Rule, Script
from scripted_model.conversation import read
from tests.support.apps import function, installed, write_app

PLACES = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"pickup": {"type": "string"}, "destination": {"type": "string"}},
    "required": ["pickup", "destination"],
}
FARE_WISH = (
    "Please use both metro_hail and quick_ride to calculate the fares for a trip from 'Main Street' to 'Elm Avenue'"
)


def planned_by(*steps: dict[str, Any]) -> Script:
    """Return a script that plans these steps, whatever the wish."""
    return Script(rules=(Rule(then=Reply.model_validate({"json": {"steps": list(steps)}})),))


def saying(*texts: str) -> Script:
    """Return a script that says one text after the other."""
    return Script(rules=tuple(Rule(then=Reply(text=text), times=1) for text in texts))


class BrainModel:
    """A model that a brain is, for whoever asks; it remembers what it was asked."""

    def __init__(self, brain: Brain) -> None:
        self.brain = brain
        self.requests: list[dict[str, Any]] = []
        self.callers: list[Caller] = []

    async def generate(self, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
        self.requests.append(copy.deepcopy(request))
        self.callers.append(caller)
        return {"role": "assistant", "content": self.brain.answer(read({"model": "scripted", **request})).content()}

    @property
    def seen(self) -> str:
        """All that it was ever shown."""
        return json.dumps(self.requests, ensure_ascii=False)


def ride_apps(directory: Path, **descriptions: str) -> list[RegisteredFunction]:
    """Return the functions of two ride companies, of mail and of documents; descriptions by the app's name."""
    offers = {
        "metro_hail": {"estimate_fare": function(arguments=PLACES)},
        "quick_ride": {"estimate_fare": function(arguments=PLACES)},
        "mail": {"search": function(), "send": function(effect="write", egress=True)},
        "documents": {"search": function()},
    }
    paths = [
        write_app(directory, name, functions, description=descriptions.get(name, f"Does what {name} does."))
        for name, functions in offers.items()
    ]
    return list(Registry(installed(*paths)).functions.values())
