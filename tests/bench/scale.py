"""What a call costs in a hub that has much to look through: many apps installed, or many grants that are not for it.

Both hubs of a comparison run at once and are asked in turns, so that a drift of the machine hits both sides.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

from hub.client import HubClient
from hub.store.audit import AuditLog
from hub.store.database import open_database
from hub.store.grants import Grant, GrantStore
from tests.bench import subjects
from tests.bench.figures import Figure, median
from tests.bench.measure import FUNCTION, arguments, milliseconds

FEW, MANY_GRANTS, MANY_APPS = 10, 10_000, 1_000
CALLS = 300

_BLOCK = 10
_AT_ONCE = 256


async def run(directory: Path) -> list[Figure]:
    """Compare a hub with few grants and apps with one that has many grants, and with one that has many apps."""
    few, grants, apps = (directory / name for name in ("few", "grants", "apps"))
    for path in (few, grants, apps):
        path.mkdir()
    await give_grants(few, FEW)
    await give_grants(grants, MANY_GRANTS)
    async with _client(few, FEW) as base:
        async with _client(grants, FEW) as loaded:
            of_grants = await _in_turns(base, loaded)
        async with _client(apps, MANY_APPS) as loaded:
            of_apps = await _in_turns(base, loaded)
    return [
        Figure(f"call with {MANY_GRANTS:,} grants; {FEW}", *of_grants, aim="ratio ≤ 1.3"),
        Figure(f"call with {MANY_APPS:,} apps; {FEW}", *of_apps, aim="ratio ≤ 1.3"),
    ]


async def give_grants(directory: Path, count: int) -> None:
    """Put grants for the function that is measured, but for other arguments, into a hub's database."""
    state = directory / "state"
    state.mkdir()
    engine = open_database(state / "hub.db")
    try:
        async with AuditLog(engine) as log:
            store = GrantStore(engine, log)
            for first in range(0, count, _AT_ONCE):
                numbers = range(first, min(count, first + _AT_ONCE))
                await asyncio.gather(*(store.give(_grant(number)) for number in numbers))
    finally:
        engine.dispose()


def _grant(number: int) -> Grant:
    return Grant(
        id=f"g-{number:024x}",
        scope="always",
        user=subjects.USER,
        session="s-bench",
        caller="user",
        function=FUNCTION,
        arguments_digest=f"sha256:{number:064x}",
        constraint=None,
        labels={"confidentiality": [], "integrity": []},
        created=time.time(),
    )


@contextlib.asynccontextmanager
async def _client(directory: Path, apps: int) -> AsyncIterator[HubClient]:
    async with subjects.hub(directory, apps=apps), HubClient(directory / "run" / "hub.sock") as client:
        yield client


async def _in_turns(base: HubClient, loaded: HubClient) -> tuple[float, str, float]:
    """Return the median call of the loaded hub, its unit, and the median call of the other."""
    found: tuple[list[float], list[float]] = ([], [])
    async with base.session() as few, loaded.session() as many:
        for number in range(-_BLOCK, CALLS, _BLOCK):
            for session, seconds in zip((few, many), found, strict=True):
                for offset in range(_BLOCK):
                    started = time.perf_counter()
                    await session.invoke(FUNCTION, arguments(number + offset))
                    if number >= 0:  # the first are to warm up
                        seconds.append(time.perf_counter() - started)
    few_ms, many_ms = (median(milliseconds(seconds)) for seconds in found)
    return many_ms, "ms", few_ms
