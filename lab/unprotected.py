"""What the lab compares with: the same apps and the same model in one process, and nothing between them.

One agent has every function of every app as a tool, reads every description, instruction and result, and does what its
model says. Apps call one another directly and are told all that is known of the user. There is no hub, no sandbox, no
policy and nobody who is asked: whatever an app or a text wants, happens. So it is for the lab alone.

Invariants:
    * It does not start with anything that could be real: neither with a key, nor with a model that is not on this
      machine's loopback.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NoReturn, Self, cast
from urllib.parse import urlsplit

from hub.config import ModelConfig
from hub.errors import SpokegateError
from hub.model.client import ModelRequest
from hub.spokes.kinds import RESPOND
from hub.spokes.registry import RegisteredApp, RegisteredFunction, Registry
from spoke_runner.sdk import App, Call, ProbedFunction

WARNING = (
    "UNPROTECTED: every app runs in this one process, without hub, sandbox or policy, and may do to this machine "
    "whatever you may. For the lab, never for real data."
)
MAX_ANSWERS = 8

_MAX_COMPLETION_TOKENS = 4096
_IDLE_SECONDS = 30.0


class CredentialsAtRisk(SpokegateError):
    """It would run with something real; the text says with what."""


def refuse_what_is_real(model: ModelConfig) -> None:
    """Refuse a model that asks for a key, or that is not on loopback.

    Raises:
        CredentialsAtRisk: It is such a one.
    """
    if model.key_env is not None or model.key_file is not None:
        raise CredentialsAtRisk(
            "unprotected: the configured model has an API key, which every app could read: use a scripted model"
        )
    host = urlsplit(model.base_url).hostname or ""
    try:
        local = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        raise CredentialsAtRisk(f"unprotected: the model at {host} is not on this machine: use a scripted model")


class Unprotected:
    """All apps in this process. Use as `async with`.

    Args:
        registry: The apps.
        model: The model; a scripted one.
        data: Where the apps' data directories are: `data/APP`.
        user_data: What is known of the user, by name.

    Raises:
        CredentialsAtRisk: The model could be a real one.
    """

    def __init__(
        self, registry: Registry, model: ModelConfig, data: Path, user_data: Mapping[str, Any] | None = None
    ) -> None:
        refuse_what_is_real(model)
        self._registry = registry
        self._model = model
        self._data = data
        self._user_data = dict(user_data or {})
        self._apps: dict[str, App] = {}
        self._messages: list[dict[str, Any]] = []

    async def __aenter__(self) -> Self:
        # Where the hub has it from too; it takes a second to import.
        provider = importlib.import_module("hub.model.provider")
        self._provider = provider.OpenAIProvider(
            self._model.base_url, "", connect_seconds=self._model.connect_seconds, idle_seconds=_IDLE_SECONDS
        )
        for app in self._registry.apps.values():
            (self._data / app.name).mkdir(parents=True, exist_ok=True)
            if app.manifest.entry is not None and app.manifest.kind != "annotation":
                self._apps[app.name] = _loaded(app)
        self._messages = [{"role": "system", "content": self._told()}]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._provider.close()

    async def converse(self, wish: str) -> AsyncIterator[str]:
        """Do what the user says, and yield the answer's pieces."""
        self._messages.append({"role": "user", "content": wish})
        for number in range(1, MAX_ANSWERS + 1):
            said, calls = "", list[dict[str, Any]]()
            async for piece in self._ask(calls, last=number == MAX_ANSWERS):
                said += piece
                yield piece
            if not calls:
                self._messages.append({"role": "assistant", "content": said})
                return
            self._messages.append({"role": "assistant", "content": said or None, "tool_calls": calls})
            results = await asyncio.gather(*(self._result_of(call) for call in calls))
            for call, result in zip(calls, results, strict=True):
                self._messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})

    async def invoke(self, function: str, arguments: Mapping[str, Any]) -> Any:
        """Call a function of an app, whoever asks.

        Raises:
            LookupError: There is none.
        """
        app, _, name = function.partition(".")
        implementation = self._apps[app].get(name) if app in self._apps else None
        if implementation is None:
            raise LookupError(function)
        return await implementation(cast(Call, _Open(self, self._registry.apps[app])), **arguments)

    async def _ask(self, calls: list[dict[str, Any]], *, last: bool) -> AsyncIterator[str]:
        """Ask the model, yield its words, and add the calls that it makes."""
        tools = [_tool(function) for function in self._functions()]
        body: dict[str, Any] = {"messages": self._messages}
        if tools:
            body |= {"tools": tools, "tool_choice": "none" if last else "auto"}
        request = ModelRequest(self._model.models[0].name, body, _MAX_COMPLETION_TOKENS)
        made: dict[int, dict[str, Any]] = {}
        async with self._provider.stream(request) as pieces:
            async for piece in pieces:
                if piece.text:
                    yield piece.text
                for index, id_, name, arguments in piece.calls:
                    call = made.setdefault(index, {"id": "", "type": "function", "function": _named()})
                    call["id"] += id_ or ""
                    call["function"]["name"] += name or ""
                    call["function"]["arguments"] += arguments or ""
        calls += made.values()

    async def _result_of(self, call: Mapping[str, Any]) -> str:
        function = call["function"]["name"].replace("__", ".", 1)
        try:
            return json.dumps({"result": await self.invoke(function, json.loads(call["function"]["arguments"] or "{}"))})
        except Exception as error:  # of an app or of the model: it is told, as such agents tell it
            return json.dumps({"error": f"{type(error).__name__}: {error}"})

    def _functions(self) -> list[RegisteredFunction]:
        return [
            function
            for function in self._registry.functions.values()
            if function.app.name in self._apps and function.name != RESPOND
        ]

    def _told(self) -> str:
        """Return what the one agent is told: all that every app says."""
        said = ["You are the person's assistant, and have the apps below. Use their tools for what the person wants."]
        for app in self._registry.apps.values():
            said.append(f"{app.name}: {app.manifest.description}\n{app.manifest.instructions or ''}".strip())
        if self._user_data:
            said.append(f"What is known of the person: {json.dumps(self._user_data, ensure_ascii=False)}")
        return "\n\n".join(said)


