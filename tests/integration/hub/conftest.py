from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from hub.client import Session
from tests.support.live import HOSTILE_FRAMES, MISBEHAVING, RELAY, VAULT, Live, live


@pytest.fixture
async def hub() -> AsyncIterator[Live]:
    async with live(VAULT, RELAY, MISBEHAVING, HOSTILE_FRAMES) as it:
        yield it


@pytest.fixture
async def session(hub: Live) -> AsyncIterator[Session]:
    async with hub.client.session() as it:
        yield it
