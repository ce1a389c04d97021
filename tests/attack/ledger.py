"""The table of the attacks on the protocol: each one is tried with the defence and without it, and both are on record.

An attack is a test that says whether it came through. With the defence it must not; without it, which is the control,
it must, or the test would prove nothing.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ParamSpec

import pytest

TABLE = Path(__file__).parents[2] / "build" / "attack-protocol.json"

P = ParamSpec("P")


@dataclass
class Attack:
    """One attack.

    Attributes:
        what: What is tried.
        stopped_by: What stops it, and what the control is without.
        replays: Which weaknesses (1.4.1 to 1.4.14, B1 to B16) of SecGPT or published attacks (ACE) it replays.
        tried: Whether it came through, each time that it was tried, with the defence and without it.
    """

    what: str
    stopped_by: str
    replays: str
    tried: dict[bool, list[bool | None]] = field(default_factory=lambda: {True: [], False: []})

    @property
    def row(self) -> dict[str, str]:
        """How it stands in the table."""
        return {
            "attack": self.what,
            "replays": self.replays,
            "stopped_by": self.stopped_by,
            "with_defence": _outcome(self.tried[True]),
            "control": _outcome(self.tried[False]),
        }


ATTACKS: dict[str, Attack] = {}


def attack(
    what: str, *, stopped_by: str, replays: str = ""
) -> Callable[[Callable[P, Awaitable[bool]]], Callable[P, Awaitable[None]]]:
    """Make a test of an attack: a coroutine with the parameter `defended`, which returns whether it came through."""
    made = ATTACKS.setdefault(what, Attack(what, stopped_by, replays))

    def decorate(attempt: Callable[P, Awaitable[bool]]) -> Callable[P, Awaitable[None]]:
        @pytest.mark.parametrize("defended", [True, False], ids=["defended", "control"])
        @functools.wraps(attempt)
        async def test(*args: P.args, **kwargs: P.kwargs) -> None:
            defended, came_through = bool(kwargs["defended"]), None
            try:
                came_through = await attempt(*args, **kwargs)
            finally:
                made.tried[defended].append(came_through)
            if defended:
                assert not came_through, f"the attack came through: {what}"
            else:
                assert came_through, f"the control did not come through, so the attack proves nothing: {what}"

        return test

    return decorate


def write_table() -> list[str]:
    """Write what was tried to `build/attack-protocol.json`, and return it as lines for a person."""
    rows = [made.row for made in ATTACKS.values() if any(made.tried.values())]
    if not rows:
        return []
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(json.dumps(rows, indent=1) + "\n")
    widths = {name: max(len(row[name]) for row in [*rows, {name: name}]) for name in rows[0]}
    head = {name: name.replace("_", " ") for name in widths}
    lines = ["  ".join(f"{row[name]:<{widths[name]}}" for name in widths).rstrip() for row in [head, *rows]]
    blocked = sum(row["with_defence"] == "blocked" for row in rows)
    control = sum(row["control"] == "succeeded" for row in rows)
    return [*lines, f"{len(rows)} attacks: {blocked} blocked with the defence, {control} succeeded without it"]


def _outcome(tried: list[bool | None]) -> str:
    """Return one word for all tries of an attack, by the one that matters most."""
    if not tried:
        return "not tried"
    if None in tried:
        return "failed"
    if len(set(tried)) > 1:
        return "MIXED"
    return "succeeded" if tried[0] else "blocked"
