"""The shipped apps, loaded as modules, and a call that stands in for the hub's."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from hub.spokes.registry import Installed, RegisteredFunction, Registry
from spoke_runner.sdk import ProbedFunction

APPS = Path(__file__).parents[3] / "apps"


class FakeCall:
    """A call whose asks are answered by functions of the test, or refused with `refuse`."""

    def __init__(self, data: Path, **others: Callable[..., Any]) -> None:
        self.data = data
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._others = others

    async def invoke(self, function: str, arguments: dict[str, Any]) -> Any:
        self.asked.append((function, arguments))
        return self._others[function.replace(".", "_")](**arguments)

    async def probe(self, functions: Sequence[str] = ()) -> list[ProbedFunction]:
        return []

    async def progress(self, text: str, *, answer: bool = False) -> None:
        return None


def load(name: str, apps: Path = APPS) -> ModuleType:
    """Load an app's module under a name of its own."""
    spec = importlib.util.spec_from_file_location(f"shipped_{name}", apps / name / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def shipped() -> Registry:
    """Return the registry of all apps that ship."""
    return Registry(Installed(path.parent) for path in sorted(APPS.glob("*/app.yaml")))


def declared(name: str) -> RegisteredFunction:
    """Return what an app's manifest says of a function."""
    function = shipped().function(name)
    assert function is not None
    return function
