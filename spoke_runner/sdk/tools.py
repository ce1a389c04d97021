"""Functions as a model sees them: tools, with names that a provider takes, and results that are quoted.

The model calls whatever it likes; what comes of it is the hub's to decide. So a call of a function that is not offered
is asked for all the same, and refused where such things are refused.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from spoke_runner.sdk.call import ProbedFunction, Refused
from spoke_runner.sdk.withheld import Withheld

MAX_RESULT_CHARACTERS: Final = 16_000
MAX_DESCRIPTION_CHARACTERS: Final = 400
MAX_ARGUMENTS_CHARACTERS: Final = 100_000
READ_TEXTS: Final = "read_texts"

_MAX_NAME: Final = 64
_WIRE_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_FUNCTION: Final = re.compile(r"[a-z][a-z0-9_]{0,62}\.[a-z][a-z0-9_]{0,62}\Z")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.@:+/$#-]{1,40}\Z")
# What of a schema is for the machine; the rest is for a reader, and anybody's words.
_OF_MACHINE: Final = frozenset(
    {
        "type", "properties", "required", "items", "prefixItems", "enum", "const", "format", "minimum", "maximum",
        "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "minItems", "maxItems",
        "uniqueItems", "additionalProperties", "anyOf", "oneOf", "allOf", "$ref", "$defs",
    }
)  # fmt: skip

_READ_TEXTS_TOOL: Final[dict[str, Any]] = {
    "type": "function",
    "function": {
        "name": READ_TEXTS,
        "description": "Has texts of apps read, and gives what they say about a question, as a text of its own.",
        "parameters": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "texts": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 16},
                "question": {"type": "string"},
            },
            "required": ["texts", "question"],
        },
    },
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A call that the model made, as far as it can be understood.

    Attributes:
        id: What its result is answered to.
        name: The tool's name, such as a provider takes back.
        arguments: The arguments; None where they are no JSON object.
    """

    id: str
    name: str
    arguments: dict[str, Any] | None

    def as_made(self) -> dict[str, Any]:
        """Return the call as it stands in the conversation; what a provider would not take back is left out."""
        arguments = json.dumps(self.arguments if self.arguments is not None else {}, ensure_ascii=False)
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": arguments}}


class Toolbox:
    """The tools of one conversation.

    Args:
        own_app: The app that asks.
        functions: What it may ask for.
        withheld: Where the texts of other apps are kept.

    Invariants:
        * A model that is offered the functions of more than one other app sees no text of any of them: neither in a
          result, nor in a description, nor in a schema.
    """

    def __init__(self, own_app: str, functions: Iterable[ProbedFunction], withheld: Withheld) -> None:
        self._own_app = own_app
        self._withheld = withheld
        self._functions = {wire_name(function.name): function for function in functions}
        self._others = {app for function in self._functions.values() if (app := _app_of(function.name)) != own_app}
        self.used: set[str] = set()

    @property
    def withholds(self) -> bool:
        """Whether texts of other apps are kept from the model: their own tools' descriptions too."""
        return len(self._others) > 1

    @property
    def offered(self) -> list[dict[str, Any]]:
        """The tools, as the chat-completions API has them."""
        tools = [self._tool(name, function) for name, function in self._functions.items()]
        return [*tools, _READ_TEXTS_TOOL] if self.withholds else tools

    def function(self, tool: str) -> str | None:
        """Return the function that a tool stands for, offered or not; None where it can be none."""
        found = self._functions.get(tool)
        name = found.name if found is not None else tool.replace("__", ".", 1)
        return name if _FUNCTION.match(name) else None

    def quoted(self, function: str, result: Any) -> str:
        """Return a result as the model gets it: named for its origin, marked as untrusted, cut where it is long."""
        app = _app_of(function)
        hides = app != self._own_app and (self.withholds or app not in self._others)
        if app != self._own_app:
            self.used.add(function)
        shown = self._withheld.hide(result, app) if hides else result
        said: dict[str, Any] = {"from": function, "untrusted": True, "result": shown}
        if len(text := json.dumps(shown, ensure_ascii=False)) > MAX_RESULT_CHARACTERS:
            whole = json.dumps(result, ensure_ascii=False)
            said["result"] = self._withheld.keep(whole, (app,)) if hides else text[:MAX_RESULT_CHARACTERS]
            said["cut"] = not hides
        return json.dumps(said, ensure_ascii=False)

    def _tool(self, name: str, function: ProbedFunction) -> dict[str, Any]:
        foreign = _app_of(function.name) != self._own_app
        parameters = function.arguments_schema
        described: dict[str, Any] = {"name": name}
        if foreign and self.withholds:
            parameters = machine_schema(parameters)
        else:
            described["description"] = function.description[:MAX_DESCRIPTION_CHARACTERS]
        return {"type": "function", "function": {**described, "parameters": parameters}}


def wire_name(function: str) -> str:
    """Return how a function is called as a tool: no provider takes a dot in a name, nor a name of any length."""
    name = function.replace(".", "__", 1)
    app = _app_of(function)
    # Two functions must not come to the same name.
    if len(name) <= _MAX_NAME and "__" not in app and not app.endswith("_"):
        return name
    return f"{name[: _MAX_NAME - 13]}-{hashlib.sha256(function.encode()).hexdigest()[:12]}"


def machine_schema(schema: Any) -> dict[str, Any]:
    """Return a schema without whatever in it could be read as a sentence."""
    stripped = _stripped(schema)
    return stripped if isinstance(stripped, dict) else {"type": "object"}


def _stripped(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema if isinstance(schema, bool) else None
    kept: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword not in _OF_MACHINE:
            continue
        if keyword in ("properties", "$defs"):
            parts = {key: _stripped(part) for key, part in value.items()} if isinstance(value, dict) else {"": None}
            if not all(_PLAIN.match(key) for key in parts) or None in parts.values():
                return None
            kept[keyword] = parts
        elif keyword in ("items", "additionalProperties"):
            if (part := _stripped(value)) is None:
                return None
            kept[keyword] = part
        elif keyword in ("prefixItems", "anyOf", "oneOf", "allOf"):
            listed = [_stripped(part) for part in value] if isinstance(value, list) else [None]
            if None in listed:
                return None
            kept[keyword] = listed
        elif all(_is_plain(item) for item in (value if isinstance(value, list) else [value])):
            kept[keyword] = value
        else:
            return None
    return kept


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return bool(_PLAIN.match(value))
    return value is None or isinstance(value, (bool, int, float))


def wanted(message: dict[str, Any], *, number: int, most: int) -> list[Wanted]:
    """Return the calls that stand in a message of the model; what is none is left out.

    Args:
        message: The message.
        number: How many calls were made before.
        most: How many are taken at most.
    """
    found: list[Wanted] = []
    calls = message.get("tool_calls")
    for call in calls[:most] if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            continue
        name, arguments = function.get("name"), function.get("arguments")
        # Not the model's own numbers: it may use one twice.
        id_ = f"call_{number + len(found) + 1}"
        known = name if isinstance(name, str) and _WIRE_NAME.match(name) else "unknown"
        found.append(Wanted(id_, known, _object(arguments)))
    return found


def refusal(function: str, refused: Refused) -> str:
    """Return a refusal as the model gets it: the hub's own words."""
    said = {"refused": function, "reason": refused.reason, "message": refused.message, "decision": refused.decision_id}
    return json.dumps(said)


def _object(text: Any) -> dict[str, Any] | None:
    if text is None or not isinstance(text, str) or len(text) > MAX_ARGUMENTS_CHARACTERS:
        return {} if text is None else None
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _app_of(function: str) -> str:
    return function.partition(".")[0]
