"""Spending: the tokens of the model that a user, a session and each of its apps have used.

What a request may at most use is set aside while it is under way, so that many at once cannot spend one budget each.
When it is over, what it did use takes that place: by the provider's count, or by the hub's own estimate where there is
none, such as of a request that was cancelled.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_DAY_SECONDS = 86_400


@dataclass(slots=True, eq=False)
class DaysSpending:
    """What a user has used today (UTC), in all sessions since the hub started."""

    day: int = 0
    tokens: int = 0
    set_aside: int = 0

    def add(self, tokens: int) -> None:
        """Add to today's."""
        self.tokens, self.day = self.today + tokens, _day()

    @property
    def today(self) -> int:
        """Today's tokens."""
        return self.tokens if self.day == _day() else 0


@dataclass(slots=True, eq=False)
class Expense:
    """What one request uses."""

    most: int
    used: int | None = None


@dataclass(slots=True, eq=False)
class Spending:
    """What one session has used.

    Args:
        user: What its user has used; several sessions share it.
    """

    user: DaysSpending = field(default_factory=DaysSpending)
    apps: Counter[str] = field(default_factory=Counter)
    under_way: list[tuple[str, Expense]] = field(default_factory=list)

    @property
    def of_session(self) -> int:
        """The session's tokens."""
        return self.apps.total() + sum(expense.most for _, expense in self.under_way)

    def of_app(self, app: str) -> int:
        """Return an asker's tokens."""
        return self.apps[app] + sum(expense.most for name, expense in self.under_way if name == app)

    @property
    def of_user(self) -> int:
        """The user's tokens of today."""
        return self.user.today + self.user.set_aside

    @contextmanager
    def setting_aside(self, app: str, expense: Expense) -> Iterator[None]:
        """Set aside what a request may use, and count what it did use when it is over."""
        entry = (app, expense)
        self.under_way.append(entry)
        self.user.set_aside += expense.most
        try:
            yield
        finally:
            self.under_way.remove(entry)
            self.user.set_aside -= expense.most
            if expense.used:
                self.apps[app] += expense.used
                self.user.add(expense.used)


def _day() -> int:
    return int(time.time() // _DAY_SECONDS)
