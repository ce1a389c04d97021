"""What is made of the costs of wishes: the table beside SecGPT's figures, and the figures for the file."""

from __future__ import annotations

import os

from rich.console import Console

from tests.bench.wishes import WISHES, Found, Grown, Measured, Taken, _below, figures, table

FARES = Measured(WISHES[0], 3, 2, 0, warm_ms=50.4, cold_ms=150.0, bare_ms=8.0, seconds=1.1, bare_seconds=1.0)
FOUND = Found([FARES], Grown(1000, 1100, 500, 5000), Taken(120.0, 90.0))


def test_the_table_has_ours_and_behind_it_secgpts() -> None:
    console = Console(width=160)
    with console.capture() as shown:
        console.print(table(FOUND))
    row = next(line for line in shown.get().splitlines() if "1 fares" in line)
    cells = [" ".join(cell.split()) for cell in row.strip("│").split("│")]
    assert cells == ["1 fares, two apps", "3 for 2 23 for 7", "0 4", "50 756", "150 1,071", "1.10 3.63"]
    assert "1,000" in shown.get()
    assert "120 MiB" in shown.get()


def test_every_figure_is_in_the_file() -> None:
    listed = {figure.name: (figure.value, figure.baseline) for figure in figures(FOUND)}
    assert listed["wish 1 fares, two apps: model calls"] == (3, 2)
    assert listed["wish 1 fares, two apps: own time warm"] == (50.4, 8.0)
    assert listed["wish 1 fares, two apps: end to end at 500 ms a call"] == (1.1, 1.0)
    assert listed["private memory, hub and two spokes"] == (120.0, None)
    assert listed["prompt characters of wish 10 beside the first"] == (1100, 1000)


def test_what_runs_below_a_process_is_found_in_every_generation() -> None:
    assert os.getpid() in _below(os.getppid())
    assert os.getppid() not in _below(os.getpid())
