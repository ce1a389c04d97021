"""What a spoke may use up. Each limit stops the app, and the spoke goes on serving."""

import errno
from collections.abc import AsyncIterator

import pytest

from spoke_runner.sandbox import Limits, SpokeProcess
from tests.integration.sandbox.spokes import APPS, call, running, workshop

MEBIBYTE = 1 << 20
LIMITS = Limits(
    memory_bytes=128 * MEBIBYTE,
    file_bytes=8 * MEBIBYTE,
    temporary_bytes=16 * MEBIBYTE,
    open_files=100,
    processes=40,
)


@pytest.fixture(params=["cold", "warm"])
async def spoke(request: pytest.FixtureRequest) -> AsyncIterator[SpokeProcess]:
    with workshop() as shop:
        async with running(shop.spec(APPS / "hungry", limits=LIMITS), "hungry:app", way=request.param) as started:
            yield started
            assert await call(started, "echo", text="alive") == {"text": "alive"}


async def test_memory_ends_at_its_limit(spoke: SpokeProcess) -> None:
    eaten = (await call(spoke, "eat_memory"))["count"]

    assert 16 < eaten < 128


async def test_a_file_ends_at_its_limit(spoke: SpokeProcess) -> None:
    assert await call(spoke, "write_big_file") == {"count": 8, "errno": errno.EFBIG}


async def test_temporary_files_end_at_their_limit_in_sum(spoke: SpokeProcess) -> None:
    answer = await call(spoke, "fill_temporary")

    assert answer["errno"] == errno.ENOSPC
    assert 14 <= answer["count"] <= 16


async def test_threads_end_at_their_limit(spoke: SpokeProcess) -> None:
    assert 4 < (await call(spoke, "start_threads"))["count"] < 40


async def test_descriptors_end_at_their_limit(spoke: SpokeProcess) -> None:
    assert 50 < (await call(spoke, "open_files"))["count"] < 100
