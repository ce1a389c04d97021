"""`spokegate chat`: say wishes, see what is done for each, answer questions in line.

Ctrl-C cancels the wish that is in hand, and everything that it caused; between wishes it ends the chat.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from google.protobuf.json_format import MessageToDict
from rich.text import Text

from hub.cli import asking
from hub.cli.lines import Lines, editing
from hub.cli.output import Format, out, print_error
from hub.cli.telling import Teller
from hub.client import HubClient, HubError, Session

PROMPT = "› "
HINTS = {
    "": "is the hub up? start it with: spokegate up, or try one with a model that plays a script: "
    "spokegate chat --scripted",
    "MODEL_UNAVAILABLE": "the hub has no model, or its provider does not answer: set `model` in spokegate.yaml, "
    "or try it with a model that plays a script: spokegate chat --scripted",
    "UNIMPLEMENTED": "install the app `assistant`: add it to `apps` in spokegate.yaml",
}
_ENDS = frozenset({"/quit", "/exit"})
_HELP = "Say what you want. Ctrl-C cancels a wish; at the prompt, it or Ctrl-D ends the chat."


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
        self._wish: asyncio.Task[None] | None = None
        self._over = asyncio.Event()

    async def one(self, wish: str) -> None:
        """Say one wish.

        Raises:
            HubError: It was refused, or failed.
        """
        async with self._answering():
            with _interrupts(self._interrupted):
                await self._said(wish)

    async def until_over(self) -> None:
        """Take wishes until there are no more, or the person goes."""
        out.print(Text(_HELP, style="dim"))
        async with self._answering():
            with _interrupts(self._interrupted):
                while (wish := await self._next()) is not None:
                    try:
                        await self._said(wish)
                    except HubError as error:
                        if not error.reason or error.reason == "ENTITY_NOT_FOUND":
                            raise  # the hub is gone, or the session is
                        print_error(error, hint=HINTS.get(error.reason, ""), form=self._form)

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

    async def _said(self, wish: str) -> None:
        """Say a wish, and tell what happens until it is over."""
        self._wish = asyncio.create_task(self._tell(wish))
        try:
            await self._wish
        finally:
            self._wish = None

    async def _tell(self, wish: str) -> None:
        teller = Teller(out, wish)
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


@contextlib.contextmanager
def _interrupts(act: Callable[[], None]) -> Iterator[None]:
    """Let Ctrl-C do this while the context is open."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, act)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
