"""The answer of an agent on its way to the person, while the model still speaks."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final, Self

from spoke_runner.sdk.call import Call
from spoke_runner.sdk.withheld import Withheld, whole_places

SECONDS_BETWEEN: Final = 0.1
MAX_PIECE_CHARACTERS: Final = 250
MAX_CHARACTERS: Final = 48_000


class AnswerStream:
    """Sends what a model says on as it comes. Use as `async with`, which waits until all is sent.

    Pieces that come in a row go together: each is a frame, and of those a call has only so many.

    Args:
        call: The call that answers.
        withheld: What stands for texts that the model does not see, and the person does.
    """

    def __init__(self, call: Call, withheld: Withheld) -> None:
        self._call = call
        self._withheld = withheld
        self._held = ""
        self._due = ""
        self._characters = 0
        self._said_before = False
        self._new = asyncio.Event()
        self._ended = asyncio.Event()
        self._sender: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._sender = asyncio.create_task(self._send())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        if self._sender is None:
            return
        if kind is not None:
            self._sender.cancel()
            await asyncio.wait({self._sender})
            return
        self.end()
        await self._sender

    def end(self) -> None:
        """Say that nothing more comes: the rest goes at once."""
        self._release(self._held)
        self._held = ""
        self._ended.set()
        self._new.set()

    def begin(self) -> None:
        """Begin another answer of the model, which is set off from what was said before."""
        self._release(self._held)
        self._held = ""
        self._said_before = self._characters > 0

    async def add(self, piece: str) -> None:
        """Add what the model just said; what is more than an answer holds is dropped."""
        if self._characters > MAX_CHARACTERS:
            return
        ready, self._held = whole_places(self._held + piece)
        self._release(ready)

    def _release(self, text: str) -> None:
        if not text:
            return
        if self._said_before:
            text, self._said_before = f"\n\n{text}", False
        spelt = self._withheld.spell_out(text)
        self._characters += len(spelt)
        self._due += spelt
        self._new.set()

    async def _send(self) -> None:
        while True:
            await self._new.wait()
            self._new.clear()
            while self._due:
                piece, self._due = self._due[:MAX_PIECE_CHARACTERS], self._due[MAX_PIECE_CHARACTERS:]
                await self._call.progress(piece, answer=True)
            if self._ended.is_set():
                return
            # The first piece goes at once; what comes soon after it waits for company.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), SECONDS_BETWEEN)
