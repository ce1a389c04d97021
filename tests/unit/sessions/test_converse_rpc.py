"""Converse over gRPC: what a client sees, and what becomes of its wish when it or the hub goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from spokegate.v1 import hub_pb2

from hub.client import HubClient, HubError, Session
from hub.config import ClientConfig
from hub.edge.server import EdgeServers
from hub.edge.service import Backend
from hub.errors import QuotaExceeded
from hub.sessions.converse import Answered, ConverseEvent
from hub.sessions.session import Sessions
from hub.spokes.supervisor import Supervisor
from scripted_model import Brain
from tests.support.desk import until
from tests.support.planning import FARE_WISH, planned_by, saying
from tests.unit.sessions.conversing import Room, a_room

PLACES = {"pickup": "Main Street", "destination": "Elm Avenue"}
METRO: dict[str, Any] = {
    "app": "metro_hail",
    "functions": ["estimate_fare"],
    "task": "calculate the fares",
    "call": {"function": "estimate_fare", "arguments": PLACES},
}
WAITS = {"app": "mail", "functions": ["wait"]}


class NoSpokes:
    """Where there are no spokes to end with a session."""

    def open_session(self, session: str) -> None: ...

    async def close_session(self, session: str) -> None: ...


def sessions_of(room: Room) -> Sessions:
    desk = room.desk
    return Sessions(
        mediator=desk.mediator,
        converser=room.converser,
        supervisor=cast(Supervisor, NoSpokes()),
        grants=desk.grants,
        kept=desk.kept,
        audit=desk.audit,
        max_per_user=10,
        idle_seconds=60.0,
    )


@asynccontextmanager
async def edge(room: Room) -> AsyncIterator[EdgeServers]:
    desk, sessions = room.desk, sessions_of(room)
    backend: Any = Backend.__new__(Backend)
    for name, value in {"sessions": sessions, "prompts": desk.prompts, "registry": desk.registry}.items():
        object.__setattr__(backend, name, value)
    sockets = Path(desk.engine.url.database or "").parent
    clients = [ClientConfig(user="alice", socket="alice.sock")]
    async with sessions, EdgeServers(backend, clients=clients, directory=sockets, call_seconds=10.0) as servers:
        yield servers


@asynccontextmanager
async def a_session(directory: Path, brain: Brain) -> AsyncIterator[tuple[Session, Room, EdgeServers]]:
    async with (
        a_room(directory, brain) as room,
        edge(room) as servers,
        HubClient(servers.sockets[0]) as client,
        client.session() as session,
    ):
        yield session, room, servers


async def events_of(session: Session, wish: str) -> list[hub_pb2.ConverseResponse]:
    return [event async for event in session.converse(wish)]


async def test_a_client_sees_plan_steps_text_and_the_end(tmp_path: Path) -> None:
    async with a_session(tmp_path, planned_by(METRO)) as (session, _, _):
        plan, begun, done, text, final = await events_of(session, FARE_WISH.replace("quick_ride", "another"))
    assert [(step.step_id, step.app, step.task) for step in plan.plan.steps] == [
        ("1", "metro_hail", "calculate the fares")
    ]
    assert list(plan.plan.steps[0].functions) == ["metro_hail.estimate_fare"]
    assert (begun.step.step_id, begun.step.state) == ("1", hub_pb2.STEP_STATE_BEGUN)
    assert (done.step.step_id, done.step.state) == ("1", hub_pb2.STEP_STATE_DONE)
    assert text.text == final.final.text == "$51.8"


@pytest.mark.parametrize(
    ("wish", "reason"),
    [("", "REQUEST_INVALID"), (" \n", "REQUEST_INVALID"), ("x" * (1 << 20), "REQUEST_INVALID")],
)
async def test_a_wish_that_is_none_is_refused(tmp_path: Path, wish: str, reason: str) -> None:
    async with a_session(tmp_path, planned_by()) as (session, _, _):
        with pytest.raises(HubError) as refused:
            await events_of(session, wish)
        assert refused.value.reason == reason


async def test_no_plan_is_a_status_and_the_session_goes_on(tmp_path: Path) -> None:
    async with a_session(tmp_path, saying("nonsense", "more of it", '{"steps": []}')) as (session, _, _):
        with pytest.raises(HubError) as failed:
            await events_of(session, "Tell me a joke")
        assert (failed.value.reason, str(failed.value)) == ("PLAN_INVALID", "No plan could be made for this wish.")
        assert (await events_of(session, "Tell me a joke"))[-1].final.text == "I answer by myself."


async def test_one_wish_at_a_time(tmp_path: Path) -> None:
    async with a_session(tmp_path, planned_by(WAITS)) as (session, room, _):
        first = asyncio.create_task(events_of(session, "Wait for mail"))
        await until(lambda: "mail.wait" in room.ran)
        with pytest.raises(HubError) as second:
            await events_of(session, "And this")
        assert second.value.reason == "QUOTA_EXCEEDED"
        first.cancel()
        await asyncio.wait([first])
        await until(lambda: "mail.wait ended" in room.ran)


async def test_who_has_the_answer_may_say_the_next_wish_while_the_one_before_is_put_away(tmp_path: Path) -> None:
    async with a_room(tmp_path, planned_by()) as room, sessions_of(room) as sessions:
        opened = sessions.open("alice")
        async with aclosing(sessions.converse("alice", opened, "Tell me a joke", timeout_seconds=5)) as first:
            async for event in first:
                if isinstance(event, Answered):
                    break
            second = asyncio.create_task(_all_of(sessions, opened))
            await asyncio.sleep(0)
            with pytest.raises(QuotaExceeded):
                await _all_of(sessions, opened)
        answer = (await second)[-1]
    assert isinstance(answer, Answered)
    assert answer.text == "I answer by myself."


async def _all_of(sessions: Sessions, session_id: str) -> list[ConverseEvent]:
    return [event async for event in sessions.converse("alice", session_id, "Another", timeout_seconds=5)]


async def test_a_client_that_goes_away_cancels_its_wish(tmp_path: Path) -> None:
    async with a_session(tmp_path, planned_by(WAITS)) as (session, room, _):
        async with aclosing(session.converse("Wait for mail")) as events:
            await anext(events)
            await until(lambda: "mail.wait" in room.ran)
        await until(lambda: "mail.wait ended" in room.ran)
        assert room.desk.session.plan is None


async def test_another_users_session_is_none(tmp_path: Path) -> None:
    async with a_session(tmp_path, planned_by()) as (session, _, _):
        with pytest.raises(HubError) as refused:
            await events_of(Session(session.client, "s-of-another", "alice"), "Hello")
        assert refused.value.reason == "ENTITY_NOT_FOUND"


async def test_a_hub_that_stops_says_so_to_whoever_waits(tmp_path: Path) -> None:
    async with a_room(tmp_path, planned_by(WAITS)) as room, AsyncExitStack() as hub:
        servers = await hub.enter_async_context(edge(room))
        async with HubClient(servers.sockets[0]) as client, client.session() as session:
            waiting = asyncio.create_task(events_of(session, "Wait for mail"))
            await until(lambda: "mail.wait" in room.ran)
            await hub.aclose()
            with pytest.raises(HubError) as ended:
                await waiting
            assert ended.value.reason == "SPOKE_UNAVAILABLE"
            assert "mail.wait ended" in room.ran
            with pytest.raises(HubError) as later:
                await events_of(session, "And now?")
            assert later.value.code.name == "UNAVAILABLE"
