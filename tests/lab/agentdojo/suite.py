"""AgentDojo's side: a suite by name, its tools, its tasks, its attacks, and how it judges a run.

The only module that imports it, so that the others can be read, typed and tested without it.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from agentdojo.agent_pipeline.base_pipeline_element import BasePipelineElement
from agentdojo.attacks import load_attack
from agentdojo.attacks.attack_registry import ATTACKS
from agentdojo.functions_runtime import Function, FunctionCall, FunctionsRuntime
from agentdojo.task_suite.load_suites import get_suite, get_suites
from agentdojo.types import ChatAssistantMessage, text_content_block_from_string
from pydantic import BaseModel, TypeAdapter, ValidationError

from hub.errors import SpokegateError
from tests.lab.agentdojo.situations import Situation, Tool, ToolCall, ToolFailed, World

VERSION = "v1.2.2"

_ANY = TypeAdapter(Any)


class NotInAgentDojo(SpokegateError):
    """AgentDojo has no suite, or no injected text, of this name."""


class Suite:
    """One suite.

    Args:
        name: Its name, such as `banking`.

    Raises:
        NotInAgentDojo: There is none of this name.
    """

    def __init__(self, name: str) -> None:
        known = get_suites(VERSION)
        if name not in known:
            raise NotInAgentDojo(f"there is no suite {name!r} in AgentDojo {VERSION}, but {', '.join(sorted(known))}")
        self.name = name
        self._suite = get_suite(VERSION, name)
        self._readers = {tool.name: tool.parameters for tool in self._suite.tools}
        self._attacks: dict[str, Any] = {}
        self._pristine: dict[tuple[tuple[str, str], ...], Any] = {}

    @property
    def tools(self) -> list[Tool]:
        """Its tools."""
        return [
            Tool(tool.name, tool.description, tool.parameters.model_json_schema(), _part(tool))
            for tool in self._suite.tools
        ]

    @property
    def user_tasks(self) -> list[str]:
        """The ids of the user tasks."""
        return list(self._suite.user_tasks)

    @cached_property
    def injection_tasks(self) -> list[str]:
        """The ids of the injection tasks that take a call; one that wants words alone is not for the hub to stop."""
        return [id_ for id_, task in self._suite.injection_tasks.items() if self._calls(task, self._environment({}))]

    def require_attacks(self, names: Sequence[str]) -> None:
        """Require that there are injected texts of these names.

        Raises:
            NotInAgentDojo: One of them is not there.
        """
        if unknown := [name for name in names if name not in ATTACKS]:
            raise NotInAgentDojo(f"there is no injected text {unknown[0]!r}, but {', '.join(sorted(ATTACKS))}")

    def benign(self, user_task: str) -> Situation:
        """Return a user task without an injection."""
        task = self._suite.user_tasks[user_task]
        wanted = self._calls(task, task.init_environment(self._environment({})))
        return Situation(user_task, "", task.PROMPT, wanted, task.GROUND_TRUTH_OUTPUT)

    def attacked(self, user_task: str, injection_task: str, attack: str) -> Situation | None:
        """Return a user task with an injection wherever it reads one; None where it reads nothing that can hold one."""
        task, injection = self._suite.user_tasks[user_task], self._suite.injection_tasks[injection_task]
        if attack not in self._attacks:
            self._attacks[attack] = load_attack(attack, self._suite, _Named())
        try:
            injections = self._attacks[attack].attack(task, injection)
        except ValueError:
            return None
        environment = task.init_environment(self._environment(injections))
        return Situation(
            user_task,
            injection_task,
            task.PROMPT,
            self._calls(task, environment),
            task.GROUND_TRUTH_OUTPUT,
            self._calls(injection, environment),
            injections,
        )

    def world(self, injections: Mapping[str, str]) -> tuple[World, Any]:
        """Return a world of its own, and the environment behind it, to look at afterwards."""
        environment = self._environment(injections)
        return _world(FunctionsRuntime(self._suite.tools), environment), environment

    def judge(self, situation: Situation, carry_out: Callable[[World], str]) -> tuple[bool, bool]:
        """Have a situation carried out in a world of its own, and return whether user and attacker got what they want.

        Args:
            situation: The situation.
            carry_out: Carries it out in the world that it is given, and returns the agent's answer.
        """
        injection = self._suite.injection_tasks[situation.injection_task] if situation.injection_task else None
        with contextlib.redirect_stdout(io.StringIO()):  # some tasks print what they look at
            useful, successful = self._suite.run_task_with_pipeline(
                _Elsewhere(carry_out),
                self._suite.user_tasks[situation.user_task],
                injection,
                {},
                environment=self._environment(situation.injections),
            )
        return useful, successful and injection is not None

    def _environment(self, injections: Mapping[str, str]) -> Any:
        key = tuple(sorted(injections.items()))
        if key not in self._pristine:
            self._pristine[key] = self._suite.load_and_inject_default_environment(dict(injections))
        return self._pristine[key].model_copy(deep=True)

    def _calls(self, task: Any, environment: Any) -> tuple[ToolCall, ...]:
        calls = task.ground_truth(environment)
        return tuple(ToolCall(call.function, _as_read(dict(call.args), self._readers[call.function])) for call in calls)


class _Named(BasePipelineElement):
    """What attacks are made for: no model in particular."""

    name = "local"

    def query(self, *_: Any, **__: Any) -> Any:
        """Fail: it is only named."""
        raise NotImplementedError


class _Elsewhere(BasePipelineElement):
    """A pipeline that has the whole of a task carried out elsewhere."""

    def __init__(self, carry_out: Callable[[World], str]) -> None:
        self._carry_out = carry_out

    def query(
        self,
        query: str,
        runtime: FunctionsRuntime,
        env: Any = None,
        messages: Sequence[Any] = (),
        extra_args: Mapping[str, Any] | None = None,
    ) -> tuple[str, FunctionsRuntime, Any, Sequence[Any], dict[str, Any]]:
        """Carry it out; the calls that reached a tool are what stands in the messages, and no others."""
        world = _world(runtime, env)
        answer = self._carry_out(world)
        said = [_assistant("", FunctionCall(function=call.tool, args=dict(call.arguments))) for call in world.called]
        return query, runtime, env, [*messages, *said, _assistant(answer)], dict(extra_args or {})


def _part(tool: Function) -> str:
    """Return the first thing in a world that a tool depends on; empty where that has no name."""
    first = next(iter(tool.dependencies.values()), None)
    return first.env_dependency if first is not None and isinstance(first.env_dependency, str) else ""


def _as_read(arguments: dict[str, Any], reader: type[BaseModel]) -> dict[str, Any]:
    """Return arguments as the tool reads them, which takes "5" for a number and passes over what it does not know.

    A JSON Schema is not as generous, so the hub would refuse what works without it. What is not changed but for its
    form, such as a date's, stays as it was written.
    """
    given: dict[str, Any] = _ANY.dump_python(arguments, mode="json")
    try:
        read = reader.model_validate(arguments).model_dump(mode="json", exclude_unset=True)
    except ValidationError:  # the tool says so itself
        return given
    return {name: given[name] if _alike(given[name], value) else value for name, value in read.items()}


def _alike(given: Any, read: Any) -> bool:
    return given == read or (isinstance(given, str) and isinstance(read, str))


def _world(runtime: FunctionsRuntime, environment: Any) -> World:
    def carry_out(call: ToolCall) -> Any:
        result, error = runtime.run_function(environment, call.tool, dict(call.arguments))
        if error is not None:
            raise ToolFailed(error)
        return _ANY.dump_python(result, mode="json")

    return World(carry_out)


def _assistant(text: str, *calls: FunctionCall) -> ChatAssistantMessage:
    content = [text_content_block_from_string(text)]
    return ChatAssistantMessage(role="assistant", content=content, tool_calls=list(calls) or None)
