"""A hub's end of a spoke's socket with the flaws that SecGPT's had, and nothing else: the control of `test_wire.py`."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

PATIENCE_SECONDS = 0.3
PIECE_BYTES = 1024


class LineHub:
    """Takes messages as lines of JSON, in pieces that it decodes one by one, without a deadline or a limit."""

    def __init__(self) -> None:
        # It keeps the spoke's end open, so that it never sees the end of a spoke.
        self._mine, self._spokes = socket.socketpair()
        self._mine.setblocking(False)

    async def take(self, *sent: bytes) -> list[str]:
        """Let a spoke send this and die; return what came of each message that the hub waits for."""
        sending = asyncio.create_task(self._send(b"".join(sent)))
        try:
            return [await self._outcome() for _ in range(max(1, len(sent)))]
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            self._mine.close()
            self._spokes.close()

    async def _send(self, data: bytes) -> None:
        end = self._spokes.dup()
        end.setblocking(False)
        with end:
            await asyncio.get_running_loop().sock_sendall(end, data)

    async def _outcome(self) -> str:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return str((await self._receive())["kind"])
        except TimeoutError:
            return "waits for ever"
        except (TypeError, UnicodeDecodeError) as error:
            return f"the query is lost: {type(error).__name__}"

    async def _receive(self) -> Any:
        text = ""
        while "\n" not in text:
            text += (await asyncio.get_running_loop().sock_recv(self._mine, PIECE_BYTES)).decode()
        try:
            return json.loads(text.partition("\n")[0])  # what came behind the line is gone
        except ValueError:
            return None
