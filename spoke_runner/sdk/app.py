"""The App object: the functions of one app, by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

AppFunction = Callable[..., Coroutine[Any, Any, Any]]
"""Takes the `Call`, then the arguments by keyword; returns what `json` can write."""

_F = TypeVar("_F", bound=AppFunction)


class App:
    """The functions that an app offers."""

    def __init__(self) -> None:
        self._functions: dict[str, AppFunction] = {}

    def function(self, implementation: _F) -> _F:
        """Offer an async function under its own name, which is the name that the manifest declares.

        Raises:
            TypeError: It is not an `async def`.
            ValueError: A function of that name is already there.
        """
        name = implementation.__name__
        if not inspect.iscoroutinefunction(implementation):
            raise TypeError(f"{name} must be an async function: write `async def {name}(call, ...)`")
        if name in self._functions:
            raise ValueError(f"{name} is defined twice")
        self._functions[name] = implementation
        return implementation

    def get(self, name: str) -> AppFunction | None:
        """Return the function of that name."""
        return self._functions.get(name)
