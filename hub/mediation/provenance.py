"""Provenance: where the values of a request's arguments stand literally.

Evidence, not proof: it lets policy spare a prompt ("the recipient is one that the user named") and show a person which
parts nobody but an app has said. Texts and values are cut into words at white space and normalised (NFKC, case folded,
punctuation around a word stripped, but none inside it); a value stands in a text when its words stand there in a row.
So "13" does not stand in "130", nor "bob@example.org" in "not.bob@example.org".

The user's words must be the user's to the letter: punctuation that a text has around a value is none of it, but what a
value has around its words has to stand in the text. So who said "bob@example.org" and "notes" did not say
"_bob@example.org" or "../notes/*". What came from a result may have changed on the way, and is its source all the same.

What is kept and what is traced is bounded, because a hostile app chooses both; what was said longest ago goes first.
Matching is one substring search per value and text. A result is no source of what its own call's arguments said: an
echo proves nothing.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from hub.mediation.request import Provenance

MAX_USER_CHARACTERS = 1 << 18
MAX_RESULT_CHARACTERS = 1 << 18
MAX_TRACED_VALUES = 256
_MAX_PLACES = 64
_MAX_AROUND = 16
_QUOTING = frozenset("\"'`()[]{}<>,;:!?“”„‘’«»")

_SHORT_CHARACTERS = 256
_SEPARATOR = " \x00 "  # never a word of a value, so nothing matches across two values
_NOWHERE = Provenance(user=False, sources=[])


class Evidence:
    """What was said in one session: by the user, and in the results of functions."""

    def __init__(self) -> None:
        self._user = _Said(MAX_USER_CHARACTERS)
        self._results = _Said(MAX_RESULT_CHARACTERS)

    def add_user_text(self, text: str) -> None:
        """Keep what the user said or typed."""
        self._user.add("", _words(text), _verbatim(text))

    def add_user_arguments(self, arguments: Any) -> None:
        """Keep the values of arguments that the user gave."""
        texts = list(_texts(arguments))
        self._user.add("", _SEPARATOR.join(map(_words, texts)), _SEPARATOR.join(map(_verbatim, texts)))

    def add_result(self, function: str, result: Any, arguments: Any) -> None:
        """Keep the values of a result, without those that its own call's arguments held.

        Args:
            function: The full name of the function that returned it.
            result: The result, as parsed JSON.
            arguments: The arguments of the call, as parsed JSON.
        """
        echoed = set(map(_words, _texts(arguments)))
        kept = (words for words in map(_words, _texts(result)) if words and words not in echoed)
        self._results.add(function, _SEPARATOR.join(kept))

    def of(self, arguments: dict[str, Any]) -> dict[str, Provenance]:
        """Return the provenance of every value in the arguments, by RFC 6901 pointer.

        A list or object is the user's when something is in it and all of that is, and comes from wherever any of it
        does. Booleans and null stand everywhere, so they are never taken for the user's; nor is what comes after the
        first 256 values.
        """
        found: dict[str, Provenance] = {}
        for key, value in arguments.items():
            self._trace(value, _pointer("", key), found)
        return found

    def _trace(self, value: Any, pointer: str, found: dict[str, Provenance]) -> Provenance:
        if isinstance(value, dict):
            parts = [self._trace(child, _pointer(pointer, key), found) for key, child in value.items()]
        elif isinstance(value, list):
            parts = [self._trace(child, _pointer(pointer, str(index)), found) for index, child in enumerate(value)]
        else:
            found[pointer] = self._locate(value) if len(found) < MAX_TRACED_VALUES else _NOWHERE
            return found[pointer]
        sources = sorted({source for part in parts for source in part.sources})
        found[pointer] = Provenance(user=bool(parts) and all(part.user for part in parts), sources=sources)
        return found[pointer]

    def _locate(self, value: Any) -> Provenance:
        text = _text(value)
        words = _words(text)
        if not words:
            return _NOWHERE
        said = self._user.was_said(words, _verbatim(text))
        return Provenance(user=said, sources=sorted(self._results.who_said(words)))


class _Said:
    """Texts and who said them, each once, the latest last, up to so many characters in all."""

    def __init__(self, max_characters: int) -> None:
        self._max_characters = max_characters
        self._characters = 0
        self._texts: dict[tuple[str, str, str], None] = {}

    def add(self, who: str, words: str, verbatim: str = "") -> None:
        if not words or len(words) > self._max_characters:
            return
        said = (who, f" {words} ", f" {verbatim} ")
        if said in self._texts:
            del self._texts[said]
        else:
            self._characters += len(words)
        self._texts[said] = None
        while self._characters > self._max_characters:
            oldest = next(iter(self._texts))
            del self._texts[oldest]
            self._characters -= len(oldest[1]) - 2

    def was_said(self, words: str, verbatim: str) -> bool:
        # The latest first: what is asked about was mostly said just now.
        if words == verbatim:
            sought = f" {words} "
            return any(sought in text for _, text, _ in reversed(self._texts))
        return any(_stands_in(verbatim, text) for _, _, text in reversed(self._texts))

    def who_said(self, words: str) -> set[str]:
        sought = f" {words} "
        return {who for who, text, _ in self._texts if sought in text}


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


def _words(text: str) -> str:
    """Return the normalised words of a text without the punctuation around them, one blank between them."""
    return _both(text)[0]


def _verbatim(text: str) -> str:
    """Return the normalised words of a text as they stand, one blank between them."""
    return _both(text)[1]


def _both(text: str) -> tuple[str, str]:
    return _short_normalised(text) if len(text) <= _SHORT_CHARACTERS else _normalised(text)


def _normalised(text: str) -> tuple[str, str]:
    words = unicodedata.normalize("NFKC", text).casefold().split()
    return " ".join(filter(None, map(_strip, words))), " ".join(words)


# A call's arguments are looked at when they come, when they are traced and when its result comes.
_short_normalised = lru_cache(maxsize=1024)(_normalised)


def _strip(word: str) -> str:
    start, end = 0, len(word)
    if word[0].isalnum() and word[-1].isalnum():
        return word
    while start < end and not word[start].isalnum():
        start += 1
    while end > start and not word[end - 1].isalnum():
        end -= 1
    if start and word[start - 1] in "+-" and word[start : start + 1].isdecimal():
        start -= 1  # a sign is part of its number
    return word[start:end]


def _text(value: Any) -> str:
    """Return the text of a leaf; empty for what stands everywhere."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None:
        return ""
    return repr(value)


def _texts(value: Any) -> Iterator[str]:
    pending = [value]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)
        else:
            yield _text(node)


def _pointer(parent: str, key: str) -> str:
    return f"{parent}/{key.replace('~', '~0').replace('/', '~1')}"
