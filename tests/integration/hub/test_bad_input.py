"""Bad input to a live hub: a clear error, nothing reached, nothing lost."""

from __future__ import annotations

import asyncio
import json

import grpc
import pytest
from spokegate.v1 import hub_pb2, hub_pb2_grpc

from hub.client import Session
from tests.support.live import Live, ask, refused, runs, until

INVALID = grpc.StatusCode.INVALID_ARGUMENT

# They share a hub, which lives in a loop.
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def ran(session: Session, function: str) -> None:
    """Wait until a function of the vault has run."""
    for _ in range(200):
        if function in await runs(session):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{function} has not run")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ('{"text": 5}', "/text"),
        ('{"txt": "x"}', "txt"),
        ("{}", "text"),
        ('{"text": "x", "text": "y"}', "duplicate key 'text'"),
        ('{"text": NaN}', "NaN is not JSON"),
        ('{"text": 1e999}', "beyond the exact range"),
        ('{"text": "\\ud800"}', "not Unicode"),
        ('{"text": ' + "[" * 100 + "]" * 100 + "}", "nested"),
        ('{"text": "x"', "line 1, column"),
        ('["text"]', "not a JSON object"),
        ("", "not JSON"),
    ],
    ids=lambda value: str(value)[:24],
)
async def test_bad_arguments_are_told_to_their_caller_and_reach_no_app(
    session: Session, arguments: str, says: str
) -> None:

    error = await refused(session.invoke("vault.note", arguments))
    assert (error.code, error.reason) == (INVALID, "REQUEST_INVALID")
    assert says in str(error)
    record = (await session.client.explain(error.decision_id)).record
    assert record.function == "vault.note"
    assert await runs(session) == []


async def test_a_format_is_checked(session: Session) -> None:
    error = await refused(session.invoke("vault.send", {"to": "not an address", "body": "x"}))
    assert error.reason == "REQUEST_INVALID"


@pytest.mark.parametrize("megabytes", [2, 5])
async def test_megabytes_of_arguments_are_refused_and_the_hub_goes_on(session: Session, megabytes: int) -> None:
    error = await refused(session.invoke("vault.note", {"text": "x" * (megabytes << 20)}))
    assert error.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    await session.invoke("vault.note", {"text": "x"})
    assert await runs(session) == ["note"]


@pytest.mark.parametrize(
    "function", ["vault.none", "none.note", "none", "", "vault.note.", ".", "vault", "user", "x" * 5000]
)
async def test_an_unknown_function_is_not_found(session: Session, function: str) -> None:
    error = await refused(session.invoke(function, {}))
    assert (error.code, error.reason, str(error)) == (
        grpc.StatusCode.NOT_FOUND,
        "FUNCTION_NOT_FOUND",
        "There is no such function.",
    )
    assert error.decision_id


async def test_what_is_wrong_with_an_ask_is_told_to_the_spoke(session: Session) -> None:
    texts = ['{"text": "x", "text": "y"}', '{"text": NaN}', "[" * 100 + "]" * 100, "no JSON"]
    for outcome in await ask(session, *({"function": "vault.note", "text": text} for text in texts)):
        assert outcome["refused"] == "REQUEST_INVALID"
        assert outcome["message"].startswith("arguments: ")
    assert await runs(session) == []


async def test_an_unknown_session_is_not_found(hub: Live) -> None:
    error = await refused(hub.client.invoke("s-none", "vault.note", {"text": "x"}))
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "ENTITY_NOT_FOUND")


async def test_a_call_without_a_deadline_gets_the_configured_one(hub: Live, session: Session) -> None:
    async with grpc.aio.insecure_channel(f"unix:{hub.socket}") as channel:
        request = hub_pb2.InvokeRequest(session_id=session.id, function="vault.runs", arguments_json="{}")
        stub: hub_pb2_grpc.HubServiceAsyncStub = hub_pb2_grpc.HubServiceStub(channel)
        reply = await stub.Invoke(request)
    assert json.loads(reply.result_json) == []
    assert hub.config.limits.call_seconds < 60


async def test_a_client_that_goes_away_takes_its_call_with_it(hub: Live, session: Session) -> None:
    call = asyncio.create_task(session.invoke("vault.slow", {}))
    await until(lambda: [body for _, _, body in hub.rows("decision") if body["function"] == "vault.slow"])
    await ran(session, "slow")
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await ran(session, "slow was cancelled")
    [decision_id] = [id_ for _, id_, body in hub.rows("decision") if body["function"] == "vault.slow"]
    assert await hub.outcome(decision_id) == "CANCELLED"


async def test_a_page_token_that_is_none_is_refused(hub: Live) -> None:
    async with grpc.aio.insecure_channel(f"unix:{hub.socket}") as channel:
        stub: hub_pb2_grpc.HubServiceAsyncStub = hub_pb2_grpc.HubServiceStub(channel)
        for token, size in (("x", 1), ("-1", 1), ("9" * 40, 1), ("²", 1), ("", -1), ("", 1001)):
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await stub.ListDecisions(hub_pb2.ListDecisionsRequest(page_token=token, page_size=size), timeout=5)
            assert error.value.code() is INVALID
