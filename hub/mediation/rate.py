"""How many calls the last minute saw, in bounded memory: one number for each second."""

from __future__ import annotations

from collections import deque

_WINDOW_SECONDS = 60


class Rate:
    """Counts calls within the last minute. A second counts whole until a minute after its end, so never too few."""

    __slots__ = ("_by_second", "_total")

    def __init__(self) -> None:
        self._by_second: deque[list[int]] = deque()  # second and count, oldest first
        self._total = 0

    def count(self, now: float) -> None:
        """Count a call at a time, in seconds of a clock that never goes back."""
        second = int(now)
        if not self._by_second or self._by_second[-1][0] != second:
            self._by_second.append([second, 0])
        self._by_second[-1][1] += 1
        self._total += 1
        self._forget(second)

    def within_a_minute(self, now: float) -> int:
        """Return how many calls there were within the minute before a time."""
        self._forget(int(now))
        return self._total

    def _forget(self, second: int) -> None:
        while self._by_second and self._by_second[0][0] < second - _WINDOW_SECONDS:
            self._total -= self._by_second.popleft()[1]
