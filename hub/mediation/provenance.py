"""Provenance: what is known of where the values of a request's arguments come from.

Evidence, not proof: it lets policy spare a prompt ("the recipient is one that the user named") and show a person which
parts nobody but an app has said. Of each value it says

* whether it is the user's: its words stand in a row in what the user said. So "13" does not stand in "130", nor
  "bob@example.org" in "not.bob@example.org". It must be the user's to the letter: punctuation that a text has around a
  value is none of it, but what a value has around its words has to stand in the text. So who said "bob@example.org" and
  "notes" did not say "_bob@example.org" or "../notes/*";
* of a text that is not, how much of it is: the part of its words that stand in rows of three or more in what they said;
* which functions' results its words stand in. What came from a result may have changed on the way, and is its source
  all the same;
* of those results, whether one is of a read that the user named: one whose control arguments are all the user's, or one
  that a person said yes to. What it carries is what such a source may speak for;
* which functions' results hold exactly this value as a leaf, and which of them, by their app's manifest, as the
  identifier of something that the app keeps;
* which links are in it that the user did not say.

What is kept and what is traced is bounded, because a hostile app chooses both; what was said longest ago goes first. A
result is no source of what its own call's arguments said: an echo proves nothing. Nor is what an app has written
somewhere before a leaf of what is read afterwards.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hub.mediation.labels import NONE, Labels
from hub.mediation.links import links_in
from hub.mediation.request import LabelsFact, Provenance
from hub.mediation.said import SEPARATOR, Said
from hub.mediation.words import forms_of, text_of, texts_of, verbatim, words_of

MAX_USER_CHARACTERS = 1 << 18
MAX_RESULT_CHARACTERS = 1 << 18
MAX_TRACED_VALUES = 256
MAX_LEAVES = 1 << 12
MAX_WRITTEN = 1 << 12

_MAX_LEAF_CHARACTERS = 256
_MIN_SHARED_WORDS = 4
_MAX_SHARED_WORDS = 400
# A full stop ends a sentence, also where no blank follows: "our site www.example.org.They" names www.example.org.
_RUN_ON = re.compile(r"(?<!\S)([^\sA-Z@]*[a-z0-9])\.([A-Z][a-z]*)(?!\S)")
_NOWHERE = Provenance(user=False, sources=[])


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known of the function whose result it is.

    Attributes:
        function: Its full name.
        labels: What its results carry.
        named: Whether the user named what it was to read.
        identifiers: RFC 6901 pointers into its result, `*` for every item, of what its app keeps as names of things.
    """

    function: str
    labels: Labels = NONE
    named: bool = False
    identifiers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Source:
    function: str
    named: Labels | None  # what it carries, if the user named it


class Evidence:
    """What was said in one session: by the user, and in the results of functions."""

    def __init__(self) -> None:
        self._user: Said[None] = Said(MAX_USER_CHARACTERS)
        self._results: Said[_Source] = Said(MAX_RESULT_CHARACTERS)
        self._leaves: OrderedDict[str, dict[str, bool]] = OrderedDict()  # by text and function: is it an identifier
        self._written: set[str] = set()

    def add_user_text(self, text: str) -> None:
        """Keep what the user said or typed."""
        self.add_user_arguments(text)

    def add_user_arguments(self, arguments: Any) -> None:
        """Keep the values of arguments that the user gave."""
        texts = list(texts_of(arguments))
        for version in (texts, [_RUN_ON.sub(r"\1. \2", text) for text in texts]):
            self._user.add(None, SEPARATOR.join(map(words_of, version)), SEPARATOR.join(map(verbatim, version)))

    def add_written(self, arguments: Any) -> None:
        """Keep the values of arguments by which an app has changed something: what lists them again is an echo."""
        if len(self._written) <= MAX_WRITTEN:
            self._written.update(text for text in texts_of(arguments) if text)

    def add_result(self, reading: Reading, result: Any, arguments: Any) -> None:
        """Keep the values of a result, without those that its own call's arguments held.

        Args:
            reading: The function that returned it.
            result: The result, as parsed JSON.
            arguments: The arguments of the call, as parsed JSON.
        """
        echoed = set(map(words_of, texts_of(arguments))) | {""}
        texts = [text for text in texts_of(result) if words_of(text) not in echoed]
        source = _Source(reading.function, reading.labels if reading.named else None)
        self._results.add(source, SEPARATOR.join(map(words_of, texts)))
        identifiers = {
            text_of(value) for pointer in reading.identifiers for value in _values_at(result, pointer.split("/")[1:])
        }
        for text in texts:
            self._add_leaf(text, reading.function, identifier=text in identifiers)

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

    def calls_for(self, function: str) -> bool:
        """Return whether the user's words hold the verb that a function's name begins with, such as "add" of add_user.

        Args:
            function: Its name within its app.
        """
        return self._user.any_of(forms_of(function.split("_", 1)[0]))

    def _add_leaf(self, text: str, function: str, *, identifier: bool) -> None:
        if len(text) > _MAX_LEAF_CHARACTERS or text in self._written:
            return
        # With no room to remember what was written, nothing can be told from an echo any more.
        if len(self._written) <= MAX_WRITTEN:
            functions = self._leaves.setdefault(text, {})
            functions[function] = identifier or functions.get(function, False)
            self._leaves.move_to_end(text)
            if len(self._leaves) > MAX_LEAVES:
                self._leaves.popitem(last=False)

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
        text = text_of(value)
        words = words_of(text)
        if not words:
            return _NOWHERE
        user = self._user.was_said(words, verbatim(text))
        sources = self._results.who_said(words)
        leaf_of = self._leaves.get(text, {})
        named = [source.named for source in sources if source.named is not None]
        return Provenance(
            user=user,
            sources=sorted({source.function for source in sources}),
            user_share=None if user else self._user_share(words),
            named_source=LabelsFact(**_join(named).to_json()) if named else None,
            leaf_of=sorted(leaf_of) or None,
            identifier_of=sorted(function for function, identifier in leaf_of.items() if identifier) or None,
            links=None if user else self._foreign_links(text),
        )

    def _user_share(self, words: str) -> float | None:
        listed = words.split()
        if not _MIN_SHARED_WORDS <= len(listed) <= _MAX_SHARED_WORDS:
            return None
        return round(self._user.share(listed), 3) or None

    def _foreign_links(self, text: str) -> list[str] | None:
        found = [link for link in links_in(text) if not self._user.was_said(words_of(link), verbatim(link))]
        return found or None


def _join(labels: list[Labels]) -> Labels:
    joined = NONE
    for one in labels:
        joined |= one
    return joined


def _values_at(value: Any, steps: list[str]) -> Iterator[Any]:
    """Yield what a pointer points at; a step `*` is every item of a list, and every member of an object."""
    if not steps:
        if not isinstance(value, (dict, list)):
            yield value
        return
    step, rest = steps[0].replace("~1", "/").replace("~0", "~"), steps[1:]
    if step == "*":
        children = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    else:
        children = [value[step]] if isinstance(value, dict) and step in value else []
    for child in children:
        yield from _values_at(child, rest)


def _pointer(parent: str, key: str) -> str:
    return f"{parent}/{key.replace('~', '~0').replace('/', '~1')}"
