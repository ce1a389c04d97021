"""Texts of other apps that are kept from an agent's model, and stand for themselves where they are needed.

As soon as a model works with the words of two apps at once, one of them can tell it what to make of the other: to add
to its price, to say that it is not to be trusted, to hand its data on. So it gets to see numbers, names and whatever
else is no sentence; in place of a text there stands `[[text-3]]`. The model can put that into its answer, where the
person reads the text as that app's words, or into a call, which gets the text itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

MAX_SHOWN_CHARACTERS: Final = 4000

# Nothing that could be taken for a sentence: one word, as a name, an identifier, a date or an address is.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.@:+/-]{0,40}\Z")
_WORD: Final = re.compile(r"\w+")
_PLACE: Final = re.compile(r"\[\[text-([0-9]{1,6})\]\]")
_OPENED: Final = re.compile(r"\[(\[(t|te|tex|text|text-[0-9]{0,6}\]?)?)?\Z")


@dataclass(frozen=True, slots=True)
class Text:
    """A text, and the apps that it may be the words of."""

    words: str
    apps: tuple[str, ...]


class Withheld:
    """The texts that one conversation keeps from its model.

    Args:
        said: What the user said: what stands there too is no secret and no news.
    """

    def __init__(self, said: str) -> None:
        self._said = _words(said)
        self._texts: list[Text] = []

    def hide(self, value: Any, app: str) -> Any:
        """Return a result of an app with `[[text-N]]` in the place of every text."""
        if isinstance(value, str):
            if _PLAIN.match(value) or self._was_said(value):
                return value
            return self.keep(value, (app,))
        if isinstance(value, list):
            return [self.hide(item, app) for item in value]
        if isinstance(value, dict):
            if not all(_PLAIN.match(key) for key in value):
                return self.keep(json.dumps(value, ensure_ascii=False), (app,))
            return {key: self.hide(item, app) for key, item in value.items()}
        return value

    def keep(self, words: str, apps: tuple[str, ...]) -> str:
        """Keep a text, and return what stands for it."""
        self._texts.append(Text(words, apps))
        return f"[[text-{len(self._texts)}]]"

    def named_in(self, names: Iterable[str]) -> list[Text]:
        """Return the texts that are named, each as `[[text-N]]` or as `text-N`."""
        found = (self._text(match[1]) for name in names for match in re.finditer(r"text-([0-9]{1,6})", name))
        return [text for text in found if text is not None]

    def fill(self, value: Any) -> Any:
        """Return the arguments of a call with the texts in their places."""
        if isinstance(value, str):
            return _PLACE.sub(self._or_as_it_is, value)
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        if isinstance(value, dict):
            return {key: self.fill(item) for key, item in value.items()}
        return value

    def spell_out(self, answer: str) -> str:
        """Return an answer with the texts in their places, each as the words of its app."""

        def spelt(match: re.Match[str]) -> str:
            text = self._text(match[1])
            return match[0] if text is None else f"“{_shown(text.words)}” ({' and '.join(text.apps)})"

        return _PLACE.sub(spelt, answer)

    def _was_said(self, text: str) -> bool:
        words = _words(text)
        return bool(words) and f" {words} " in f" {self._said} "

    def _text(self, number: str) -> Text | None:
        return self._texts[int(number) - 1] if 1 <= int(number) <= len(self._texts) else None

    def _or_as_it_is(self, match: re.Match[str]) -> str:
        text = self._text(match[1])
        return match[0] if text is None else text.words


def whole_places(text: str) -> tuple[str, str]:
    """Return a beginning of an answer up to where a `[[text-N]]` may be cut off, and what is left."""
    opened = _OPENED.search(text)
    return (text, "") if opened is None else (text[: opened.start()], text[opened.start() :])


def _words(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold()))


def _shown(words: str) -> str:
    clean = "".join(character if character.isprintable() or character == "\n" else " " for character in words)
    return clean if len(clean) <= MAX_SHOWN_CHARACTERS else f"{clean[:MAX_SHOWN_CHARACTERS]}…"
