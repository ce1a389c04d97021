"""What the data that apps keep may hold: the labels of all that their spokes ever knew, per app and user.

An app that keeps data may have written down whatever one of its spokes knew. So every spoke that is given the data
carries those labels from its first moment, in whichever session, and so does one that has the data already.

Invariants:
    * Labels count from the moment that they are joined, and are durable before the spoke gets what they are of.
    * They only grow, and a write that failed is tried again with the next.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from hub.mediation.labels import NONE, Labels
from hub.store.data_labels import DataLabelStore


class KeptLabels:
    """The labels of kept data.

    Args:
        store: Where they are durable.
    """

    def __init__(self, store: DataLabelStore) -> None:
        self._store = store
        self._by_user: defaultdict[str, dict[str, Labels]] = defaultdict(dict)
        self._durable: dict[tuple[str, str], Labels] = {}
        self._watching: defaultdict[tuple[str, str], set[Callable[[], None]]] = defaultdict(set)
        for user, app, kind, label in store.load():
            self._durable[user, app] = self._durable.get((user, app), NONE) | Labels.of(**{kind: [label]})
        for (user, app), labels in self._durable.items():
            self._by_user[user][app] = labels

    def of_user(self, user: str) -> Mapping[str, Labels]:
        """Return the labels of what each app keeps for a user: as they are now, and as they grow."""
        return self._by_user[user]

    @contextmanager
    def watching(self, user: str, app: str, grown: Callable[[], None]) -> Iterator[None]:
        """Be told when what an app keeps for a user may carry more: at once, before any spoke can have it."""
        watching = self._watching[user, app]
        watching.add(grown)
        try:
            yield
        finally:
            watching.discard(grown)

    async def join(self, user: str, app: str, labels: Labels) -> None:
        """Let what an app keeps for a user carry labels, and return when that is durable.

        Raises:
            AuditUnavailable: It could not be written; they are carried all the same.
        """
        known = self._by_user[user]
        known[app] = known.get(app, NONE) | labels
        for grown in tuple(self._watching[user, app]):
            grown()
        durable = self._durable.get((user, app), NONE)
        if durable >= labels:
            return
        await self._store.add(user, app, labels.without(durable).to_json())
        self._durable[user, app] = self._durable.get((user, app), NONE) | labels
