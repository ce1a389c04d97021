"""The gates shut when they should: missing coverage is named line by line, and stale stubs file by file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from scripts import generate, policies


def span(first: int, last: int) -> dict[str, dict[str, int]]:
    return {"start": {"row": first, "col": 1}, "end": {"row": last, "col": 9}}


def test_full_coverage_is_summed_up() -> None:
    file = {"covered": [span(1, 4)], "coverage": 100}
    assert policies.coverage({"files": {"a.rego": file}, "covered_lines": 4, "coverage": 100}) == (
        "coverage: 100 % of 4 lines in 1 files"
    )


def test_every_line_that_is_not_covered_is_named() -> None:
    file = {"covered": [span(1, 2)], "not_covered": [span(5, 6), span(9, 9)], "coverage": 99.5}
    with pytest.raises(policies.GateError) as caught:
        policies.coverage({"files": {"b.rego": file}, "covered_lines": 2, "coverage": 99.5})
    assert str(caught.value).splitlines() == [
        "b.rego:5-6: not covered",
        "b.rego:9-9: not covered",
        "coverage is 99.5 %, not 100 %",
    ]


def test_a_stub_that_differs_is_missing_or_has_no_source_is_stale(tmp_path: Path) -> None:
    fresh, committed = tmp_path / "fresh", tmp_path / "committed"
    for folder, files in (
        (fresh, {"same": "1", "differs": "1", "missing": "1"}),
        (committed, {"same": "1", "differs": "2", "surplus": "1"}),
    ):
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
    stale = generate.stale_files(fresh, committed)
    assert [file.name for file in stale] == ["differs", "missing", "surplus"]


@pytest.mark.parametrize("main", [generate.main, policies.main])
def test_an_unknown_option_is_a_usage_error(main: Callable[[Sequence[str]], int]) -> None:
    assert main(["--unknown"]) == 2
