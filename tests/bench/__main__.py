"""Measure what the hub and its spokes cost, against the same without them: `python -m tests.bench`, three minutes.

`python -m tests.bench wishes` measures only what a wish costs, and leaves the file of all figures as it is.

Client, hub, spoke, OPA and the direct server are processes of their own on this machine, so on few cores they also
compete with each other; the ratios are of one run, the aims are for two cores.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import structlog
from rich.console import Console

from hub.client import HubClient
from lab.environment import leave_credentials_behind
from tests.bench import evidence, measure, scale, spokes, subjects, wishes
from tests.bench.figures import Figure, median, percentile, table, write
from tests.bench.measure import milliseconds

OUTPUT = subjects.PROJECT / "build" / "bench.json"
SESSIONS = 2
IN_FLIGHT = 32
ROUNDS = 3
STARTS = 12
COMMITS = 500


async def run(directory: Path) -> list[Figure]:
    """Take every measurement, and return the figures."""
    hub_socket, direct_socket = directory / "run" / "hub.sock", directory / "direct.sock"
    async with (
        subjects.hub(directory) as hub_pid,
        subjects.direct(direct_socket),
        HubClient(hub_socket) as client,
        HubClient(direct_socket) as direct,
    ):
        idle = subjects.memory_of(hub_pid)
        single = await measure.latencies(client, direct, directory / "run" / "opa.sock", SESSIONS)
        many = await measure.throughputs(client, direct, IN_FLIGHT, ROUNDS)
        loaded = subjects.memory_of(hub_pid)
        async with client.session() as session:
            body = {"input": await measure.access_request(session)}
        commits = milliseconds(await measure.commits(directory, body, COMMITS))
        starts = await measure.cold_starts(client, directory, STARTS)
    direct_ms, hub_ms = milliseconds(single.direct), milliseconds(single.hub)
    return [
        Figure("call, p50", median(hub_ms), "ms", median(direct_ms), aim="ratio ≤ 3.5"),
        Figure("call, p99", percentile(hub_ms, 99), "ms", percentile(direct_ms, 99)),
        Figure(
            f"calls with {IN_FLIGHT} in flight", median(many.hub), "calls/s", median(many.direct), aim="≥ 1,000 calls/s"
        ),
        Figure(
            "decision, p50",
            median(milliseconds(single.decision)),
            "ms",
            median(milliseconds(single.opa)),
            aim="ratio ≤ 1.5",
        ),
        Figure("audit commit alone, p50; baseline: call", median(commits), "ms", median(hub_ms), aim="ratio ≤ 0.15"),
        Figure(
            "cold spoke to first answer, median",
            median(milliseconds(starts.spoke)),
            "ms",
            median(milliseconds(starts.plain)),
            aim="≤ 200 ms",
        ),
        Figure("hub memory idle, resident", idle.resident, "MiB", aim="≤ 120 MiB"),
        Figure("hub memory idle, private", idle.private, "MiB"),
        Figure("hub memory after the load, resident", loaded.resident, "MiB", idle.resident, aim="≤ 120 MiB"),
        Figure("hub memory after the load, private", loaded.private, "MiB", idle.private),
    ]


def conditions(seconds: float) -> str:
    """Say on what, and on how much, the figures stand."""
    machine = (
        f"{len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}, "
        f"{platform.system()} {platform.release()}, {platform.machine()}"
    )
    counts = (
        f"{SESSIONS * measure.CALLS_OF_A_SESSION} single calls, {ROUNDS} rounds of {measure.CALLS_OF_A_SESSION} "
        f"with {IN_FLIGHT} in flight, {STARTS} cold starts, {COMMITS} commits, {spokes.CALLS} calls into a spoke, "
        f"{spokes.STARTS} starts in each way, {seconds:.0f} s"
    )
    return (
        f"{machine}; {counts}. Baselines: the same function by direct gRPC, a bare HTTP request to the same OPA, "
        "the same server without a sandbox."
    )


def main() -> None:
    """Measure, print and write."""
    leave_credentials_behind()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    started = time.monotonic()
    console = Console(width=120, highlight=False)
    found: list[Figure] = []
    if sys.argv[1:] != ["wishes"]:
        # One after the other, because on few cores they would be each other's load.
        for part in (spokes.run, run, scale.run):
            with tempfile.TemporaryDirectory(prefix="sg") as directory:
                found += asyncio.run(part(Path(directory)))
        found += evidence.run()
        console.print(table(found, conditions(time.monotonic() - started)))
    with tempfile.TemporaryDirectory(prefix="sg") as directory:
        said = asyncio.run(wishes.run(Path(directory)))
    console.print(wishes.table(said))
    if found:
        write([*found, *wishes.figures(said)], OUTPUT)


if __name__ == "__main__":
    main()
