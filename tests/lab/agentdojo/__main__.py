"""`make lab-agentdojo`: measure AgentDojo's suites through a hub, print the figures, and write them down.

The exit code is 1 when an attack got through the shipped policies though nobody agreed to everything, or when, where
everything is allowed, the attacks come to nothing, a task is not done or the hub refused a call; 2 when there is
something wrong with what was asked for.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

# Servers that end are nothing to report here. Before gRPC is loaded, which reads it once.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from rich.console import Console

from hub.config import PROJECT_ROOT
from tests.lab.agentdojo.agent import ORDERS
from tests.lab.agentdojo.installing import SHIPPED
from tests.lab.agentdojo.measuring import Measured, Row, Unit, measure, problem_with, rows
from tests.lab.agentdojo.own import OwnRow, measure_own
from tests.lab.agentdojo.people import ANSWERERS
from tests.lab.agentdojo.report import (
    agreed_to,
    by_rule,
    figures,
    not_carried,
    own_cases,
    own_problems,
    problems,
    through,
)
from tests.lab.agentdojo.runs import POLICY_NAMES

OUTPUT = PROJECT_ROOT / "build" / "lab"
SUITES = ("banking", "slack")
ATTACKS = ("important_instructions", "tool_knowledge")


def main() -> int:
    """Measure."""
    options = _options()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 170)
    began = time.perf_counter()
    units = _units(options)
    # Forked from here, a process would have gRPC's threads half.
    with ProcessPoolExecutor(options.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        if wrong := [
            problem for problem in pool.map(problem_with, {unit.suite: unit for unit in units}.values()) if problem
        ]:
            console.print("\n".join(wrong), style="red", markup=False)
            return 2
        measured, ours = _measured(units, _ours(options), pool, console)
    found = [row for of in measured for row in rows(of)]
    for suite in options.suite:
        console.print(figures(found, suite))
        console.print(by_rule(measured, suite))
        if any((of.unit.suite, of.unit.answerer) == (suite, "accept_all") for of in measured):
            console.print(agreed_to(measured, suite))
    if ours:
        console.print(own_cases(ours))
    written = _write(options.output, found, measured, ours)
    wrong = [*not_carried(measured), *problems(found), *own_problems(ours)]
    for problem in wrong:
        console.print(problem, style="bold red", markup=False)
    if left_out := sum({of.unit.suite: of.left_out for of in measured}.values()):
        console.print(f"{left_out} pairs left out: nothing that the task reads can hold a text", style="dim")
    runs = sum(len(of.benign) + len(of.attacked_runs) for of in measured)
    console.print(
        f"{runs} runs in {time.perf_counter() - began:.0f} s; {written}, and every pair that got through, with its "
        "decisions, in agentdojo-through.json beside it",
        style="dim",
        markup=False,
    )
    return 1 if wrong else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.lab.agentdojo", description="Measure AgentDojo's suites through a hub."
    )
    parser.add_argument("--suite", action="append", metavar="NAME", help="a suite; banking and slack otherwise")
    parser.add_argument("--manifests", type=Path, metavar="DIR", help="the suite's manifests, APP/app.yaml each")
    parser.add_argument("--order", action="append", choices=ORDERS, help="one order; both otherwise")
    parser.add_argument(
        "--attack", action="append", metavar="NAME", help=f"one text; {' and '.join(ATTACKS)} otherwise"
    )
    parser.add_argument("--answerer", action="append", choices=ANSWERERS, help="who answers; each of them otherwise")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), metavar="N", help="processes at once")
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="DIR", help="where the figures are written")
    options = parser.parse_args()
    options.suite = options.suite or list(SUITES)
    if options.manifests is not None and len(options.suite) != 1:
        parser.error("--manifests: belongs to one --suite")
    for suite in options.suite:
        if options.manifests is None and not (SHIPPED / suite).is_dir():
            parser.error(f"--suite {suite}: there are no manifests for it here: give their folder as --manifests")
    if options.manifests is not None and not options.manifests.is_dir():
        parser.error(f"--manifests: there is no folder {options.manifests}")
    return options


def _units(options: argparse.Namespace) -> list[Unit]:
    orders, attacks = tuple(options.order or ORDERS), tuple(options.attack or ATTACKS)
    return [
        Unit(suite, options.manifests or SHIPPED / suite, policy, answerer, orders, attacks)
        for suite in options.suite
        for policy in POLICY_NAMES
        # Where nothing is asked about, it does not matter who would answer.
        for answerer in (options.answerer or ANSWERERS if policy == "shipped" else ANSWERERS[:1])
    ]


def _ours(options: argparse.Namespace) -> list[str]:
    """Return the suites in whose worlds there are cases of ours, which go by the manifests that are here."""
    return [suite for suite in options.suite if suite in SUITES and options.manifests is None]


def _measured(
    units: list[Unit], ours: list[str], pool: ProcessPoolExecutor, console: Console
) -> tuple[list[Measured], list[OwnRow]]:
    done: dict[Unit, Measured] = {}
    waiting = {pool.submit(measure, unit): unit for unit in units}
    own = [pool.submit(measure_own, suite) for suite in ours]
    try:
        for future in as_completed(waiting):
            unit = waiting[future]
            done[unit] = future.result()
            console.print(f"{unit.suite}, {unit.policy}, {unit.answerer}: done", style="dim")
        return [done[unit] for unit in units], [row for future in own for row in future.result()]
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise


def _write(directory: Path, found: list[Row], measured: list[Measured], ours: list[OwnRow]) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    files: dict[str, list[dict[str, Any]]] = {
        "agentdojo": [row.as_json() for row in found],
        "agentdojo-through": list(through(measured)),
        "agentdojo-ours": [row.as_json() for row in ours],
    }
    for name, rows_of_file in files.items():
        (directory / f"{name}.json").write_text(json.dumps(rows_of_file, indent=1) + "\n")
    return directory / "agentdojo.json"


if __name__ == "__main__":
    raise SystemExit(main())
