"""What provenance costs: all that can be traced in a call, in as much as a session keeps and in a quarter of that."""

from __future__ import annotations

import time

from hub.mediation.provenance import (
    MAX_RESULT_CHARACTERS,
    MAX_TRACED_VALUES,
    MAX_USER_CHARACTERS,
    Evidence,
    Reading,
)
from tests.bench.figures import Figure, median
from tests.bench.measure import milliseconds

ROUNDS = 20

_TEXT_CHARACTERS = 1 << 12
_VALUES = {f"value{number}": f"sought {number}" for number in range(MAX_TRACED_VALUES)}


def run() -> list[Figure]:
    """Trace values that stand nowhere, so that all is looked through."""
    whole, quarter = _evidence(1.0), _evidence(0.25)
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for evidence, found in zip((whole, quarter), seconds, strict=True):
            started = time.perf_counter()
            traced = evidence.of(_VALUES)
            found.append(time.perf_counter() - started)
            if any(provenance.user or provenance.sources for provenance in traced.values()):
                raise RuntimeError("a value that nobody said was found")
    of_whole, of_quarter = (median(milliseconds(found)) for found in seconds)
    return [
        Figure(
            f"provenance of {MAX_TRACED_VALUES} values in {_characters(1.0) >> 10} Ki characters; a quarter of them",
            of_whole,
            "ms",
            of_quarter,
            aim="ratio ≤ 4, linear",
        )
    ]


def _characters(share: float) -> int:
    return int(share * (MAX_USER_CHARACTERS + MAX_RESULT_CHARACTERS))


def _evidence(share: float) -> Evidence:
    evidence = Evidence()
    text = " ".join(f"word{number}" for number in range(_TEXT_CHARACTERS // 8))
    for number in range(int(share * MAX_USER_CHARACTERS) // _TEXT_CHARACTERS):
        evidence.add_user_text(f"{number} {text}"[:_TEXT_CHARACTERS])
        evidence.add_result(Reading("archive.find"), [f"{number} {text}"[:_TEXT_CHARACTERS]], {})
    return evidence
