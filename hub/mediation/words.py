"""Words: how texts are compared, whoever said them.

A text is cut into words at white space and normalised (NFKC, case folded, the punctuation around a word stripped, but
none inside it). What has to be the user's to the letter is compared as it stands, normalised and nothing stripped.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

_SHORT_CHARACTERS = 256


def words_of(text: str) -> str:
    """Return the normalised words of a text without the punctuation around them, one blank between them."""
    return _both(text)[0]


def verbatim(text: str) -> str:
    """Return the normalised words of a text as they stand, one blank between them."""
    return _both(text)[1]


def text_of(value: Any) -> str:
    """Return the text of a leaf; empty for what stands everywhere."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None:
        return ""
    return repr(value)


def texts_of(value: Any) -> Iterator[str]:
    """Yield the text of every leaf of a JSON value; names of members are not among them."""
    pending = [value]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)
        else:
            yield text_of(node)


def forms_of(verb: str) -> frozenset[str]:
    """Return the forms that an English verb regularly has: of "add", adds, added and adding too."""
    stem = verb.removesuffix("e")
    forms = {verb, f"{verb}s", f"{verb}es", f"{stem}ed", f"{stem}ing"}
    if verb:
        forms |= {f"{verb}{verb[-1]}ed", f"{verb}{verb[-1]}ing"}
    if verb.endswith("y"):
        forms |= {f"{verb[:-1]}ies", f"{verb[:-1]}ied"}
    return frozenset(forms)


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
