"""One request to the model as a script sees it, read as strictly as a real provider reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

_TOOL_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")
_ROLES = {"system", "developer", "user", "assistant", "tool"}


class RequestRefused(ValueError):
    """The request is none that a provider would take."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that is offered. Its name is written as the hub writes functions: `app.function`."""

    name: str
    wire_name: str
    description: str
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class MadeCall:
    """A tool call that the model made earlier in the conversation, and what came of it."""

    name: str
    arguments: dict[str, Any]
    result: str | None

    def value(self) -> Any:
        """Return the result as JSON, or as the text that it is."""
        try:
            return json.loads(self.result or "null")
        except ValueError:
            return self.result


@dataclass(frozen=True)
class Conversation:
    """What the model is asked."""

    model: str
    messages: tuple[dict[str, Any], ...]
    tools: tuple[Tool, ...] = ()
    wants_json: bool = False
    may_call: bool = True
    skipped: frozenset[str] = frozenset()

    @cached_property
    def system(self) -> str:
        """All that stands in system messages."""
        return "\n".join(text_of(m) for m in self.messages if m["role"] in ("system", "developer"))

    @cached_property
    def user(self) -> str:
        """The last user message."""
        return next((text_of(m) for m in reversed(self.messages) if m["role"] == "user"), "")

    @property
    def last_role(self) -> str:
        """Who spoke last."""
        return str(self.messages[-1]["role"])

    @cached_property
    def everything(self) -> tuple[str, ...]:
        """Every text that the model sees, each by itself: messages, and what is said of tools."""
        texts = [text_of(message) for message in self.messages]
        texts += [f"{tool.name}: {tool.description}\n{json.dumps(tool.parameters)}" for tool in self.tools]
        return tuple(text for text in texts if text)

    @cached_property
    def calls(self) -> tuple[MadeCall, ...]:
        """The tool calls of the whole conversation, in order."""
        return tuple(_calls(self.messages))

    @cached_property
    def recent(self) -> tuple[MadeCall, ...]:
        """The tool calls since the last user message, those that were skipped included."""
        start = max((i for i, m in enumerate(self.messages) if m["role"] == "user"), default=0)
        return (*_calls(self.messages[start:]), *(MadeCall(name, {}, None) for name in sorted(self.skipped)))

    def tool(self, name: str) -> Tool | None:
        """Return an offered tool by the name of its function."""
        return next((tool for tool in self.tools if tool.name == name), None)

    def skipping(self, names: Sequence[str]) -> Conversation:
        """Return the conversation as if some functions had been called, and given nothing."""
        return replace(self, skipped=self.skipped | frozenset(names))


def text_of(message: dict[str, Any]) -> str:
    """Return the text of a message, whose content may be a string, parts or nothing."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def function_name(wire_name: str) -> str:
    """Return the function that a tool stands for: no provider takes a dot in a tool's name, so `__` is one."""
    return wire_name.replace("__", ".", 1)


def wire_name(function: str) -> str:
    """Return how a function is called as a tool."""
    return function.replace(".", "__", 1)


def read(body: Any) -> Conversation:
    """Read the body of a request.

    Raises:
        RequestRefused: A real provider would refuse it too; the text says why.
    """
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        raise RequestRefused("the body is an object with a model")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RequestRefused("messages: a list of at least one")
    _check_messages(messages)
    wanted = body.get("response_format") or {}
    return Conversation(
        model=body["model"],
        messages=tuple(messages),
        tools=tuple(_tools(body.get("tools") or [])),
        wants_json=wanted.get("type") in ("json_object", "json_schema"),
        may_call=body.get("tool_choice") != "none",
    )


def _check_messages(messages: list[Any]) -> None:
    due: set[str] = set()
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise RequestRefused(f"messages.{index}: not an object with a known role")
        if message["role"] == "tool":
            if message.get("tool_call_id") not in due:
                raise RequestRefused(f"messages.{index}: the result of no call that is due")
            due.discard(message["tool_call_id"])
            continue
        if due:
            raise RequestRefused(f"messages.{index}: the results of {', '.join(sorted(due))} are missing before it")
        calls = message.get("tool_calls") or []
        if message.get("content") is None and not calls:
            raise RequestRefused(f"messages.{index}: neither content nor tool calls")
        due = {str(call["id"]) for call in calls}
    if due:
        raise RequestRefused("messages: the results of the last tool calls are missing")


def _tools(tools: list[Any]) -> Iterator[Tool]:
    for index, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or tool.get("type") != "function":
            raise RequestRefused(f"tools.{index}: not a function")
        name = function.get("name")
        if not isinstance(name, str) or not _TOOL_NAME.match(name):
            raise RequestRefused(f"tools.{index}: the name {name!r} does not match {_TOOL_NAME.pattern}")
        yield Tool(function_name(name), name, str(function.get("description", "")), function.get("parameters") or {})


def _calls(messages: Sequence[dict[str, Any]]) -> Iterator[MadeCall]:
    results = {m.get("tool_call_id"): text_of(m) for m in messages if m["role"] == "tool"}
    for message in messages:
        for call in message.get("tool_calls") or []:
            function = call["function"]
            yield MadeCall(function_name(function["name"]), _object(function["arguments"]), results.get(call["id"]))


def _object(text: str) -> dict[str, Any]:
    """Return the arguments of a call; what is no JSON object counts as none."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
