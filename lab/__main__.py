"""`make lab`: run every case without the hub and with it, print what came of it, and write it down.

The exit code is 1 when an attack got through the hub, when one does not succeed without it, so that it shows nothing,
or when a person got a wrong answer where there was no attack.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import time

import structlog
from rich.console import Console

from hub.config import PROJECT_ROOT
from hub.errors import SpokegateError
from hub.opa.binary import OpaBinaryError
from lab.cases import CASES
from lab.environment import leave_credentials_behind
from lab.report import problems, table
from lab.runs import Outcome, alike, obedient_model, protected, unprotected

OUTPUT = PROJECT_ROOT / "build" / "lab" / "casestudies.json"


async def run(only: str = "") -> list[Outcome]:
    """Run the cases whose name begins so, and return what came of each in each mode, in the order of the cases."""
    cases = [case for case in CASES if case.name.startswith(only)]
    found: list[Outcome] = []
    async with obedient_model() as model:
        for case in cases:
            found.append(await unprotected(case, model))
        for group in alike(cases):
            found += await protected(group, model)
    order = [(case.name, case.variant) for case in cases]
    return sorted(
        found, key=lambda outcome: (order.index((outcome.case, outcome.variant)), outcome.mode != "unprotected")
    )


def main() -> int:
    """Run the lab."""
    leave_credentials_behind()
    parser = argparse.ArgumentParser(prog="python -m lab", description="Attack apps with and without the hub.")
    parser.add_argument("--only", default="", metavar="NAME", help="only cases whose name begins so")
    parser.add_argument("--answers", action="store_true", help="show what the person read")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 170)
    began = time.perf_counter()
    try:
        outcomes = asyncio.run(run(options.only))
    except (SpokegateError, OpaBinaryError) as error:
        console.print(str(error), style="red", markup=False)
        return 5
    console.print(table(outcomes, answers=options.answers))
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps([outcome.as_json() for outcome in outcomes], indent=1) + "\n")
    found = problems(outcomes)
    for problem in found:
        console.print(problem, style="bold red", markup=False)
    console.print(
        f"{len(outcomes)} runs in {time.perf_counter() - began:.0f} s; {OUTPUT.relative_to(PROJECT_ROOT)}", style="dim"
    )
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
