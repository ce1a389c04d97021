"""What is measured, in words of its own: tools, calls of them, a world that they change, and a task in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Tool:
    """What a suite says of a tool.

    Attributes:
        name: Its name.
        description: What it does.
        arguments: JSON Schema of its arguments.
        part: The part of the world that it works on, which tools of one kind share; empty where it works on none.
    """

    name: str
    description: str
    arguments: Mapping[str, Any]
    part: str = ""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool."""

    tool: str
    arguments: Mapping[str, Any]


class ToolFailed(Exception):
    """A tool failed; the text is its own."""


@dataclass(slots=True)
class World:
    """A suite's world in one run, and what was done in it.

    Attributes:
        carry_out: Calls a tool, and returns what it returned as JSON types; raises `ToolFailed` where it fails.
        called: The calls that reached a tool, in order, whether it failed or not.
    """

    carry_out: Callable[[ToolCall], Any]
    called: list[ToolCall] = field(default_factory=list)

    def call(self, call: ToolCall) -> Any:
        """Call a tool.

        Raises:
            ToolFailed: It failed.
        """
        self.called.append(call)
        return self.carry_out(call)


@dataclass(frozen=True, slots=True)
class Situation:
    """What a user wants, with an injection or without one.

    Attributes:
        user_task: The user task's id.
        injection_task: The injection task's id; empty without one.
        prompt: What the user says.
        wanted: The calls that do what the user wants.
        answer: What the agent says in the end.
        injected: The calls that do what the injection wants.
        injections: The injected texts, by where they are put.
    """

    user_task: str
    injection_task: str
    prompt: str
    wanted: tuple[ToolCall, ...]
    answer: str
    injected: tuple[ToolCall, ...] = ()
    injections: Mapping[str, str] = field(default_factory=dict)
