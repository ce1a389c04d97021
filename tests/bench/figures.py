"""What the bench found, as figures: percentiles, the table that is printed, the list that is kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure, beside what it is compared with in the same run.

    Attributes:
        name: What was measured.
        value: How much.
        unit: Of `value` and `baseline`.
        baseline: The same without the hub; None where there is nothing to compare with.
        aim: What it should be, for the reader of the table; the word is on the ratio or on the value.
    """

    name: str
    value: float
    unit: str
    baseline: float | None = None
    aim: str = ""

    @property
    def ratio(self) -> float | None:
        """Value over baseline."""
        return self.value / self.baseline if self.baseline else None


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value that this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered) - 1, round(percent / 100 * len(ordered)) - 1))]


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return percentile(values, 50)


def as_json(figures: Sequence[Figure]) -> str:
    """Return the figures as the list that `build/bench.json` holds."""
    rows = [
        {
            "name": figure.name,
            "value": round(figure.value, 3),
            "unit": figure.unit,
            "baseline": round(figure.baseline, 3) if figure.baseline is not None else None,
            "ratio": round(figure.ratio, 3) if figure.ratio is not None else None,
        }
        for figure in figures
    ]
    return json.dumps(rows, indent=2) + "\n"


def write(figures: Sequence[Figure], path: Path) -> None:
    """Write the figures as JSON, making the directory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(as_json(figures))


def table(figures: Sequence[Figure], conditions: str) -> Table:
    """Return the figures as a table for a terminal."""
    shown = Table(title="What the hub costs", caption=conditions, caption_justify="left", title_justify="left")
    shown.add_column("figure")
    for heading in ("value", "baseline", "ratio", "aim"):
        shown.add_column(heading, justify="right")
    for figure in figures:
        shown.add_row(
            figure.name,
            f"{_number(figure.value)} {figure.unit}",
            f"{_number(figure.baseline)} {figure.unit}" if figure.baseline is not None else "",
            f"{figure.ratio:.2f}" if figure.ratio is not None else "",
            figure.aim,
        )
    return shown


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
