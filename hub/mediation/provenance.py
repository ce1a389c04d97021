"""Provenance: where the values of a request's arguments stand literally.

Evidence, not proof: it lets policy spare a prompt ("the recipient is one that the user named") and show a person which
parts nobody but an app has said. A value stands in a text when its normalised form occurs there as whole tokens, so
that "13" does not stand in "130". Both texts are normalised alike (NFKC, case folded, runs of white space one blank).

Matching is a substring search, so its time is linear in the texts; what is kept of them is bounded, oldest dropped
first. A result is no source of what its own call's arguments said: an echo proves nothing.
"""

from __future__ import annotations

import unicodedata
from collections import deque
from collections.abc import Iterator
from typing import Any

from hub.mediation.request import Provenance

MAX_USER_CHARACTERS = 1 << 20
MAX_RESULT_CHARACTERS = 4 << 20

_SEPARATOR = "\x00"  # never part of a normalised value, so nothing matches across two texts


class Evidence:
    """What was said in one session: by the user, and in the results of functions."""

    def __init__(self) -> None:
        self._user: deque[str] = deque()
        self._user_characters = 0
        self._results: deque[tuple[str, str]] = deque()
        self._result_characters = 0

    def add_user_text(self, text: str) -> None:
        """Keep what the user said or typed."""
        normalised = _normalise(text)
        if not normalised:
            return
        self._user.append(normalised)
        self._user_characters += len(normalised)
        while self._user_characters > MAX_USER_CHARACTERS and len(self._user) > 1:
            self._user_characters -= len(self._user.popleft())

    def add_user_arguments(self, arguments: Any) -> None:
        """Keep the values of arguments that the user gave."""
        self.add_user_text(_SEPARATOR.join(_texts(arguments)))

    def add_result(self, function: str, result: Any, arguments: Any) -> None:
        """Keep the values of a result, without those that its own call's arguments held.

        Args:
            function: The full name of the function that returned it.
            result: The result, as parsed JSON.
            arguments: The arguments of the call, as parsed JSON.
        """
        echoed = {_normalise(text) for text in _texts(arguments)}
        kept = _SEPARATOR.join(
            text for text in (_normalise(text) for text in _texts(result)) if text and text not in echoed
        )
        if not kept:
            return
        self._results.append((function, kept))
        self._result_characters += len(kept)
        while self._result_characters > MAX_RESULT_CHARACTERS and len(self._results) > 1:
            self._result_characters -= len(self._results.popleft()[1])

    def of(self, arguments: dict[str, Any]) -> dict[str, Provenance]:
        """Return the provenance of every value in the arguments, by RFC 6901 pointer.

        A list or object is the user's when everything in it is, and comes from wherever any of it does. Booleans and
        null stand everywhere, so they are never taken for the user's.
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
            found[pointer] = self._locate(value)
            return found[pointer]
        sources = sorted({source for part in parts for source in part.sources})
        found[pointer] = Provenance(user=all(part.user for part in parts), sources=sources)
        return found[pointer]

    def _locate(self, value: Any) -> Provenance:
        text = _normalise(_text(value))
        if not text:
            return Provenance(user=False, sources=[])
        return Provenance(
            user=any(_stands_in(text, said) for said in self._user),
            sources=sorted({function for function, said in self._results if _stands_in(text, said)}),
        )


def _normalise(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _text(value: Any) -> str:
    """Return the text of a leaf; empty for what stands everywhere."""
    if isinstance(value, str):
        return value.replace(_SEPARATOR, " ")
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


def _stands_in(text: str, said: str) -> bool:
    start = said.find(text)
    while start >= 0:
        end = start + len(text)
        before = start == 0 or not (text[0].isalnum() and said[start - 1].isalnum())
        after = end == len(said) or not (text[-1].isalnum() and said[end].isalnum())
        if before and after:
            return True
        start = said.find(text, start + 1)
    return False


def _pointer(parent: str, key: str) -> str:
    return f"{parent}/{key.replace('~', '~0').replace('/', '~1')}"
