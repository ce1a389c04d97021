"""Run the lab: `python -m lab`, a minute. Ends with 1 where an attack got through, or a benign answer is wrong."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections import defaultdict

import structlog
from rich.console import Console

from hub.config import PROJECT_ROOT
from hub.errors import SpokegateError
from hub.opa.binary import OpaBinaryError
from lab import runs
from lab.cases import CASES, App, Case, Variant
from lab.environment import leave_credentials_behind
from lab.outcome import Outcome, tell, write

OUTPUT = PROJECT_ROOT / "build" / "lab" / "casestudies.json"
VARIANTS: tuple[Variant, ...] = ("attack", "benign")


async def run() -> list[Outcome]:
    """Run every case: with the attack and without, unprotected and protected."""
    outcomes = []
    by_apps: dict[frozenset[tuple[str, App]], list[tuple[Case, Variant]]] = defaultdict(list)
    for case in CASES:
        for variant in VARIANTS:
            outcomes.append(await runs.unprotected(case, variant))
            by_apps[frozenset(case.apps_of(variant).items())].append((case, variant))
    for alike in by_apps.values():
        outcomes += await runs.protected(alike)
    return outcomes


def main() -> None:
    """Run the lab."""
    leave_credentials_behind()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    console = Console(highlight=False, width=max(Console().width, 150))
    began = time.perf_counter()
    try:
        outcomes = asyncio.run(run())
    except (SpokegateError, OpaBinaryError) as error:
        Console(stderr=True, highlight=False).print(str(error), style="red", markup=False)
        sys.exit(5)
    write(outcomes, OUTPUT)
    tell(outcomes, console)
    seconds = time.perf_counter() - began
    console.print(f"{len(outcomes)} runs in {seconds:.0f} s; all of it in {OUTPUT.relative_to(PROJECT_ROOT)}")
    sys.exit(0 if all(outcome.as_it_should_be for outcome in outcomes) else 1)


if __name__ == "__main__":
    main()
