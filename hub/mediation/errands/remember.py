"""The errands `remember` and `recall`: what an app, or the hub's planner, keeps of a user and reads again."""

from __future__ import annotations

from typing import Any, Final

from hub.mediation.caller import Caller
from hub.mediation.errands.errand import Errand
from hub.mediation.labels import Labels
from hub.mediation.memory import HUB, Memory, Recollection, Writing, check_recall, check_remember
from hub.mediation.request import GrantScope, LabelsFact, MemoryFact, Resource
from hub.permit import Permit

_KIND: Final = "memory"


def memory_id(app: str) -> str:
    """Return the resource id of an app's memory."""
    return f"{_KIND}/{app}"


class _OfMemory(Errand):
    by_spokes_only = False

    def __init__(self, memory: Memory, caller: Caller, arguments: dict[str, Any]) -> None:
        self._memory = memory
        self._caller = caller
        self._arguments = arguments
        self._user = caller.session.user
        self._app = caller.app.name if caller.app is not None else HUB

    @property
    def id(self) -> str:
        """The app's memory, `memory/APP`."""
        return memory_id(self._app)

    @property
    def resource(self) -> Resource:
        """Whose memory it is, and what that carries which would be told."""
        labels = LabelsFact(**self.labels.to_json())
        return Resource(type=_KIND, id=self.id, memory=MemoryFact(app=self._app, labels=labels))

    @property
    def arguments(self) -> dict[str, Any]:
        """What is to be stored, or read."""
        return self._arguments

    def offer(self, scope: GrantScope, caller: str) -> str:
        """Return what a yes covers."""
        if scope == "once":
            return f"This one {self.action} of {caller}, exactly as it is."
        return f"Every {self.action} of {caller}, until the session ends."


class Remember(_OfMemory):
    """Storing an entry or a turn, or forgetting an entry.

    Args:
        memory: The door to what is remembered.
        caller: Who remembers it: a spoke's app, or else the hub.
        arguments: `{"key", "value"}`, `{"role", "text"}` or `{"forget"}`.

    Raises:
        RequestInvalid: It is none of them.
    """

    action = "remember"

    def __init__(self, memory: Memory, caller: Caller, arguments: dict[str, Any]) -> None:
        check_remember(arguments)
        super().__init__(memory, caller, arguments)

    @property
    def what(self) -> Writing:
        """What is stored; it carries all that who asks may know by then."""
        return Writing(self._caller.session, self._app, self._arguments, self._caller.labels)

    async def run(self, permit: Permit[Any]) -> None:
        """Store it; it is durable then."""
        await self._memory.write(permit)


class Recall(_OfMemory):
    """Reading an entry, all entries, or the history. What is told is what was there when it was decided on.

    Args:
        memory: The door to what is remembered.
        caller: Who remembers it: a spoke's app, or else the hub.
        arguments: `{"key"}`, `{"entries": true}` or `{"history": true}`.

    Raises:
        RequestInvalid: It is none of them.
    """

    action = "recall"

    def __init__(self, memory: Memory, caller: Caller, arguments: dict[str, Any]) -> None:
        check_recall(arguments)
        super().__init__(memory, caller, arguments)
        self._found = Recollection()
        self.recollection: Recollection | None = None

    @property
    def labels(self) -> Labels:
        """All that would be told carries."""
        return self._found.labels

    async def look(self) -> None:
        """Read what would be told."""
        self._found = await self._memory.look(self._user, self._app, self._arguments)

    @property
    def what(self) -> Recollection:
        """What was read."""
        return self._found

    async def run(self, permit: Permit[Any]) -> None:
        """Tell it."""
        self.recollection = self._memory.tell(permit)
