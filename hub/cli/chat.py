"""`spokegate chat`: say wishes, see what is done for each, answer questions in line.

Ctrl-C cancels the wish that is in hand, and everything that it caused; between wishes it ends the chat.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

from google.protobuf.json_format import MessageToDict
from rich.text import Text

from hub.cli import asking
from hub.cli.lines import Lines, editing
from hub.cli.output import Format, err, out, print_error, safe
from hub.cli.telling import Teller
from hub.client import HubClient, HubError, Session

PROMPT = "› "
SET_A_MODEL = (
    "this hub has no model, or its provider does not answer: set `model` in spokegate.yaml (base_url, key_env, models),\n"
    "or try it with a model that plays a script, and is none: spokegate chat --scripted"
)
_HINTS = {"MODEL_UNAVAILABLE": SET_A_MODEL}
_ENDS = frozenset({"/quit", "/exit"})
_HELP = "Say what you want. Ctrl-C cancels it; Ctrl-D, or Ctrl-C at the prompt, ends the chat. /forget forgets what you said."


class Chat:
    """One session at the terminal.

    Args:
        client: The hub.
        session: The session.
        form: How to print.
        lines: Where wishes and answers are typed.
    """

    def __init__(self, client: HubClient, session: Session, form: Format, lines: Lines) -> None:
        self._client = client
        self._session = session
        self._form = form
        self._lines = lines
        self._wish: asyncio.Task[bool] | None = None
        self._over = asyncio.Event()

    async def one(self, wish: str) -> None:
        """Say one wish.

        Raises:
            HubError: It was refused, or failed.
        """
        async with self._answering(), _interrupts(self._interrupted):
            if not await self._said(wish):
                raise KeyboardInterrupt

    async def until_over(self) -> None:
        """Take wishes until there are no more, or the person goes."""
        out.print(Text(_HELP, style="dim"))
        async with self._answering(), _interrupts(self._interrupted):
            while (wish := await self._next()) is not None:
                try:
                    await self._said(wish)
                except HubError as error:
                    print_error(error, hint=_HINTS.get(error.reason, ""), form=self._form)
                    if error.code.name == "UNAVAILABLE" and not error.reason:
                        return

    async def _next(self) -> str | None:
        """Return the next wish that is typed."""
        while True:
            typed, over = asyncio.create_task(self._lines.next(PROMPT)), asyncio.create_task(self._over.wait())
            await asyncio.wait((typed, over), return_when=asyncio.FIRST_COMPLETED)
            line = typed.result() if typed.done() else None
            for task in (typed, over):
                task.cancel()
            if line is None or line.strip() in _ENDS:
                out.print()
                return None
            if line.strip():
                return line

    async def _said(self, wish: str) -> bool:
        """Say a wish and tell what happens; return whether it came to its end."""
        self._wish = asyncio.create_task(self._tell(wish))
        try:
            return await self._wish
        finally:
            self._wish = None

    async def _tell(self, wish: str) -> bool:
        teller = Teller(out)
        try:
            async with contextlib.aclosing(self._session.converse(wish)) as events:
                async for event in events:
                    if self._form is Format.JSON:
                        print(json.dumps(MessageToDict(event, preserving_proto_field_name=True)), flush=True)
                    else:
                        teller.tell(event)
        except asyncio.CancelledError:
            if self._form is Format.TEXT:
                teller.cancelled()
            return False
        return True

    def _interrupted(self) -> None:
        if self._wish is not None:
            self._wish.cancel()
        else:
            self._over.set()

    @contextlib.asynccontextmanager
    async def _answering(self) -> AsyncIterator[None]:
        """Answer questions in line while the context is open; a machine that reads JSON answers them elsewhere."""
        if self._form is Format.JSON:
            yield
            return
        async with self._client.prompts() as events:
            answering = asyncio.create_task(
                asking.answer_prompts(self._client, events, session_id=self._session.id, lines=self._lines)
            )
            try:
                yield
            finally:
                answering.cancel()
                await asyncio.gather(answering, return_exceptions=True)


async def chat(socket: Path | None, wish: str | None, form: Format, *, timeout_seconds: float) -> None:
    """Say one wish, or take them until the person goes.

    Raises:
        HubError: The hub refused, or could not do, what was asked.
    """
    async with HubClient(socket, timeout_seconds=timeout_seconds) as client, client.session() as session:
        with editing():
            talk = Chat(client, session, form, Lines())
            await (talk.one(wish) if wish is not None else talk.until_over())
