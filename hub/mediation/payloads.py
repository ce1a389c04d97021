"""What was said in recent requests: arguments and results, by decision, for who asks why it was decided so.

The log keeps digests unless `audit.payloads` says otherwise. Asking the policies again is only exact with the whole
access request, so the hub holds the latest few in memory, bounded in number and bytes, and gone with it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

PAYLOAD = ("arguments", "result")
"""The parts of the access request that hold what was said, not what was decided by."""

_MAX_REQUESTS = 512
_MAX_BYTES = 8 << 20


class Payloads:
    """The latest payloads.

    Args:
        in_log: Whether the log keeps them too.
    """

    def __init__(self, *, in_log: bool = False) -> None:
        self.in_log = in_log
        self._held: OrderedDict[str, tuple[int, dict[str, Any]]] = OrderedDict()
        self._bytes = 0

    def hold(self, decision_id: str, document: dict[str, Any], size_bytes: int) -> None:
        """Hold the payload of an access request; the oldest ones go where there is no room."""
        if size_bytes > _MAX_BYTES or decision_id in self._held:
            return
        self._held[decision_id] = (size_bytes, {name: document[name] for name in PAYLOAD if name in document})
        self._bytes += size_bytes
        while len(self._held) > _MAX_REQUESTS or self._bytes > _MAX_BYTES:
            _, (freed, _) = self._held.popitem(last=False)
            self._bytes -= freed

    def of(self, decision_id: str) -> dict[str, Any] | None:
        """Return the payload of a decision; None when it is not held (any more)."""
        held = self._held.get(decision_id)
        return held[1] if held is not None else None
