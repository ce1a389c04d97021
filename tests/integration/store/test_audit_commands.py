"""`spokegate audit`: what it prints, and how it ends."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hub.cli.commands import app
from hub.mediation.schema import digest
from hub.store.audit import AuditLog, Event
from hub.store.database import open_database
from tests.support.pdp import FakePdp, by_grant
from tests.unit.hub.target import at_desk


@pytest.fixture
async def config(tmp_path: Path) -> Path:
    """A configuration whose database has an allow, an ask that nobody could answer, and their outcomes."""
    file = tmp_path / "spokegate.yaml"
    file.write_text("state_dir: state\nruntime_dir: run\n")
    (tmp_path / "state").mkdir()
    async with at_desk(tmp_path, FakePdp(), location=tmp_path / "state" / "hub.db") as (hub, _):
        await hub.invoke("target.send", {"text": "my \x1b[31msecret"})
        hub.pdp.rule = by_grant
        await hub.refusal("target.do")
        await hub.rows()
    return file


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["audit", *arguments])
    return done.exit_code, done.output


async def test_a_whole_log_is_said_to_be_and_its_head_can_be_pinned(config: Path) -> None:
    code, said = run("verify", "--config", str(config))
    assert (code, said.startswith("whole  ")) == (0, True)
    pin = said.split()[-1]
    assert run("verify", "--config", str(config), "--pin", pin)[0] == 0
    code, said = run("verify", "--config", str(config), "--pin", f"{pin[:-1]}{'0' if pin[-1] != '0' else '1'}")
    assert (code, "is not the one that was pinned" in said) == (1, True)


async def test_what_was_tampered_with_is_named_and_the_exit_code_says_so(config: Path) -> None:
    engine = open_database(config.parent / "state" / "hub.db")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE audit SET user = 'mallory' WHERE seq = 2")
    engine.dispose()
    assert run("verify", "--config", str(config)) == (1, "row 2 was changed\n")
    code, said = run("verify", "--config", str(config), "--format", "json")
    assert (code, json.loads(said)["flaws"]) == (1, [{"seq": 2, "what": "row 2 was changed"}])


async def test_decisions_are_exported_as_events_of_opas_decision_log(config: Path) -> None:
    code, said = run("export", "--config", str(config))
    events = [json.loads(line) for line in said.splitlines()]
    allowed, asked = events
    assert code == 0
    assert (allowed["path"], allowed["result"]["effect"], asked["result"]["effect"]) == (
        "spokegate/decision",
        "allow",
        "ask",
    )
    assert allowed["input"]["resource"]["id"] == "target.send"
    assert allowed["erased"] == ["/input/arguments", "/input/result"]
    assert "secret" not in said
    assert allowed["custom"]["arguments_digest"] == digest(b'{"text":"my \\u001b[31msecret"}')
    assert allowed["timestamp"].endswith("Z")
    assert {"decision_id", "labels", "metrics", "bundles"} <= allowed.keys()
    assert run("export", "--config", str(config), "--until", "2000-01-01") == (0, "")
    assert len(run("export", "--config", str(config), "--since", "2000-01-01")[1].splitlines()) == 2


async def test_the_last_events_are_printed_in_order(config: Path) -> None:
    code, said = run("tail", "--config", str(config), "--format", "json")
    rows = [json.loads(line) for line in said.splitlines()]
    assert (code, [row["seq"] for row in rows]) == (0, list(range(1, len(rows) + 1)))
    assert len(run("tail", "--config", str(config), "-n", "1")[1].splitlines()) == 1


async def test_what_is_added_is_followed(config: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("spokegate")), "audit", "tail", "-f", "-n", "0", "--format", "json"),
        *("--config", str(config)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    engine = open_database(config.parent / "state" / "hub.db")
    async with AuditLog(engine) as audit, asyncio.timeout(20):
        reading = asyncio.create_task(process.stdout.readline())
        while not reading.done():
            await audit.record(Event(kind="policy", body={"what": "added"}))
            await asyncio.wait((reading,), timeout=0.2)
        assert json.loads(await reading)["what"] == "added"
    process.terminate()
    await process.wait()
    engine.dispose()


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    file = tmp_path / "spokegate.yaml"
    file.write_text("state_dir: state\nruntime_dir: run\n")
    code, said = run("verify", "--config", str(file))
    assert (code, "there is no database yet" in said) == (5, True)
    assert not (tmp_path / "state").exists()


def test_a_pin_that_is_none_is_a_usage_error(tmp_path: Path) -> None:
    code, said = run("verify", "--pin", "12")
    assert (code, "is not SEQ:HASH" in said) == (2, True)
