"""What a spoke may use up. Each limit stops the app, and the spoke goes on serving."""

import errno
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

import grpc
import pytest

from spoke_runner.sandbox import Limits, SpokeProcess, SpokeStartFailed
from tests.integration.sandbox.spokes import APPS, both_ways, call, launcher, running, workshop

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


@both_ways
async def test_a_spoke_that_fills_its_disk_is_ended_and_not_started_again(way: str) -> None:
    with workshop() as shop:
        spec = shop.spec(APPS / "hungry", limits=replace(LIMITS, data_bytes=4 * MEBIBYTE))
        async with launcher(way) as start:
            spoke = await start(spec, entry="hungry:app")
            (spec.data_dir / "grown").write_bytes(bytes(5 * MEBIBYTE))
            while not spoke.ended_because:  # it is looked at only while it works
                with suppress(grpc.aio.AioRpcError, AssertionError):
                    await call(spoke, "echo", text="busy")
            await spoke.wait()
            await spoke.kill()

            assert "are its limit" in spoke.ended_because
            with pytest.raises(SpokeStartFailed, match="remove files from it"):
                await start(spec, entry="hungry:app")
