"""The wire between gRPC and a spoke: carries everything, and no more frames than the credit pays for."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from hub.spokes.wire import BURST_FRAMES, PATIENCE_SECONDS, TRICKLE_FRAMES, Wire

DATA, SETTINGS, PING = 0, 4, 6
SECONDS = 5.0
QUIET_SECONDS = 0.2


def frame(kind: int, length: int) -> bytes:
    return struct.pack(">I", length)[1:] + bytes([kind]) + bytes(5) + bytes(length)


PING_FRAME = frame(PING, 8)


@dataclass
class Ends:
    """A wire, and what is at its two ends."""

    wire: Wire
    hub: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    spoke: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    flooded: asyncio.Event
    accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]]

    async def say(self, data: bytes) -> None:
        self.spoke[1].write(data)
        async with asyncio.timeout(SECONDS):
            await self.spoke[1].drain()

    async def heard(self) -> bytes:
        """Return what the hub's end hears until it is quiet."""
        found = b""
        try:
            while True:
                async with asyncio.timeout(QUIET_SECONDS):
                    piece = await self.hub[0].read(1 << 20)
                if not piece:
                    return found
                found += piece
        except TimeoutError:
            return found


@asynccontextmanager
async def laid() -> AsyncIterator[Ends]:
    with tempfile.TemporaryDirectory(prefix="sg-") as name:
        accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        here, there = Path(name) / "hub", Path(name) / "spoke"
        server = await asyncio.start_unix_server(lambda *ends: accepted.put_nowait(ends), str(there))
        wire, flooded = Wire(here), asyncio.Event()
        wire.on_flood = flooded.set
        wire.lay(to=there)
        try:
            hub = await asyncio.open_unix_connection(str(here))
            async with asyncio.timeout(SECONDS):
                spoke = await accepted.get()
            yield Ends(wire, hub, spoke, flooded, accepted)
            hub[1].close()
            spoke[1].close()
        finally:
            await wire.close()
            server.close()
        assert not here.exists()


async def first(ends: Ends, seconds: float) -> bytes:
    """Return what the hub's end hears within some seconds."""
    found = b""
    try:
        async with asyncio.timeout(seconds):
            while piece := await ends.hub[0].read(1 << 20):
                found += piece
    except TimeoutError:
        pass
    return found


async def test_it_carries_both_directions_byte_by_byte_and_whole() -> None:
    async with laid() as ends:
        said = frame(SETTINGS, 6) + frame(DATA, 16384) + frame(DATA, 0) + PING_FRAME
        for byte in said[:40]:
            await ends.say(bytes([byte]))
            await asyncio.sleep(0)
        await ends.say(said[40:])
        assert await ends.heard() == said
        ends.hub[1].write(said)
        async with asyncio.timeout(SECONDS):
            assert await ends.spoke[0].readexactly(len(said)) == said


@pytest.mark.parametrize("length", [0, 8, 255])
async def test_a_burst_is_carried_and_what_is_beyond_it_waits(length: int) -> None:
    async with laid() as ends:
        one = frame(PING, length)
        ends.spoke[1].write(one * (BURST_FRAMES + 4000))
        heard = await first(ends, 0.4)
        frames = len(heard) / len(one)
        assert BURST_FRAMES <= frames <= BURST_FRAMES + 3 * TRICKLE_FRAMES
        assert heard == one * int(frames)


async def test_what_the_hub_read_and_wrote_explains_further_frames() -> None:
    async with laid() as ends:
        ends.spoke[1].write(PING_FRAME * (BURST_FRAMES + 4000))
        before = len(await first(ends, 0.2)) / len(PING_FRAME)
        ends.wire.explain(0, frames=1000)
        after = len(await first(ends, 0.2)) / len(PING_FRAME)
        assert before < BURST_FRAMES + 2 * TRICKLE_FRAMES
        assert 1000 <= after <= 1000 + 2 * TRICKLE_FRAMES


