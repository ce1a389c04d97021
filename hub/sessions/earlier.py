"""What users said before: the hub's own memory of them, for the planner.

It holds their words and nothing else. An answer may hold an app's words, and what is planned with must not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hub.mediation.labels import NONE
from hub.store.memory import MemoryStore

HUB: Final = "hub"
"""Under what name the hub itself remembers; no app has it."""

MAX_WORDS_CHARACTERS: Final = 4_000

_WISH_CHARACTERS: Final = 600


class EarlierWords:
    """Keeps what users say, and tells as much of it as there is room for in a prompt.

    Args:
        memory: Where it is kept.
        on_said: Is told of a user who said something, and of who remembers it.
    """

    def __init__(self, memory: MemoryStore, on_said: Callable[[str, str], None] | None = None) -> None:
        self._memory = memory
        self._on_said = on_said

    async def said(self, user: str) -> list[str]:
        """Return what a user said before, oldest first: the summary of what is long past, and the latest wishes.

        Raises:
            AuditUnavailable: It could not be read.
        """
        history = await self._memory.history(user, HUB)
        room = MAX_WORDS_CHARACTERS
        words: list[str] = []
        for turn in reversed(history.turns):
            text = turn.text if len(turn.text) <= _WISH_CHARACTERS else f"{turn.text[: _WISH_CHARACTERS - 1]}…"
            room -= len(text)
            if turn.role != "user" or room < 0:
                break
            words.append(text)
        if history.summary is not None and room > 0:
            words.append(history.summary.text[:room])
        return words[::-1]

    async def add(self, user: str, wish: str) -> None:
        """Keep what a user said; it is durable when this returns.

        Raises:
            QuotaExceeded: There is no room for more.
            AuditUnavailable: It could not be written.
        """
        await self._memory.say(user, HUB, "user", wish, NONE.to_json())
        if self._on_said is not None:
            self._on_said(user, HUB)
