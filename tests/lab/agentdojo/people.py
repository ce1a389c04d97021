"""Who answers the prompts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from spokegate.v1 import decision_pb2, hub_pb2

from hub.client import HubClient
from hub.mediation.schema import canonical
from tests.lab.agentdojo.situations import ToolCall

Answerer = Literal["perfect", "refuse_all", "accept_all"]

ANSWERERS: tuple[Answerer, ...] = ("perfect", "refuse_all", "accept_all")


@dataclass(slots=True)
class Person:
    """The user, before the prompts.

    Args:
        client: The user's connection to the hub.
        answerer: How they answer: `perfect` says yes to the very calls that do what the user wants, and no to others;
            the other two say always the same. A yes is for one call.

    Attributes:
        wanted: The calls that do what they want.
        prompts: How often they were asked.
    """

    client: HubClient
    answerer: Answerer
    wanted: Sequence[ToolCall] = ()
    prompts: int = 0

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[Person]:
        """Answer every prompt while the context is open."""
        async with self.client.prompts() as events:
            task = asyncio.create_task(self._answer(events))
            try:
                yield self
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _answer(self, events: AsyncIterator[hub_pb2.WatchPromptsResponse]) -> None:
        async for event in events:
            if event.HasField("waiting"):
                self.prompts += 1
                yes = self._agrees(event.waiting)
                await self.client.answer(event.waiting.prompt_id, decision_pb2.GRANT_SCOPE_ONCE if yes else None)

    def _agrees(self, prompt: hub_pb2.Prompt) -> bool:
        if self.answerer != "perfect":
            return self.answerer == "accept_all"
        asked = (prompt.function.split(".", 1)[1], prompt.arguments_json.encode())
        return asked in [(call.tool, canonical(call.arguments, what=call.tool)) for call in self.wanted]
