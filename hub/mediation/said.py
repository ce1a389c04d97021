"""What was said in a session, and by whom: texts to look values up in, bounded, the oldest forgotten first.

Matching is one substring search per value and text. Nothing matches across two texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

SEPARATOR = " \x00 "  # never a word of a value, so nothing matches across two values

_MAX_PLACES = 64
_MAX_AROUND = 16
_RUN = 3
_QUOTING = frozenset("\"'`()[]{}<>,;:!?“”„‘’«»")

Who = TypeVar("Who")
_Run = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Words:
    """What a text is made of: its words, and every run of three."""

    words: frozenset[str]
    runs: frozenset[_Run]


class Said(Generic[Who]):
    """Texts and who said them, each once, the latest last, up to so many characters in all."""

    def __init__(self, max_characters: int) -> None:
        self._max_characters = max_characters
        self._characters = 0
        self._texts: dict[tuple[Who, str, str], None] = {}
        self._words: _Words | None = None

    def add(self, who: Who, words: str, verbatim: str = "") -> None:
        """Keep a text, unless it alone is longer than all may be.

        Args:
            who: Who said it.
            words: Its normalised words.
            verbatim: The same as it stands, where it is asked after to the letter.
        """
        if not words or len(words) > self._max_characters:
            return
        said = (who, f" {words} ", f" {verbatim} ")
        if said in self._texts:
            del self._texts[said]
        else:
            self._characters += len(words)
            self._words = None
        self._texts[said] = None
        while self._characters > self._max_characters:
            oldest = next(iter(self._texts))
            del self._texts[oldest]
            self._characters -= len(oldest[1]) - 2

    def was_said(self, words: str, verbatim: str) -> bool:
        """Return whether anybody said this, to the letter."""
        # The latest first: what is asked about was mostly said just now.
        if words == verbatim:
            sought = f" {words} "
            return any(sought in text for _, text, _ in reversed(self._texts))
        return any(_stands_in(verbatim, text) for _, _, text in reversed(self._texts))

    def who_said(self, words: str) -> set[Who]:
        """Return everybody who said these words in a row."""
        sought = f" {words} "
        return {who for who, text, _ in self._texts if sought in text}

    def share(self, words: list[str]) -> float:
        """Return how much of a text was said: the part of its words that stand in a row of three or more that was."""
        runs = self._known().runs
        covered: set[int] = set()
        for start in range(len(words) - _RUN + 1):
            if tuple(words[start : start + _RUN]) in runs:
                covered.update(range(start, start + _RUN))
        return len(covered) / len(words) if words else 0.0

    def any_of(self, words: frozenset[str]) -> bool:
        """Return whether any of these words was said."""
        return not self._known().words.isdisjoint(words)

    def _known(self) -> _Words:
        if self._words is None:
            texts = [text.split() for _, text, _ in self._texts]
            runs = {tuple(text[at : at + _RUN]) for text in texts for at in range(len(text) - _RUN + 1)}
            self._words = _Words(frozenset(word for text in texts for word in text), frozenset(runs))
        return self._words


def _stands_in(value: str, text: str) -> bool:
    """Return whether a value stands in a text, with nothing but punctuation of the text's around it.

    At an end where the value has punctuation of its own, the text only quotes it: else it could be a part of what was
    said, such as "notes/" of "notes/*".
    """
    at = text.find(value)
    for _ in range(_MAX_PLACES):
        if at < 0:
            break
        end = at + len(value)
        before = text[max(0, at - _MAX_AROUND) : at].rpartition(" ")
        after = text[end : end + _MAX_AROUND].partition(" ")
        if before[1] and after[1] and _is_around(before[2], value[0]) and _is_around(after[0], value[-1]):
            return True
        at = text.find(value, at + 1)
    return False


def _is_around(characters: str, end: str) -> bool:
    return not any(map(str.isalnum, characters)) and (end.isalnum() or _QUOTING.issuperset(characters))