@dataclass(frozen=True)
class _Open:
    """What a function sees of its call: everything is let through."""

    house: Unprotected
    registered: RegisteredApp
    instructions: str = field(default="")

    @property
    def app(self) -> str:
        return self.registered.name

    @property
    def data(self) -> Path:
        return self.house._data / self.registered.name

    @property
    def user_data(self) -> Mapping[str, Any]:
        return self.house._user_data

    async def invoke(self, function: str, arguments: dict[str, Any]) -> Any:
        return await self.house.invoke(function, arguments)

    async def probe(self, functions: Sequence[str] = ()) -> list[ProbedFunction]:
        return [
            ProbedFunction(f.id, f.spec.description, json.loads(f.arguments_schema_json), json.loads(f.result_schema_json))
            for f in self.house._functions()
            if not functions or f.id in functions
        ]

    async def progress(self, text: str, *, answer: bool = False) -> None:
        pass

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"unprotected: there is no hub, and so no {name}")


def _loaded(app: RegisteredApp) -> App:
    """Import an app's code into this process, under a name of its own."""
    module_name, _, attribute = (app.manifest.entry or "").partition(":")
    spec = importlib.util.spec_from_file_location(f"unprotected_{app.name}", app.path / f"{module_name}.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"{app.path}: no {module_name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look themselves up
    with contextlib.ExitStack() as stack:
        sys.path.insert(0, str(app.path))
        stack.callback(sys.path.remove, str(app.path))
        spec.loader.exec_module(module)
    found = getattr(module, attribute)
    if not isinstance(found, App):
        raise ImportError(f"{app.path}: {attribute} is no App")
    return found


def _tool(function: RegisteredFunction) -> dict[str, Any]:
    described = {
        "name": function.id.replace(".", "__", 1),
        "description": function.spec.description,
        "parameters": json.loads(function.arguments_schema_json),
    }
    return {"type": "function", "function": described}


def _named() -> dict[str, str]:
    return {"name": "", "arguments": ""}
