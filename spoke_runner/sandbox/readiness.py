"""Wait until a program serves that knows nothing of the launcher: until its health service says so.

A program without our SDK says nothing on the report socket, which was closed when it was executed. So the launcher asks
it what the hub will ask it again later: `grpc.health.v1`, on its socket.

Invariants:
    * What is dialed is a socket of the spoke's uid, in the directory of this spoke alone.
    * Every question has a deadline and a small answer; whoever waits sets the deadline of the whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

_ANSWER_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.01
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", 4 << 10),
    ("grpc.max_metadata_size", 8 << 10),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    # Between its bind and its listen a program refuses, and the usual second until the next try is a slow start.
    ("grpc.initial_reconnect_backoff_ms", 10),
    ("grpc.min_reconnect_backoff_ms", 10),
)


async def serving(socket: Path, is_its_own: Callable[[], bool]) -> str:
    """Wait until a program serves; return nothing then, or why it never will.

    Args:
        socket: Where it is to serve.
        is_its_own: Whether there is a socket, and it is the program's.
    """
    async with grpc.aio.insecure_channel(f"unix:{socket}", options=_OPTIONS) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # the package's types do not know the method
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if not is_its_own():
                continue
            try:
                reply = await stub.Check(health_pb2.HealthCheckRequest(), timeout=_ANSWER_SECONDS)
            except grpc.aio.AioRpcError as error:
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                    return f"answers {error.code().name} to a health check: it must serve grpc.health.v1"
            else:
                if reply.status == health_pb2.HealthCheckResponse.SERVING:
                    return ""
