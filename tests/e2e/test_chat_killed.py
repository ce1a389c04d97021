"""Killing the hub in the middle of a chat loses nothing of what was said: it is planned with, and told, again."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hub.client import HubClient, HubError, Session
from scripted_model import Reply, Rule, Script, ScriptedModel, When
from tests.support.apps import SHIPPED
from tests.support.live import until
from tests.support.processes import processes_of
from tests.support.running import running, written

SCRIPT = Script(
    rules=(
        Rule(when=When(json_=True), then=Reply(json_={"steps": []})),
        Rule(when=When(user="slowly"), then=Reply(text="At last.", delay_ms=60_000)),
    ),
    otherwise=Reply(text="Hello, Ada!"),
)


@asynccontextmanager
async def client_of(socket: Path) -> AsyncIterator[HubClient]:
    """Connect to a hub at the socket of one that was killed, which gRPC has not forgotten yet."""
    async with HubClient(socket) as client:
        for _ in range(200):
            if await answers(client):
                break
            await asyncio.sleep(0.05)
        yield client


async def answers(client: HubClient) -> bool:
    try:
        await client.apps()
    except HubError:
        return False
    return True


async def say(session: Session, wish: str, *, until_event: str = "final") -> None:
    async for event in session.converse(wish):
        if event.WhichOneof("event") == until_event:
            break


async def remembered(client: HubClient, app: str) -> list[tuple[str, str]]:
    return [(item.turn.role, item.turn.text) async for item in client.export_memory(app)]


@pytest.mark.timeout(120)
async def test_what_was_said_before_the_hub_was_killed_is_known_after_it() -> None:
    with tempfile.TemporaryDirectory(prefix="sg-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        async with ScriptedModel(SCRIPT) as model:
            answering = {"base_url": model.base_url, "models": [{"name": "scripted"}]}
            config = written(directory, SHIPPED / "assistant", SHIPPED / "metro_hail", model=answering)
            async with running(config) as hub, HubClient(hub.socket) as client, client.session() as session:
                await say(session, "My name is Ada.")
                # The plan is told when what was said is kept; the answer would take a minute.
                await say(session, "Answer slowly, please.", until_event="plan")
                hub.process.kill()
                await hub.process.wait()
            await until(lambda: processes_of(directory) == [], 10)
            async with running(config) as hub, client_of(hub.socket) as client, client.session() as session:
                kept = await remembered(client, "hub")
                said = await remembered(client, "assistant")
                before = len(model.seen)
                await say(session, "Who am I?")
            asked = [json.dumps(seen.body) for seen in model.seen[before:]]
    assert kept == [("user", "My name is Ada."), ("user", "Answer slowly, please.")]
    assert said[:2] == [("user", "My name is Ada."), ("assistant", "Hello, Ada!")]
    # Both the planner and the assistant know of it again.
    assert len(asked) == 2
    assert all("My name is Ada." in text for text in asked)
