"""The catalogue: what the planner gets to know of the installed apps.

Every word in it is an app author's, so it is quoted, short, and speaks of its own app alone: what an app says of
another app is left out before a model sees it. Names are the registry's: ASCII, and no two that look alike.

Invariants:
    * A sentence that names another app, or in which a word mixes scripts to look like another, is left out.
    * What is left holds no control characters, no invisible ones and no line breaks, and is cut to a length.
    * Of arguments there are names and types alone: their descriptions are for whoever calls the function.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from hub.spokes.registry import RegisteredApp, RegisteredFunction, at_a_glance

MAX_APP_CHARACTERS = 240
MAX_FUNCTION_CHARACTERS = 120
MAX_CHARACTERS = 48_000

_MAX_ARGUMENTS = 12
_ARGUMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_SENTENCE_END = re.compile(r"(?<=[.!?;:])\s+|[\n\r\u2028\u2029]+")
_WORD = re.compile(r"[^\W_]+")
_SPELT_OUT = 3  # letters that stand alone, one after the other, are a word from here on


def catalogue(functions: Sequence[RegisteredFunction]) -> str:
    """Return what the planner may know of these functions and their apps: one line of JSON for each app.

    With too many for one prompt, descriptions of functions go first, then those of apps: names are enough to plan by.
    """
    return _catalogue(tuple(functions))


@lru_cache(maxsize=32)  # the same functions, of a registry that does not change, are planned with again and again
def _catalogue(functions: tuple[RegisteredFunction, ...]) -> str:
    apps = sorted({function.app for function in functions}, key=lambda app: app.name)
    text = ""
    for of_app, of_function in ((True, True), (True, False), (False, False)):
        entries = (_entry(app, functions, apps, of_app=of_app, of_function=of_function) for app in apps)
        text = "\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
        if len(text) <= MAX_CHARACTERS:
            break
    return text[:MAX_CHARACTERS]


def about_itself(description: str, own_name: str, other_names: Iterable[str], max_characters: int) -> str:
    """Return what an app's description says of the app itself.

    Args:
        description: The author's words.
        own_name: The app's name.
        other_names: The names of the other apps.
        max_characters: How much is kept.
    """
    others = [name for name in other_names if name != own_name]
    # Tabs and their like part words; what cannot be seen does not.
    text = "".join(
        " " if character.isspace() and character not in "\n\r\u2028\u2029" else character
        for character in unicodedata.normalize("NFKC", description)
        if character.isspace() or unicodedata.category(character) not in _INVISIBLE
    )
    kept = [
        " ".join(sentence.split())
        for sentence in _SENTENCE_END.split(text)
        if not _mixes_scripts(sentence) and not names_any(sentence, others)
    ]
    said = " ".join(sentence for sentence in kept if sentence)
    # A name that is broken across sentences stands in the whole.
    if names_any(said, [name for name in others if "_" in name]):
        return ""
    return said if len(said) <= max_characters else said[: max_characters - 1] + "…"


def names_any(text: str, names: Iterable[str]) -> bool:
    """Return whether a text names any of these apps, however it is written: `metro_hail`, "Metro Hail", "m e t r o…".

    A name of one word has to stand there as a word: "mail" is not named by "mailbox".
    """
    words = _words(text)
    run = at_a_glance("".join(words))
    seen = {at_a_glance(word) for word in words}
    seen |= {word.removesuffix("s") for word in seen}
    return any(at_a_glance(name) in (run if "_" in name else seen) for name in names)


def _words(text: str) -> list[str]:
    """Return a text's words in lower case, without accents; letters that stand alone are put together."""
    plain = "".join(
        character
        for character in unicodedata.normalize("NFKD", text).casefold()
        if not unicodedata.combining(character) and unicodedata.category(character) not in _INVISIBLE
    )
    found: list[str] = []
    spelt: list[str] = []
    for word in [*_WORD.findall(plain), ""]:
        if len(word) == 1:
            spelt.append(word)
            continue
        found += ["".join(spelt)] if len(spelt) >= _SPELT_OUT else spelt
        spelt = []
        found += [word] if word else []
    return found


def _mixes_scripts(text: str) -> bool:
    """Return whether any word of a text is of two scripts, as a Cyrillic letter in a Latin word is."""
    for word in _WORD.findall(text):
        letters = (character for character in word if character.isalpha())
        scripts = {unicodedata.name(letter, "").split(" ")[0].split("-")[0] for letter in letters}
        # Japanese is written in three, and nobody takes one for another.
        if len(scripts - {"CJK", "HIRAGANA", "KATAKANA"}) > 1:
            return True
    return False


def _entry(
    app: RegisteredApp,
    functions: Iterable[RegisteredFunction],
    apps: Iterable[RegisteredApp],
    *,
    of_app: bool,
    of_function: bool,
) -> dict[str, Any]:
    names = [other.name for other in apps]
    entry: dict[str, Any] = {"app": app.name}
    if of_app:
        entry["says"] = about_itself(app.manifest.description, app.name, names, MAX_APP_CHARACTERS)
    entry["functions"] = {}
    for function in functions:
        if function.app is not app:
            continue
        offered: dict[str, Any] = {"effect": function.effect, "arguments": dict(_arguments(function))}
        if of_function:
            said = about_itself(function.spec.description, app.name, names, MAX_FUNCTION_CHARACTERS)
            offered = {"says": said, **offered}
        entry["functions"][function.name] = offered
    return entry


def _arguments(function: RegisteredFunction) -> Iterator[tuple[str, str]]:
    properties = function.spec.arguments.get("properties")
    named = properties.items() if isinstance(properties, dict) else ()
    plain = [(name, schema) for name, schema in named if _ARGUMENT.fullmatch(name)]
    for name, schema in plain[:_MAX_ARGUMENTS]:
        kind = schema.get("type") if isinstance(schema, dict) else None
        yield name, kind if isinstance(kind, str) else "any"
