"""What holds for every RPC, and what of the hub's own files must agree."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from spokegate.v1 import hub_pb2

from hub.edge import interceptors
from hub.edge.interceptors import RULES, SERVICE, Guard, require_rules
from hub.edge.server import SocketUnusable, private_directory
from hub.errors import PolicyDenied, RequestInvalid
from hub.mediation.actions import ACTIONS
from hub.mediation.request import input_schema

PROJECT = Path(__file__).parents[3]


@pytest.fixture
def sockets() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sg-") as name:
        yield Path(name)


class Handlers(grpc.GenericRpcHandler):
    """Serves every method whatever: unary ones run `act`, streaming ones yield what it gives, then wait."""

    def __init__(self, act: Any) -> None:
        self._act = act

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        if str(details.method).endswith("/WatchPrompts"):
            return grpc.unary_stream_rpc_method_handler(self._stream)
        return grpc.unary_unary_rpc_method_handler(self._unary)

    async def _unary(self, request: bytes, context: Any) -> bytes:
        return await self._act(context)  # type: ignore[no-any-return]

    async def _stream(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield await self._act(context)


@asynccontextmanager
async def guarded(sockets: Path, act: Any) -> AsyncIterator[Any]:
    server = grpc.aio.server(interceptors=[Guard()])
    server.add_generic_rpc_handlers((Handlers(act),))
    server.add_insecure_port(f"unix:{sockets}/s")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"unix:{sockets}/s") as channel:
            yield channel
    finally:
        await server.stop(None)


async def failure(channel: Any, method: str, timeout: float | None = None) -> tuple[grpc.StatusCode, str]:
    """Call a method that must fail, and return its status and reason."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await channel.unary_unary(method)(b"", timeout=timeout)
    status = rpc_status.from_call(error.value)  # type: ignore[arg-type]
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return error.value.code(), info.reason


def test_every_rpc_has_a_rule_and_every_rule_an_rpc() -> None:
    require_rules()
    methods = {method.name for method in hub_pb2.DESCRIPTOR.services_by_name["HubService"].methods}
    assert methods == RULES.keys()


def test_a_server_with_an_rpc_without_a_rule_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(RULES, "Invoke")
    with pytest.raises(RuntimeError, match="Invoke"):
        require_rules()


@pytest.mark.parametrize(
    "method", [f"/{SERVICE}/Sudo", "/spokegate.v1.Other/Invoke", "/spokegate.v1.SpokeService/Run", "/x/y"]
)
async def test_an_rpc_without_a_rule_is_refused_though_it_has_a_handler(sockets: Path, method: str) -> None:
    async def act(context: Any) -> bytes:
        raise AssertionError("reached")

    async with guarded(sockets, act) as channel:
        assert await failure(channel, method) == (grpc.StatusCode.UNIMPLEMENTED, "UNIMPLEMENTED")


async def test_an_rpc_with_a_rule_is_served(sockets: Path) -> None:
    async def act(context: Any) -> bytes:
        return b"served"

    async with guarded(sockets, act) as channel:
        assert await channel.unary_unary(f"/{SERVICE}/Invoke")(b"") == b"served"
        assert [item async for item in channel.unary_stream(f"/{SERVICE}/WatchPrompts")(b"")] == [b"served"]


async def test_a_call_without_a_deadline_gets_the_rules(sockets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(context: Any) -> bytes:
        assert context.time_remaining() is None
        await asyncio.sleep(30)
        return b""

    monkeypatch.setitem(RULES, "ListApps", interceptors.Rule(default_seconds=0.05))
    async with guarded(sockets, act) as channel:
        assert await failure(channel, f"/{SERVICE}/ListApps") == (
            grpc.StatusCode.DEADLINE_EXCEEDED,
            "DEADLINE_EXCEEDED",
        )


def test_no_rule_lets_a_call_run_for_ever() -> None:
    assert all(0 < rule.default_seconds <= 3600 for rule in RULES.values())


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (PolicyDenied("secret"), (grpc.StatusCode.PERMISSION_DENIED, "POLICY_DENIED")),
        (RequestInvalid("arguments"), (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID")),
        (KeyError("secret"), (grpc.StatusCode.INTERNAL, "INTERNAL")),
    ],
)
async def test_whatever_a_handler_raises_leaves_by_the_table(
    sockets: Path, error: Exception, expected: tuple[grpc.StatusCode, str]
) -> None:
    async def act(context: Any) -> bytes:
        raise error

    async with guarded(sockets, act) as channel:
        assert await failure(channel, f"/{SERVICE}/Invoke") == expected


def test_the_input_schema_on_disk_is_the_one_of_the_code() -> None:
    assert json.loads((PROJECT / "opa" / "schemas" / "input.json").read_text()) == input_schema()


def test_every_action_of_the_mediator_is_offered_by_the_policies() -> None:
    offered = (PROJECT / "policies" / "spokegate" / "rules" / "registry" / "registry.rego").read_text()
    assert all(f'"{action}"' in offered for action in ACTIONS)


def test_a_runtime_directory_is_private(sockets: Path) -> None:
    assert private_directory(sockets / "run").stat().st_mode & 0o777 == 0o700
    (sockets / "open").mkdir(mode=0o755)
    (sockets / "link").symlink_to(sockets / "run")
    (sockets / "file").touch()
    for name in ("open", "link", "file"):
        with pytest.raises((SocketUnusable, FileExistsError)):
            private_directory(sockets / name)
