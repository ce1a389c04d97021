from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from hub.client import Session
from tests.support.live import HOSTILE_FRAMES, MISBEHAVING, RELAY, VAULT, Live, Shared, shared


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_hub() -> AsyncIterator[Shared]:
    """Run one hub for a module, whose tests then have to run in the module's loop."""
    async with shared(VAULT, RELAY, MISBEHAVING, HOSTILE_FRAMES, tests=50) as it:
        yield it


@pytest_asyncio.fixture(loop_scope="module")
async def hub(shared_hub: Shared) -> AsyncIterator[Live]:
    async with shared_hub.next() as it:
        yield it


@pytest_asyncio.fixture(loop_scope="module")
async def session(hub: Live) -> AsyncIterator[Session]:
    async with hub.client.session() as it:
        yield it
