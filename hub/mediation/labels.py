"""Labels: what is known about data, and how it joins.

Confidentiality is a set of tags that data carries; integrity is the set of untrusted origins that influenced it. Both
only grow: the join is the union. The grain is the spoke: whatever the hub delivered into it, it may know, and whatever
leaves it may hold all that it knows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Labels:
    """A pair of label sets. Immutable; `|` joins."""

    confidentiality: frozenset[str] = frozenset()
    integrity: frozenset[str] = frozenset()

    def __or__(self, other: Labels) -> Labels:
        """Return the join: what data from both carries."""
        if self >= other:
            return self
        return Labels(self.confidentiality | other.confidentiality, self.integrity | other.integrity)

    def __ge__(self, other: Labels) -> bool:
        """Return whether this carries at least what the other does."""
        return self.confidentiality >= other.confidentiality and self.integrity >= other.integrity

    def without(self, other: Labels) -> Labels:
        """Return what this carries and the other does not."""
        return Labels(self.confidentiality - other.confidentiality, self.integrity - other.integrity)

    @classmethod
    def of(cls, confidentiality: Iterable[str] = (), integrity: Iterable[str] = ()) -> Labels:
        """Return labels of any iterables."""
        return cls(frozenset(confidentiality), frozenset(integrity))

    def to_json(self) -> dict[str, list[str]]:
        """Return both sets as sorted lists."""
        return {"confidentiality": sorted(self.confidentiality), "integrity": sorted(self.integrity)}


NONE = Labels()
