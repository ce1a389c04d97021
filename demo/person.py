"""The person of the demo: a script that reads each prompt as a terminal shows it, and answers as it was told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from spokegate.v1 import decision_pb2

from demo.narrator import Narrator
from hub.cli import asking
from hub.client import HubClient


@contextlib.asynccontextmanager
async def person(client: HubClient, narrator: Narrator, *, says_yes: bool) -> AsyncIterator[None]:
    """Answer every prompt in the same way while the context is open."""

    async def answer() -> None:
        async for event in events:
            if not event.HasField("waiting"):
                continue
            asking.show(event.waiting)
            narrator.say(f"The person (a script, in this demo) says {'yes, once' if says_yes else 'no'}.", "bold")
            scope = decision_pb2.GRANT_SCOPE_ONCE if says_yes else None
            await client.answer(event.waiting.prompt_id, scope)

    async with client.prompts() as events:
        answering = asyncio.create_task(answer())
        try:
            yield
        finally:
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)
