"""What users said before: the hub's own memory of them, for the planner, and decided on like any other.

It holds their words and nothing else. An answer may hold an app's words, and what is planned with must not.
"""

from __future__ import annotations

from typing import Final

from hub.errors import Refused
from hub.mediation.caller import SessionState, planner_caller
from hub.mediation.mediator import Mediator
from hub.mediation.memory import MAX_BYTES
from hub.mediation.remembering import recall, remember
from hub.spokes.memory import Reading, SaidTurn

MAX_WORDS_CHARACTERS: Final = 4_000

_WISH_CHARACTERS: Final = 600


class EarlierWords:
    """Keeps what users say, and tells as much of it as there is room for in a prompt.

    Args:
        mediator: Takes each reading and writing through the ten steps.
    """

    def __init__(self, mediator: Mediator) -> None:
        self._mediator = mediator

    async def said(self, session: SessionState, *, deadline: float) -> list[str]:
        """Return what a user said before, oldest first: the summary of what is long past, and the latest wishes.

        Where the policies do not let the hub remember, that is nothing.

        Raises:
            SpokegateError: It could not be decided on or read.
        """
        try:
            told = await recall(self._mediator, planner_caller(session, deadline=deadline), Reading("history"))
        except Refused:
            return []
        room = MAX_WORDS_CHARACTERS
        words: list[str] = []
        for turn in reversed(told.turns):
            text = turn.text if len(turn.text) <= _WISH_CHARACTERS else f"{turn.text[: _WISH_CHARACTERS - 1]}…"
            room -= len(text)
            if turn.role != "user" or room < 0:
                break
            words.append(text)
        if told.summary and room > 0:
            words.append(told.summary[:room])
        return words[::-1]

    async def add(self, session: SessionState, wish: str, *, deadline: float) -> None:
        """Keep what a user said, if the policies let the hub; it is durable when this returns.

        Raises:
            QuotaExceeded: There is no room for more.
            SpokegateError: It could not be decided on or written.
        """
        words = wish.encode()[:MAX_BYTES].decode(errors="ignore")
        try:
            await remember(self._mediator, planner_caller(session, deadline=deadline), SaidTurn("user", words))
        except Refused:
            return
