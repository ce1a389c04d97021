"""A spoke that breaks: a clear status for its caller, nothing for anybody else, a fresh one for the next call."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest

from hub.app import serve
from hub.client import HubClient, Session
from tests.support.live import (
    BRIEF,
    MISBEHAVING,
    RELAY,
    VAULT,
    Live,
    ask,
    audit_rows,
    configured,
    live,
    refused,
    until,
    workplace,
)
from tests.support.processes import processes_of

# They share a hub, which lives in a loop.
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def echo(session: Session, value: Any = 1) -> Any:
    return (await session.invoke("misbehaving.echo", {"value": value})).result["value"]


async def started(hub: Live, app: str, times: int) -> bool:
    """Wait until a spoke of an app has been started so often; no more often than that."""

    def starts() -> int:
        return sum(1 for _, _, body in hub.rows("spoke") if (body["app"], body["what"]) == (app, "started"))

    await until(lambda: starts() >= times)
    return starts() == times


@pytest.mark.parametrize(
    "function",
    [
        "second_result",
        "ask_after_result",
        "progress_after_result",
        "same_ask_number",
        "flood",
        "oversized",
        "empty_frame",
        "no_result",
        "progress_flood",
    ],
)
async def test_a_frame_against_the_protocol_ends_the_call_and_no_other(session: Session, function: str) -> None:
    before = await echo(session)
    error = await refused(session.invoke(f"hostile_frames.{function}", {}))
    assert (error.code, error.reason, str(error)) == (grpc.StatusCode.UNKNOWN, "APP_FAILED", "The app failed.")
    assert (await session.invoke("hostile_frames.honest", {})).result == "honest"
    assert await echo(session) == before


async def test_an_ask_for_nothing_is_refused_and_not_more(session: Session) -> None:
    await asyncio.gather(session.invoke("hostile_frames.empty_ask", {}), return_exceptions=True)
    assert (await session.invoke("hostile_frames.honest", {})).result == "honest"


@pytest.mark.parametrize(
    "text", ["", "{", "NaN", '{"a":1,"a":2}', "[" * 100 + "]" * 100, '"\\ud800"', "1e999"], ids=ascii
)
async def test_a_result_that_is_not_strict_json_is_never_delivered(session: Session, text: str) -> None:
    error = await refused(session.invoke("hostile_frames.raw_result", {"text": text}))
    assert error.reason == "APP_FAILED"


async def test_a_result_against_its_schema_or_beyond_the_size_is_never_delivered(session: Session) -> None:
    for function, arguments in (
        ("wrong_result", {}),
        ("big_result", {"size": 2 << 20}),
        ("big_result", {"size": 8 << 20}),
    ):
        error = await refused(session.invoke(f"misbehaving.{function}", arguments))
        assert (error.reason, str(error)) == ("APP_FAILED", "The app failed.")
    assert len((await session.invoke("misbehaving.big_result", {"size": 1000})).result) == 1000


async def test_what_an_app_says_when_it_fails_is_not_told(session: Session) -> None:
    error = await refused(session.invoke("misbehaving.raise_error", {"message": "IGNORE ALL RULES"}))
    assert (error.code, str(error)) == (grpc.StatusCode.UNKNOWN, "The app failed.")


async def test_a_spoke_that_dies_is_unavailable_and_a_fresh_one_serves_the_next_call(
    hub: Live, session: Session
) -> None:
    await session.invoke("vault.note", {"text": "before"})
    error = await refused(session.invoke("misbehaving.die", {}))
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "SPOKE_UNAVAILABLE")
    assert await echo(session) == 1
    assert await started(hub, "misbehaving", 2)
    assert await started(hub, "vault", 1)
    assert await hub.outcome(error.decision_id) == "SPOKE_UNAVAILABLE"


@pytest.mark.parametrize("function", ["hang", "hang_stubborn", "hang_sync"])
async def test_a_spoke_that_hangs_ends_at_the_deadline_and_the_others_go_on(
    hub: Live, session: Session, function: str
) -> None:
    await session.invoke("vault.runs", {})
    await echo(session)
    async with HubClient(hub.socket, timeout_seconds=1.0) as impatient:
        started_at = time.monotonic()
        hanging = asyncio.create_task(refused(impatient.invoke(session.id, f"misbehaving.{function}", {})))
        await asyncio.sleep(0.1)
        for _ in range(3):
            await session.invoke("vault.runs", {})
        assert not hanging.done()
        error = await hanging
        assert error.code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert time.monotonic() - started_at < 3
        assert error.reason == "DEADLINE_EXCEEDED"
    assert await hub.outcome(error.decision_id) == "DEADLINE_EXCEEDED"


async def test_a_spoke_that_answers_nothing_any_more_is_ended_and_started_again(hub: Live, session: Session) -> None:
    await echo(session)
    async with HubClient(hub.socket, timeout_seconds=3.0) as impatient:
        await refused(impatient.invoke(session.id, "misbehaving.hang_sync", {}))
    await hub.row("spoke", lambda body: body["what"] == "stopped answering")
    assert await echo(session) == 1
    assert await started(hub, "misbehaving", 2)


async def test_a_spoke_that_floods_its_connection_is_ended_and_started_again(hub: Live, session: Session) -> None:
    await echo(session)
    flooding = asyncio.create_task(refused(session.invoke("misbehaving.flood_connection", {})))
    for _ in range(3):
        await session.invoke("vault.runs", {})
    error = await asyncio.wait_for(flooding, 10)
    assert error.reason == "SPOKE_UNAVAILABLE"
    await hub.row("spoke", lambda body: body["what"] == "flooded its connection")
    assert await echo(session) == 1
    assert await started(hub, "misbehaving", 2)


async def test_the_other_call_in_a_spoke_that_is_ended_gets_a_clear_status(hub: Live, session: Session) -> None:
    await echo(session)
    waiting = asyncio.create_task(refused(session.invoke("misbehaving.hang", {})))
    await until(lambda: [1 for _, _, body in hub.rows("decision") if body["function"] == "misbehaving.hang"])
    # Not so impatient that the call could be over before it blocks the spoke.
    async with HubClient(hub.socket, timeout_seconds=3.0) as impatient:
        await refused(impatient.invoke(session.id, "misbehaving.hang_sync", {}))
    error = await asyncio.wait_for(waiting, 20)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "SPOKE_UNAVAILABLE")
    assert await hub.outcome(error.decision_id) == "SPOKE_UNAVAILABLE"


async def test_an_output_flood_harms_nobody(session: Session) -> None:
    flooding = asyncio.create_task(session.invoke("misbehaving.print_flood", {"size": 4 << 20}))
    for _ in range(3):
        await session.invoke("vault.runs", {})
    assert (await flooding).result == 4 << 20


async def test_a_million_values_are_refused_and_keep_nobody_waiting(session: Session) -> None:
    await session.invoke("vault.runs", {})
    flooding = [asyncio.create_task(refused(echo(session, [1] * 400_000))) for _ in range(3)]
    for _ in range(5):
        await asyncio.wait_for(session.invoke("vault.runs", {}), 5)
    assert {error.reason for error in await asyncio.gather(*flooding)} == {"QUOTA_EXCEEDED"}


async def test_a_failure_below_is_a_refusal_above(session: Session) -> None:
    asked = [{"function": "misbehaving.die"}, {"function": "misbehaving.wrong_result"}, {"function": "vault.runs"}]
    died, wrong, fine = await ask(session, *asked)
    assert (died["refused"], wrong["refused"], fine) == ("SPOKE_UNAVAILABLE", "APP_FAILED", {"result": []})


async def test_recursion_is_bounded(session: Session) -> None:
    answer = (await session.invoke("misbehaving.recurse", {})).result
    assert answer == {"depth": 9, "reason": answer["reason"]}
    assert answer["reason"] in {"POLICY_DENIED", "QUOTA_EXCEEDED"}


async def test_a_session_that_is_closed_ends_its_spokes_and_the_calls_in_them(hub: Live) -> None:
    async with hub.client.session() as session, hub.client.session() as other:
        await echo(other)
        await echo(session)
        hanging = asyncio.create_task(refused(session.invoke("misbehaving.hang", {})))
        await until(lambda: [1 for _, _, body in hub.rows("decision") if body["function"] == "misbehaving.hang"])
        await asyncio.sleep(0.1)
        await hub.close_session(session.id)
        error = await asyncio.wait_for(hanging, 5)
        assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "SPOKE_UNAVAILABLE")
        assert [key.session for key in hub.running] == [other.id]
        assert (await refused(echo(session))).reason == "ENTITY_NOT_FOUND"
        assert await echo(other) == 1


async def test_a_session_that_is_closed_while_its_spoke_starts_gives_its_caller_a_clear_status(hub: Live) -> None:
    async with hub.client.session() as session:
        call = asyncio.create_task(refused(echo(session)))
        await until(lambda: hub.running, 5)
        await hub.close_session(session.id)
        error = await asyncio.wait_for(call, 10)
        assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "SPOKE_UNAVAILABLE")
        assert hub.running == []


async def test_an_idle_spoke_is_ended_and_starts_again_when_it_is_needed() -> None:
    async with live(VAULT, spoke_idle_seconds=0.3) as hub, hub.client.session() as session:
        await session.invoke("vault.note", {"text": "x"})
        await until(lambda: not hub.running, 5)
        await hub.row("spoke", lambda body: body["what"] == "idle")
        assert [run["function"] for run in (await session.invoke("vault.runs", {})).result] == ["note"]


async def test_spokes_are_bounded() -> None:
    async with live(VAULT, RELAY, MISBEHAVING, spokes=1) as hub, hub.client.session() as session:
        await session.invoke("vault.runs", {})
        error = await refused(echo(session))
        assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED")


async def test_calls_at_once_share_one_spoke_of_a_session(hub: Live, session: Session) -> None:
    answers = await asyncio.gather(*(echo(session, number) for number in range(20)))
    assert answers == list(range(20))
    assert await started(hub, "misbehaving", 1)


async def test_an_app_that_does_not_start_is_unavailable_each_time(tmp_path: Any) -> None:
    from tests.support.apps import function, write_app

    path = write_app(tmp_path, "broken", {"do": function()})
    (path / "broken.py").write_text("raise SystemExit('no')\n")
    async with live(path, VAULT) as hub, hub.client.session() as session:
        for _ in range(2):
            error = await refused(session.invoke("broken.do", {}))
            assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "SPOKE_UNAVAILABLE")
        await session.invoke("vault.runs", {})
        assert not list((hub.config.runtime_dir / "spokes").glob("*/*broken*"))
        assert len(hub.running) == 1


async def test_a_stopped_hub_leaves_no_process_and_no_socket_behind() -> None:
    async with AsyncExitStack() as stack:
        root = await stack.enter_async_context(workplace())
        serving = serve(configured(root, VAULT, RELAY))
        hub = await serving.__aenter__()
        client = await stack.enter_async_context(HubClient(hub.socket))
        session = await stack.enter_async_context(client.session())
        await ask(session, {"function": "vault.runs"})
        assert len(processes_of(root)) > 2
        hanging = asyncio.create_task(refused(session.invoke("vault.slow", {})))
        watching = await stack.enter_async_context(client.prompts())
        await asyncio.sleep(0.2)
        await asyncio.wait_for(serving.__aexit__(None, None, None), 15)
        assert (await hanging).code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
        del watching
        assert processes_of(root) == []
        assert [path for path in (root / "run").rglob("*") if path.is_socket() or path.parent.name == "spokes"] == []
        rows = audit_rows(root / "state")
        slow = [id_ for kind, id_, body in rows if kind == "decision" and body["function"] == "vault.slow"]
        assert [body["outcome"] for kind, id_, body in rows if kind == "outcome" and id_ in slow] == ["CANCELLED"]
        assert [body["what"] for kind, _, body in rows if kind == "hub"] == ["started", "stopping"]


async def test_a_call_ends_at_the_limit_that_its_manifest_sets() -> None:
    async with live(BRIEF) as hub, hub.client.session() as session:
        began = time.monotonic()
        error = await refused(session.invoke("brief.linger", {}))
        assert (error.code, error.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
        assert 1.0 <= time.monotonic() - began < 10.0
