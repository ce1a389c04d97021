"""What the model says: ordered rules, as data. The first that fits answers.

A script is YAML (or the same objects in Python)::

    rules:
      - name: ask both companies
        when: {user: "from '(?P<here>[^']+)' to '(?P<there>[^']+)'", tools: [metro_hail.estimate_fare], called: []}
        then:
          calls:
            - {name: metro_hail.estimate_fare, arguments: {pickup: "${here}", destination: "${there}"}}
      - name: say what it costs
        when: {called: [metro_hail.estimate_fare]}
        then: {text: "Metro Hail: $${metro_hail.estimate_fare#/fare|unknown}"}

In every text `${name}` is a named group of a pattern of the rule, and `${app.function#/pointer}` what stands at an RFC
6901 pointer in the latest result of that function since the user spoke; what stands after `|` is said where there is
none. A text that is one such reference and nothing else becomes the value itself.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Protocol

import jsonpointer
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scripted_model.conversation import Conversation

_REFERENCE = re.compile(r"\$\{([^}#|]+)(?:#([^}|]*))?(?:\|([^}]*))?\}")


class ScriptInvalid(ValueError):
    """A script cannot be read; the text says where it is wrong."""


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class When(_Document):
    """When a rule fits: when all that it says is so. Patterns are searched for, in any case of letters."""

    model: str | None = Field(default=None, description="Pattern: the model that is asked.")
    system: str | None = Field(default=None, description="Pattern: in the system messages.")
    user: str | None = Field(default=None, description="Pattern: in the last user message.")
    anywhere: str | None = Field(default=None, description="Pattern: in any text that the model sees.")
    results: dict[str, str] = Field(default_factory=dict, description="By function: a pattern in its latest result.")
    last: str | None = Field(default=None, description="The role of the last message.")
    tools: tuple[str, ...] = Field(default=(), description="Functions that are all offered as tools.")
    called: tuple[str, ...] | None = Field(
        default=None, description="Functions that were all called since the user spoke; `[]`: none was."
    )
    not_called: tuple[str, ...] = Field(default=(), description="Functions of which none was called since then.")
    json_: bool | None = Field(default=None, alias="json", description="Whether the answer has to be JSON.")


class ToolCall(_Document):
    """A tool call to make."""

    name: str = Field(description="The function: `app.function`, or an own function by its name.")
    arguments: Any = Field(default_factory=dict, description="Its arguments; a string is sent as it is, JSON or not.")


class Fault(_Document):
    """How the model fails."""

    status: int | None = Field(default=None, description="HTTP status in place of an answer.")
    retry_after: float | None = Field(default=None, description="Seconds, as `Retry-After`.")
    raw: str | None = Field(default=None, description="The body, whatever it is, in place of an answer.")
    cut_after: int | None = Field(default=None, ge=0, description="Pieces after which the connection is cut.")
    hang: bool = Field(default=False, description="Never answer.")
    unbounded: bool = Field(default=False, description="Say more than the request lets it.")


class Reply(_Document):
    """What the model answers."""

    text: str = Field(default="", description="The text.")
    json_: Any = Field(default=None, alias="json", description="The text, as JSON.")
    calls: tuple[ToolCall, ...] = Field(default=(), description="The tool calls, all at once.")
    repeat: int = Field(default=1, ge=1, description="How many times the text is said.")
    delay_ms: float = Field(default=0.0, ge=0, description="How much later this answer comes than others.")
    finish_reason: str | None = Field(default=None, description="In place of the one that fits.")
    fault: Fault | None = Field(default=None, description="How it fails instead.")

    def content(self) -> str:
        """Return what is said."""
        return (self.text if self.json_ is None else json.dumps(self.json_, ensure_ascii=False)) * self.repeat


class Rule(_Document):
    """One rule of a script."""

    name: str = Field(default="", description="What it is for; the server's log tells which rule answered.")
    when: When = Field(default_factory=When, description="When it fits; left out: always.")
    then: Reply = Field(description="What is answered.")
    times: int | None = Field(default=None, ge=1, description="How often it answers; left out: always.")


class Brain(Protocol):
    """Answers conversations."""

    def answer(self, conversation: Conversation) -> Reply:
        """Return what the model says."""
        ...


class Script(_Document):
    """A whole script. Which rules are used up is its only state."""

    rules: tuple[Rule, ...] = Field(description="The rules, in order.")
    otherwise: Reply = Field(
        default=Reply(text="My script has no line for this."), description="What is answered when no rule fits."
    )
    _used: dict[int, int] = {}

    def model_post_init(self, _context: Any) -> None:
        """Start with no rule used."""
        self._used = {}

    def answer(self, conversation: Conversation) -> Reply:
        """Return what the first rule that fits says."""
        for index, rule in enumerate(self.rules):
            if rule.times is not None and self._used.get(index, 0) >= rule.times:
                continue
            groups = _groups(rule.when, conversation)
            if groups is not None:
                self._used[index] = self._used.get(index, 0) + 1
                return _filled(rule.then, groups, conversation)
        return self.otherwise


def load_script(path: Path) -> Script:
    """Read a script from a YAML file.

    Raises:
        ScriptInvalid: It cannot be read, or is none.
    """
    try:
        return Script.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise ScriptInvalid(f"{path}: {error}") from error


def _groups(when: When, talk: Conversation) -> dict[str, str] | None:
    """Return the named groups of all patterns when everything fits, None when something does not."""
    called = {call.name for call in talk.recent}
    latest = {call.name: call.result or "" for call in talk.recent}
    facts = (
        when.last in (None, talk.last_role),
        when.json_ in (None, talk.wants_json),
        all(talk.tool(name) is not None for name in when.tools),
        when.called is None or (called >= set(when.called) if when.called else not called),
        not called & set(when.not_called),
        set(when.results) <= set(latest),
    )
    if not all(facts):
        return None
    patterns = [(when.model, talk.model), (when.system, talk.system), (when.user, talk.user)]
    patterns += [(when.anywhere, "\n".join(talk.everything))]
    patterns += [(pattern, latest[name]) for name, pattern in when.results.items()]
    groups: dict[str, str] = {}
    for pattern, text in patterns:
        if pattern is None:
            continue
        found = re.search(pattern, text, re.IGNORECASE | re.DOTALL)
        if found is None:
            return None
        groups.update({name: value or "" for name, value in found.groupdict().items()})
    return groups


def _filled(reply: Reply, groups: dict[str, str], talk: Conversation) -> Reply:
    changes: dict[str, Any] = {"text": str(_fill(reply.text, groups, talk))}
    if reply.json_ is not None:
        changes["json_"] = _fill(reply.json_, groups, talk)
    changes["calls"] = tuple(
        call.model_copy(update={"arguments": _fill(call.arguments, groups, talk)}) for call in reply.calls
    )
    return reply.model_copy(update=changes)


def _fill(value: Any, groups: dict[str, str], talk: Conversation) -> Any:
    if isinstance(value, dict):
        return {key: _fill(item, groups, talk) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, groups, talk) for item in value]
    if not isinstance(value, str):
        return value
    whole = _REFERENCE.fullmatch(value)
    if whole is not None:
        return _meant(whole, groups, talk)
    return _REFERENCE.sub(lambda found: _said(_meant(found, groups, talk)), value)


def _meant(found: re.Match[str], groups: dict[str, str], talk: Conversation) -> Any:
    name, pointer, otherwise = found.groups()
    if pointer is None:
        return groups.get(name, otherwise or "")
    call = next((call for call in reversed(talk.recent) if call.name == name), None)
    try:
        return jsonpointer.resolve_pointer(call.value() if call is not None else None, pointer)
    except (jsonpointer.JsonPointerException, TypeError):
        return otherwise or ""


def _said(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