async def test_credit_does_not_pile_up_beyond_the_burst() -> None:
    async with laid() as ends:
        for _ in range(10):
            ends.wire.explain(1 << 30, frames=BURST_FRAMES)
        ends.spoke[1].write(PING_FRAME * (BURST_FRAMES + 4000))
        assert len(await first(ends, 0.2)) / len(PING_FRAME) < BURST_FRAMES + 2 * TRICKLE_FRAMES


async def test_headers_are_paid_by_the_byte_and_full_data_frames_are_cheap() -> None:
    async with laid() as ends:
        ends.spoke[1].write(frame(DATA, 16384) * 2000)
        async with asyncio.timeout(SECONDS):
            assert len(await ends.hub[0].readexactly(2000 * (16384 + 9))) == 2000 * (16384 + 9)
    async with laid() as ends:
        ends.spoke[1].write(frame(9, 16384) * 200)
        assert len(await first(ends, 0.2)) < 40 * (16384 + 9)


async def test_a_new_connection_brings_no_new_credit() -> None:
    async with laid() as ends:
        await ends.say(PING_FRAME * BURST_FRAMES)
        await ends.heard()
        again = await asyncio.open_unix_connection(str(ends.wire.path))
        async with asyncio.timeout(SECONDS):
            there = await ends.accepted.get()
        assert ends.wire.take(0)
        taken = 0
        while ends.wire.take(1):
            taken += 1
        assert taken < TRICKLE_FRAMES
        again[1].close()
        there[1].close()


async def test_a_spoke_that_goes_on_without_credit_has_flooded_its_connection_once() -> None:
    async with laid() as ends:
        loop = asyncio.get_running_loop()
        began = loop.time()

        async def flood() -> None:
            while True:
                ends.spoke[1].write(PING_FRAME * 1000)
                await ends.spoke[1].drain()

        flooding, hearing = asyncio.create_task(flood()), asyncio.create_task(ends.heard())
        async with asyncio.timeout(PATIENCE_SECONDS + SECONDS):
            await ends.flooded.wait()
        assert loop.time() - began >= PATIENCE_SECONDS * 0.9
        flooding.cancel()
        assert len(await hearing) / len(PING_FRAME) < BURST_FRAMES + (PATIENCE_SECONDS + SECONDS) * TRICKLE_FRAMES
        await asyncio.gather(flooding, return_exceptions=True)


async def test_the_end_of_one_side_is_the_end_of_the_other() -> None:
    async with laid() as ends:
        ends.spoke[1].write(PING_FRAME)
        ends.spoke[1].close()
        async with asyncio.timeout(SECONDS):
            assert await ends.hub[0].read() == PING_FRAME
    async with laid() as ends:
        ends.hub[1].close()
        async with asyncio.timeout(SECONDS):
            assert await ends.spoke[0].read() == b""


async def test_a_spoke_that_is_not_there_ends_the_connection_that_gRPC_made() -> None:  # noqa: N802
    with tempfile.TemporaryDirectory(prefix="sg-") as name:
        wire = Wire(Path(name) / "hub")
        wire.lay(to=Path(name) / "nobody")
        reader, writer = await asyncio.open_unix_connection(str(wire.path))
        async with asyncio.timeout(SECONDS):
            assert await reader.read() == b""
        writer.close()
        await wire.close()


async def test_a_side_that_does_not_read_stops_the_other() -> None:
    async with laid() as ends:
        piece, sent = frame(DATA, 16384) * 16, 0
        try:
            while sent < 64 << 20:
                ends.hub[1].write(piece)
                async with asyncio.timeout(QUIET_SECONDS):
                    await ends.hub[1].drain()
                sent += len(piece)
        except TimeoutError:
            pass
        assert sent < 8 << 20


async def test_what_is_dialled_in_the_moment_of_the_end_is_closed_too() -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with tempfile.TemporaryDirectory(prefix="sg-") as name:
        for number in range(40):
            wire = Wire(Path(name) / f"{number}.hub")
            wire.lay(to=Path(name) / "nobody")
            with socket.socket(socket.AF_UNIX) as caller:
                caller.connect(str(wire.path))
                for _ in range(number % 5):
                    await asyncio.sleep(0)
                await wire.close()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
