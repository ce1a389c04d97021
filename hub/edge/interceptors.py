"""What holds for every RPC: it has a rule, a deadline, and errors that say the kind and no more.

Invariants:
    * An RPC without a row in `RULES` is not served, and the server does not start when one of HubService lacks its row.
    * A call without a deadline gets its row's default.
    * Whatever a handler raises leaves as one google.rpc.Status, by the one table of `hub.errors`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import structlog
from grpc_status import rpc_status
from spokegate.v1 import hub_pb2

from hub.errors import DeadlineExceeded, SpokegateError, Unimplemented, to_status

_log = structlog.get_logger(__name__)

SERVICE = "spokegate.v1.HubService"


@dataclass(frozen=True, slots=True)
class Rule:
    """How an RPC is served. Who may call it is settled by its socket: the user that the socket stands for.

    Attributes:
        default_seconds: The deadline of a call that brings none.
    """

    default_seconds: float


_QUICK = Rule(default_seconds=10.0)

RULES: dict[str, Rule] = {
    "OpenSession": _QUICK,
    "CloseSession": Rule(default_seconds=30.0),
    "Converse": Rule(default_seconds=120.0),
    "Invoke": Rule(default_seconds=3600.0),  # the most that call_seconds may be, which the service applies
    "WatchPrompts": Rule(default_seconds=3600.0),
    "AnswerPrompt": _QUICK,
    "ListApps": _QUICK,
    "ListGrants": _QUICK,
    "GetGrant": _QUICK,
    "RevokeGrant": _QUICK,
    "ListDecisions": _QUICK,
    "ExplainDecision": _QUICK,
    "SetUserData": _QUICK,
    "ListUserData": _QUICK,
    "DeleteUserData": _QUICK,
    "ExportMemory": Rule(default_seconds=30.0),
    "ForgetMemory": _QUICK,
}

# Served by grpc's own packages, to anyone who can connect: they say what the server offers and whether it is well.
_STANDARD_SERVICES = ("/grpc.health.v1.Health/", "/grpc.reflection.v1alpha.ServerReflection/")


def require_rules() -> None:
    """Check that the rules and the service name the same RPCs.

    Raises:
        RuntimeError: They do not.
    """
    offered = {method.name for method in hub_pb2.DESCRIPTOR.services_by_name["HubService"].methods}
    if offered != RULES.keys():
        raise RuntimeError(f"RPCs without a rule, or rules without an RPC: {sorted(offered ^ RULES.keys())}")


class Guard(grpc.aio.ServerInterceptor):
    """Puts every RPC under its rule."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the handler to use for a call."""
        method = str(handler_call_details.method)
        if method.startswith(_STANDARD_SERVICES):
            return await continuation(handler_call_details)
        service, _, name = method.removeprefix("/").partition("/")
        rule = RULES.get(name) if service == SERVICE else None
        handler = await continuation(handler_call_details) if rule is not None else None
        if rule is None or handler is None:
            return grpc.unary_unary_rpc_method_handler(_refuse)
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                _streaming(handler.unary_stream, rule), handler.request_deserializer, handler.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(
            _unary(handler.unary_unary, rule), handler.request_deserializer, handler.response_serializer
        )


async def _refuse(_request: Any, context: Any) -> None:
    await _abort(context, Unimplemented("no such RPC"))


def _unary(behave: Callable[[Any, Any], Awaitable[Any]], rule: Rule) -> Callable[[Any, Any], Awaitable[Any]]:
    async def call(request: Any, context: Any) -> Any:
        async with _guarded(context, rule):
            return await behave(request, context)

    return call


def _streaming(
    behave: Callable[[Any, Any], AsyncIterator[Any]], rule: Rule
) -> Callable[[Any, Any], AsyncIterator[Any]]:
    async def call(request: Any, context: Any) -> AsyncIterator[Any]:
        async with _guarded(context, rule):
            async for item in behave(request, context):
                yield item

    return call


@asynccontextmanager
async def _guarded(context: Any, rule: Rule) -> AsyncIterator[None]:
    """Give a call its deadline, and turn what it raises into its status."""
    failure: Exception
    try:
        async with asyncio.timeout(seconds_left(context, rule.default_seconds)):
            yield
        return
    except TimeoutError:
        failure = DeadlineExceeded()
    except SpokegateError as error:
        failure = error
    except grpc.aio.AbortError:
        raise
    except Exception as error:
        _log.exception("an RPC failed in the hub")
        failure = error
    await _abort(context, failure)


def seconds_left(context: Any, default_seconds: float) -> float:
    """Return how long a call may still take."""
    remaining = context.time_remaining()
    return default_seconds if remaining is None else float(remaining)


async def _abort(context: Any, error: Exception) -> None:
    await context.abort_with_status(rpc_status.to_status(to_status(error)))
