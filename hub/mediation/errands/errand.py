"""An errand: what is asked for that is no app's function, but the hub's own to do.

The mediator takes it through the same ten steps as a call of a function. All that differs stands here: what the access
request says of it, what it brings, and which door it goes through. Its door is opened by a permit alone, which the
mediator issues in step 8.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from hub.errors import ObligationUnfulfilled
from hub.mediation.caller import Caller
from hub.mediation.labels import NONE, Labels
from hub.mediation.obligations import Obligation
from hub.mediation.request import ActionName, GrantScope, Resource
from hub.permit import Permit


class Errand(ABC):
    """One errand. Made for one request, and then done with.

    Attributes:
        action: The action that it is.
        by_spokes_only: Whether nobody but a spoke can ask for it.
        from_user: Below which RFC 6901 pointer of the arguments everything is what the user says of themselves.
        exact: Whether a yes is for exactly these arguments, however long it holds.
        streams: Whether who asks can still put something into it after the decision.
    """

    action: ClassVar[ActionName]
    by_spokes_only: ClassVar[bool] = True
    from_user: ClassVar[str | None] = None
    exact: ClassVar[bool] = False
    streams: bool = False

    @property
    @abstractmethod
    def id(self) -> str:
        """The resource's id. No two kinds of resource share one: `host:port`, `model/NAME`, `memory/KEY`."""

    @property
    @abstractmethod
    def resource(self) -> Resource:
        """What the access request says of what is asked for."""

    @property
    @abstractmethod
    def arguments(self) -> dict[str, Any]:
        """What is decided on besides the resource, as JSON types."""

    @property
    @abstractmethod
    def what(self) -> Any:
        """What the permit is for, with the obligations met."""

    @abstractmethod
    async def run(self, permit: Permit[Any]) -> None:
        """Do it, through the door that the permit opens.

        Raises:
            SpokegateError: It failed.
        """

    @property
    def labels(self) -> Labels:
        """What comes back carries. It is looked at again before each decision, and before the permit is issued."""
        return NONE

    async def look(self) -> None:  # noqa: B027 - most have nothing to look for
        """Find out what the access request is to say; called before each time that it is described.

        Raises:
            SpokegateError: It cannot be found out.
        """

    @contextmanager
    def counted(self, caller: Caller) -> Iterator[None]:
        """Count that it is asked for, while it is under way and for good, whatever comes of it."""
        caller.session.count_errand(self.id)
        yield

    def offer(self, scope: GrantScope, caller: str) -> str:
        """Return, for a person, what a yes of a scope covers."""
        if scope == "once":
            return f"This one use of {self.id}, for exactly this request."
        return f"Every use of {self.id} by {caller}, until the session ends."

    def meet(self, obligations: Sequence[Obligation]) -> None:
        """Meet the obligations that can be met; `notify` is met already.

        Raises:
            ObligationUnfulfilled: One of them cannot be.
        """
        if any(item.type != "notify" for item in obligations):
            raise ObligationUnfulfilled(f"nothing of {self.action} can be edited, capped or relabelled")

    @property
    def account(self) -> dict[str, Any]:
        """What the outcome on record tells of it."""
        return {}

    def revoke(self) -> None:
        """Take the decision's yes back while it streams."""
        raise NotImplementedError(f"{self.action} does not stream")
