"""The hub's surface as any gRPC client finds it: reflection, health, decisions and grants to read."""

from __future__ import annotations

import json
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from hub.app import HubRunning, serve
from hub.client import HubError, Session
from tests.support.live import (
    ONCE,
    RELAY,
    SESSION,
    VAULT,
    Live,
    Person,
    app,
    ask,
    configured,
    live,
    refused,
    runs,
    unsaid,
    workplace,
)

SERVICE = "spokegate.v1.HubService"


async def reflected(channel: Any, **request: Any) -> Any:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    stream = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(**request)]), timeout=5)
    return await stream.read()


async def test_a_client_that_knows_nothing_lists_and_calls_the_service_by_reflection(hub: Live) -> None:
    async with grpc.aio.insecure_channel(f"unix:{hub.hub.socket}") as channel:
        listed = await reflected(channel, list_services="")
        assert SERVICE in {service.name for service in listed.list_services_response.service}
        pool = descriptor_pool.DescriptorPool()
        pending, known = ["spokegate/v1/hub.proto"], {}
        while pending:
            name = pending.pop()
            reply = await reflected(channel, file_by_filename=name)
            for data in reply.file_descriptor_response.file_descriptor_proto:
                file = descriptor_pb2.FileDescriptorProto.FromString(data)
                if file.name not in known:
                    known[file.name] = file
                    pending.extend(file.dependency)
        for name in _in_order(known):
            pool.Add(known[name])
        method = pool.FindServiceByName(SERVICE).FindMethodByName("ListApps")
        request = message_factory.GetMessageClass(method.input_type)()
        call: Any = channel.unary_unary(
            f"/{SERVICE}/ListApps",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
        )
        reply = await call(request, timeout=5)
    assert [app.name for app in reply.apps] == ["hostile_frames", "misbehaving", "relay", "vault"]


def _in_order(files: dict[str, Any]) -> list[str]:
    order: list[str] = []

    def add(name: str) -> None:
        for dependency in files[name].dependency:
            if dependency in files and dependency not in order:
                add(dependency)
        if name not in order:
            order.append(name)

    for name in files:
        add(name)
    return order


async def test_the_hub_says_that_it_is_well(hub: Live) -> None:
    async with grpc.aio.insecure_channel(f"unix:{hub.hub.socket}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        for service in ("", SERVICE):
            reply = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
            assert reply.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_wish_to_a_hub_without_a_model_says_so_by_the_table(session: Session) -> None:
    with pytest.raises(HubError) as failed:
        await anext(session.converse("Note that I was here"))
    assert (failed.value.code, failed.value.reason) == (grpc.StatusCode.UNAVAILABLE, "MODEL_UNAVAILABLE")


async def test_a_decision_can_be_explained_from_the_access_request_it_was_made_on(session: Session) -> None:
    done = await session.invoke("vault.note", {"text": "the very words"})
    explained = await session.client.explain(done.decision_id)
    document = json.loads(explained.input_json)
    assert document["resource"]["id"] == "vault.note"
    assert document["subject"] == {"type": "user", "id": "user", "user": "alice", "roles": []}
    assert "the very words" not in explained.input_json
    assert explained.record.policy_revision.startswith("sha256:")
    assert [reason.code for reason in explained.record.decision.reasons] == ["direct.user_call"]


async def test_decisions_are_listed_with_caller_chain_outcome_and_the_one_they_follow() -> None:
    async with live(VAULT, app(RELAY, clearance=("health",))) as hub, hub.client.session() as session:
        await ask(session, {"function": "vault.read_secret"})
        records = {(record.action, record.function): record for record in await hub.client.decisions()}
    below = records["invoke", "vault.read_secret"]
    assert (below.caller, list(below.chain), below.outcome) == ("relay", ["user", "relay"], "done")
    review = records["return", "vault.read_secret"]
    assert review.parent_decision_id == below.decision.decision_id
    assert review.time.ToNanoseconds() > below.time.ToNanoseconds()


async def test_a_session_grant_spares_the_next_prompt_until_it_is_revoked(hub: Live, session: Session) -> None:
    arguments = {"to": "eve@example.org", "body": "x"}
    wish = unsaid("vault.send", **arguments)
    async with Person(hub.client, SESSION, None).watching() as person:
        assert await ask(session, wish, wish) == [{"result": {"ran": "send"}}] * 2
        assert len(person.seen) == 1
        prompt = person.seen[0]
        assert (prompt.caller, prompt.function, prompt.function_effect) == ("relay", "vault.send", "write")
        assert json.loads(prompt.arguments_json) == arguments
        assert "/to" in prompt.untrusted_pointers
        [grant] = await hub.client.grants()
        assert dict(grant.constraint_json) == {"/to": '"eve@example.org"'}
        await hub.client.revoke(grant.grant_id)
        [outcome] = await ask(session, wish)
        assert outcome["refused"] == "CONSENT_REFUSED"
        assert len(person.seen) == 2
        assert await hub.client.grants() == []


async def test_grants_end_with_their_session(hub: Live) -> None:
    async with Person(hub.client, ONCE, SESSION).watching(), hub.client.session() as session:
        await session.invoke("vault.erase", {"name": "x"})
        await ask(session, unsaid("vault.send", to="eve@example.org", body="x"))
        assert len(await hub.client.grants(session_id=session.id)) == 1
    for _ in range(100):
        if not await hub.client.grants():
            break
    assert await hub.client.grants() == []


async def test_a_watcher_that_left_is_not_waited_for(hub: Live, session: Session) -> None:
    async with Person(hub.client).watching():
        pass
    error = await refused(session.invoke("vault.erase", {"name": "x"}))
    assert error.reason == "CONSENT_REQUIRED"
    assert await runs(session) == []


async def test_a_second_hub_in_the_same_place_does_not_start_and_does_not_disturb_the_first() -> None:
    async with workplace() as root, live(VAULT, root=root) as hub, hub.client.session() as session:
        with pytest.raises(HubRunning, match="another hub"):
            async with serve(configured(root, VAULT)):
                pass
        await session.invoke("vault.note", {"text": "x"})


async def test_a_hub_that_starts_again_goes_on_with_its_log_and_data() -> None:
    async with workplace() as root:
        for times in (1, 2):
            async with live(VAULT, root=root) as hub, hub.client.session() as session:
                await session.invoke("vault.note", {"text": "x"})
                assert await runs(session) == ["note"] * times
                assert len(await hub.client.decisions()) == 2 * times
