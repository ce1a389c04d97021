"""Builders of app directories for the tests of this folder."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

GOOD: dict[str, Any] = {
    "manifest": 1,
    "name": "metro_hail",
    "version": "1.0.0",
    "description": "Estimates fares.",
    "kind": "tool",
    "entry": "metro_hail:app",
    "functions": {
        "estimate_fare": {
            "description": "Estimates a fare.",
            "effect": "read",
            "egress": False,
            "control_arguments": ["/pickup"],
            "labels": {"confidentiality": ["place"], "integrity": []},
            "arguments": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"pickup": {"type": "string"}, "destination": {"type": "string"}},
                "required": ["pickup", "destination"],
            },
            "result": {"type": "object"},
        }
    },
    "asks": ["quick_ride.estimate_fare"],
}
CODE = """\
from spoke_runner.sdk import App, Call

app = App()


@app.function
async def estimate_fare(call: Call, pickup: str, destination: str) -> dict[str, object]:
    return await call.invoke("quick_ride.estimate_fare", {"pickup": pickup, "destination": destination})
"""


def manifest(**changes: Any) -> dict[str, Any]:
    """Return a good manifest with some fields changed; None removes one; `a__b` reaches into `a`."""
    data = copy.deepcopy(GOOD)
    for key, value in changes.items():
        *parents, last = key.split("__")
        node = data
        for parent in parents:
            node = node[parent]
        if value is None:
            node.pop(last, None)
        else:
            node[last] = value
    return data


def write_app(directory: Path, *, code: str = CODE, text: str | None = None, **changes: Any) -> Path:
    """Write an app's directory and return it; `text` is the manifest's own text."""
    directory.mkdir(parents=True, exist_ok=True)
    data = manifest(**changes)
    (directory / "app.yaml").write_text(text if text is not None else yaml.safe_dump(data, sort_keys=False))
    if "entry" in data:
        (directory / f"{str(data['entry']).partition(':')[0]}.py").write_text(code)
    return directory


def line_of(path: Path, text: str) -> int:
    """Return the first line of a file that holds a text."""
    return next(number for number, line in enumerate(path.read_text().splitlines(), 1) if text in line)
