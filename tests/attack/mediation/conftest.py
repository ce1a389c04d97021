"""Two hubs that the attacks on the protocol share: one by the shipped policies, one that allows everything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from tests.attack.mediation.open_house import BELIEVER, GUESTS, INTRUDER, Houses, Street, house, stranger
from tests.support.apps import variant
from tests.support.live import BRIEF, HOSTILE_FRAMES, MISBEHAVING, RELAY, app


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def houses(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Houses]:
    root = tmp_path_factory.mktemp("houses")
    apps = (
        RELAY,
        stranger(root),
        app(stranger(root, "reader", ("*",)), clearance=("health",)),
        MISBEHAVING,
        HOSTILE_FRAMES,
        app(INTRUDER, clearance=("health",)),
        variant(INTRUDER, root, "timid", asks=["misbehaving.echo"]),
        BELIEVER,
        BRIEF,
        variant(BRIEF, root, "patient", limits={"call_seconds": 120}),
    )
    async with AsyncExitStack() as stack:
        hubs = {}
        for guarded in (True, False):
            entered = house(root / str(guarded), *apps, open_to_all=not guarded, users=GUESTS)
            hubs[guarded] = await stack.enter_async_context(entered)
        yield Houses(hubs)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def street(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Street]:
    """Keep the hubs of a module, whose tests then have to run in the module's loop."""
    async with Street(tmp_path_factory.mktemp("street")) as it:
        yield it
