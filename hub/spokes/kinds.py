"""What the kinds of app differ in: a `tool` has functions, an `agent` has instructions too, an `annotation` only those.

An agent and an annotation answer in words by one function, `respond`. An annotation has no code: the SDK serves it, so
its manifest says instructions and nothing else, and the rest is filled in here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from hub.yaml_document import Lines, Problem

RESPOND: Final = "respond"
ANNOTATION_ENTRY: Final = "spoke_runner.sdk.annotation:app"
MAX_TEXT_CHARACTERS: Final = 1 << 16

# What an annotation has no use for, since it has no code.
_OF_CODE: Final = ("entry", "command", "functions", "asks", "egress", "programs", "toolkits")


def respond_function(description: str) -> dict[str, Any]:
    """Return what the manifest of an annotation would say of `respond`."""
    return {
        "description": description,
        "effect": "read",
        "egress": False,
        "arguments": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"text": {"type": "string", "maxLength": MAX_TEXT_CHARACTERS}},
            "required": ["text"],
        },
        "result": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"text": {"type": "string", "maxLength": MAX_TEXT_CHARACTERS}},
            "required": ["text"],
        },
    }


def filled_in(data: dict[Any, Any]) -> dict[Any, Any]:
    """Return a manifest with what its kind implies."""
    if data.get("kind") != "annotation" or any(name in data for name in ("entry", "command", "functions")):
        return data
    description = data.get("description")
    respond = respond_function(description if isinstance(description, str) else "")
    return {**data, "entry": ANNOTATION_ENTRY, "functions": {RESPOND: respond}}


def kind_problems(data: dict[Any, Any], lines: Lines) -> Iterator[Problem]:
    """Yield what in a manifest, as it is written, does not go with its kind."""
    kind = data.get("kind")
    if kind == "mcp":
        yield lines.problem(("kind",), "`kind`: this release does not run `mcp` apps: use `tool`")
    if kind == "tool" and "instructions" in data:
        yield lines.problem(
            ("instructions",), "`instructions`: only agents and annotations have them: remove them, or use `agent`"
        )
    if kind in ("agent", "annotation") and "instructions" not in data:
        yield lines.problem((), f"`instructions`: an {kind} is told by them what to do: write them")
    if kind == "annotation":
        for name in _OF_CODE:
            if name in data:
                yield lines.problem(
                    (name,), f"`{name}`: an annotation is instructions alone: remove it, or use `agent`"
                )
    if kind == "agent":
        yield from _respond_problems(data.get("functions"), lines)


def _respond_problems(functions: Any, lines: Lines) -> Iterator[Problem]:
    if not isinstance(functions, dict):
        return  # the types have said so
    respond = functions.get(RESPOND)
    if not isinstance(respond, dict):
        yield lines.problem(("functions",), f"`functions`: an agent answers by `{RESPOND}`: declare it")
        return
    at = ("functions", RESPOND)
    arguments, result = _schema(respond, "arguments"), _schema(respond, "result")
    if not (_has_text(arguments) and arguments.get("required") == ["text"]):
        yield lines.problem(
            (*at, "arguments"),
            f"`functions.{RESPOND}.arguments`: declare `text`, a string, as the one required argument",
        )
    if not (_has_text(result) and "text" in result.get("required", ())):
        yield lines.problem((*at, "result"), f"`functions.{RESPOND}.result`: declare `text`, a string, as required")


def _schema(function: dict[str, Any], of: str) -> dict[str, Any]:
    schema = function.get(of)
    return schema if isinstance(schema, dict) else {}


def _has_text(schema: dict[str, Any]) -> bool:
    try:
        return bool(schema["properties"]["text"]["type"] == "string")
    except (KeyError, TypeError):
        return False
