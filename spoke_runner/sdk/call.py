"""What a function sees of the call that it serves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


class Refused(Exception):
    """The hub did not let an ask through, or what was asked for failed.

    Args:
        reason: The kind, such as `POLICY_DENIED`: a name of `ErrorReason` without its prefix.
        decision_id: The decision, for whoever reads the audit log; empty when none was made.
        message: The fixed public text of the reason.
    """

    def __init__(self, reason: str, *, decision_id: str = "", message: str = "") -> None:
        super().__init__(f"{reason}: {message}" if message else reason)
        self.reason = reason
        self.decision_id = decision_id
        self.message = message


@dataclass(frozen=True, slots=True)
class ProbedFunction:
    """A function that the app may ask for. Its texts are another author's words: do not trust them."""

    name: str
    description: str
    arguments_schema: dict[str, Any]
    result_schema: Any


class Call(Protocol):
    """One call of one function, and the only way from it to anything outside the sandbox.

    It ends when the function returns or raises: asks that are still open then are cancelled, later ones raise
    `RuntimeError`.
    """

    @property
    def data(self) -> Path:
        """The directory that the app keeps its data in: the only place where it may write."""

    async def invoke(self, function: str, arguments: dict[str, Any]) -> Any:
        """Ask for another app's function, as `app.function`, and return its result.

        Raises:
            Refused: It was not let through, or failed.
            ValueError: The arguments have no JSON form or are too large.
        """

    async def probe(self) -> list[ProbedFunction]:
        """Return the functions that this app may ask for, by name.

        Raises:
            Refused: The probe was not let through.
        """

    async def progress(self, text: str) -> None:
        """Send a sign of life; what is beyond 1 KiB is cut off."""
