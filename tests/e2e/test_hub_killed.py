"""Killing the hub over and over under load loses no decision that came before a call."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path

import pytest

from hub.client import HubClient, HubError
from hub.mediation.schema import canonical, digest
from hub.store.database import open_database
from hub.store.verify import verify
from tests.support.desk import rows_of
from tests.support.live import VAULT, until
from tests.support.processes import processes_of
from tests.support.running import running, written

IN_FLIGHT = 8
LOAD_SECONDS = 0.3


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.slow)])
async def test_whatever_ran_is_on_record_and_what_was_in_flight_is_said_to_be(kills: int) -> None:
    with tempfile.TemporaryDirectory(prefix="sg-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        config = written(directory, VAULT)
        for number in range(kills):
            await killed_under_load(config, number)
            await until(lambda: processes_of(directory) == [], 10)
        async with running(config):
            pass  # it says what was in flight
        [file] = (directory / "state" / "data").glob("vault@*/runs")
        ran = [json.loads(line) for line in file.read_text().splitlines()]
        engine = open_database(directory / "state" / "hub.db")
        found, rows = verify(engine), rows_of(engine, "decision", "outcome")
        engine.dispose()

    assert found.flaws == ()
    allowed = {body["arguments_digest"] for kind, _, body in rows if kind == "decision" and body["effect"] == "allow"}
    assert len(ran) > 5 * kills
    assert {digest(canonical(run["arguments"], what="arguments")) for run in ran} <= allowed
    decisions = {id_ for kind, id_, body in rows if kind == "decision" and body["effect"] != "deny"}
    outcomes = {id_: body["outcome"] for kind, id_, body in rows if kind == "outcome"}
    assert decisions <= outcomes.keys()
    assert list(outcomes.values()).count("interrupted") >= kills


async def killed_under_load(config: Path, number: int) -> None:
    async with running(config) as hub, HubClient(hub.socket) as client, client.session() as session:

        async def call_again_and_again(worker: int) -> None:
            for count in range(10_000):
                await session.invoke("vault.note", {"text": f"{number}-{worker}-{count}"})

        await session.invoke("vault.note", {"text": f"{number}-first"})
        tasks = [asyncio.create_task(call_again_and_again(worker)) for worker in range(IN_FLIGHT)]
        await asyncio.sleep(LOAD_SECONDS)
        hub.process.kill()
        await hub.process.wait()
        assert {type(end) for end in await asyncio.gather(*tasks, return_exceptions=True)} == {HubError}
