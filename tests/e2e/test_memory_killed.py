"""Killing the hub under load loses nothing that it said it remembers.

SecGPT's B6 (memory lost): its spokes remember in a forked child, whose memory ends with it.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from hub.client import HubClient, HubError
from hub.store.database import open_database
from hub.store.verify import verify
from tests.support.live import DIARY, until
from tests.support.processes import processes_of
from tests.support.running import running, written

KILLS = 3
IN_FLIGHT = 6
LOAD_SECONDS = 0.3


@pytest.mark.timeout(120)
async def test_whatever_was_said_to_be_remembered_outlives_the_kill_of_the_hub() -> None:
    with tempfile.TemporaryDirectory(prefix="sg-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        config = written(directory, DIARY)
        kept: dict[str, int] = {}
        said: set[str] = set()
        for number in range(KILLS):
            await killed_under_load(config, number, kept, said)
            await until(lambda: processes_of(directory) == [], 10)
        async with running(config) as hub, HubClient(hub.socket) as client:
            found = [item async for item in client.export_memory("diary")]
            async with client.session() as session:
                known = (await session.invoke("diary.find", {"key": "0-0"})).result
        engine = open_database(directory / "state" / "hub.db")
        verified = verify(engine)
        engine.dispose()

    assert verified.flaws == ()
    entries = {item.entry.key: int(item.entry.value_json) for item in found if item.WhichOneof("what") == "entry"}
    turns = Counter(item.turn.text for item in found if item.WhichOneof("what") == "turn")
    assert len(said) > 5 * KILLS
    assert said <= turns.keys()
    assert set(turns.values()) == {1}
    # What was in flight may have been kept too: never less, never an older value.
    assert all(entries[key] - count in (0, 1) for key, count in kept.items())
    # The control: what an app merely keeps in its process is lost.
    assert (known["remembered"], known["known"]) == (entries["0-0"], None)


async def killed_under_load(config: Path, number: int, kept: dict[str, int], said: set[str]) -> None:
    async with running(config) as hub, HubClient(hub.socket) as client, client.session() as session:

        async def remember(worker: int) -> None:
            for count in range(10_000):
                key, text = f"{number}-{worker}", f"{number}-{worker}-{count}"
                if (await session.invoke("diary.keep", {"key": key, "value": count})).result == {}:
                    kept[key] = count
                if (await session.invoke("diary.say", {"role": "user", "text": text})).result == {}:
                    said.add(text)

        tasks = [asyncio.create_task(remember(worker)) for worker in range(IN_FLIGHT)]
        await until(lambda: len(kept) == IN_FLIGHT * (number + 1), 20)
        await asyncio.sleep(LOAD_SECONDS)
        hub.process.kill()
        await hub.process.wait()
        assert {type(end) for end in await asyncio.gather(*tasks, return_exceptions=True)} == {HubError}
