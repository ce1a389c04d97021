"""What the bench keeps of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench.figures import Figure, percentile, write


def test_the_file_is_a_list_of_figures_with_the_five_agreed_members(tmp_path: Path) -> None:
    write(
        [Figure("call", 2.0, "ms", 0.5, aim="ratio ≤ 4"), Figure("memory", 90.12345, "MiB")],
        tmp_path / "build" / "bench.json",
    )
    assert json.loads((tmp_path / "build" / "bench.json").read_text()) == [
        {"name": "call", "value": 2.0, "unit": "ms", "baseline": 0.5, "ratio": 4.0},
        {"name": "memory", "value": 90.123, "unit": "MiB", "baseline": None, "ratio": None},
    ]


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (99, 99), (100, 100), (0, 1)])
def test_a_percentile_is_one_of_the_values(percent: float, expected: float) -> None:
    assert percentile(list(range(100, 0, -1)), percent) == expected
