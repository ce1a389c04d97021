"""An app served in this process, without a sandbox, on a unix socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from spoke_runner.sdk.server import serve


@asynccontextmanager
async def serving(entry: str, app_dir: Path, data_dir: Path, socket: Path) -> AsyncIterator[grpc.aio.Channel]:
    """Serve an app and yield a channel to it."""
    ready = asyncio.Event()
    server = asyncio.create_task(
        serve(entry=entry, app_dir=app_dir, data_dir=data_dir, socket_path=socket, on_ready=ready.set)
    )
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({server, waiting}, timeout=10, return_when=asyncio.FIRST_COMPLETED)
    if server.done():
        await server
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        yield channel
    server.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await server
