"""The same apps and the same model without a hub, sandbox or policy: what the lab compares with. Never for real data.

One model is told what all agents and annotations are told, and is offered every function of every app, in the words of
their authors. Whatever it calls is called, in this very process. All that was said stays in its context.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final
from urllib.parse import urlsplit

from hub.config import ModelConfig
from hub.errors import SpokegateError
from hub.mediation import schema
from hub.model.client import ModelClient, ModelRequest
from hub.sessions.converse import ASSISTANT
from hub.spokes.kinds import RESPOND
from hub.spokes.registry import RegisteredApp, RegisteredFunction
from spoke_runner.sdk import App, Generated, History, ProbedFunction, Refused, Response, Turn

MAX_STEPS: Final = 16

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
CREDENTIAL: Final = re.compile(r"(API_?KEY|ACCESS_KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS?)$", re.IGNORECASE)
_INSTRUCTIONS: Final = (
    "You are the person's assistant. Use the tools for what the person wants. These apps are installed:"
)


class RealCredentials(SpokegateError):
    """There is something here that unprotected apps must not get at."""


def credentials_in(environment: Mapping[str, str]) -> list[str]:
    """Return the variables of an environment that hold a credential, by their names."""
    return sorted(name for name in environment if CREDENTIAL.search(name))


def refuse_real_credentials(model: ModelConfig | None, environment: Mapping[str, str]) -> None:
    """Refuse to go on where apps that run in this process could get at a credential, or at a model that costs.

    Raises:
        RealCredentials: They could; the text names what, and the mend.
    """
    if model is not None and (model.key_env is not None or model.key_file is not None):
        raise RealCredentials("unprotected: the configuration names the key of a model: use one without `model`")
    if model is not None and urlsplit(model.base_url).hostname not in _LOOPBACK:
        raise RealCredentials(
            "unprotected: the configuration names a model that is not on this machine: use --scripted"
        )
    if found := credentials_in(environment):
        raise RealCredentials(
            f"unprotected: the environment holds {', '.join(found)}: unset them, apps could read them"
        )


class Unprotected:
    """The apps, the model and one conversation.

    Args:
        apps: The apps. The assistant is none of them: the model is that.
        model: The model.
        directory: Where apps keep their data.
        user_data: What is known of the user, by name: every app is told all of it.

    Attributes:
        model_calls: How often the model was asked.
        calls: What was called with which arguments, in order.
        messages: What the model has seen.

    Raises:
        RealCredentials: There is something that the apps must not get at.
    """

    def __init__(
        self,
        apps: Iterable[RegisteredApp],
        model: ModelClient,
        directory: Path,
        user_data: Mapping[str, Any] | None = None,
    ) -> None:
        refuse_real_credentials(None, os.environ)
        self.directory = directory
        self.user_data = dict(user_data or {})
        self.model_calls = 0
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.messages: list[dict[str, Any]] = []
        self._apps = [app for app in apps if app.name != ASSISTANT]
        self._functions = {
            function.id: function
            for app in self._apps
            for function in app.functions.values()
            if app.manifest.kind == "tool" or function.name != RESPOND
        }
        self._code: dict[str, App] = {}
        self._model = model
        self._issuer = model.take_issuer()

    async def say(self, wish: str) -> str:
        """Say a wish, and return the answer."""
        self.messages = self.messages or [{"role": "system", "content": self._told()}]
        self.messages.append({"role": "user", "content": wish})
        tools = [_tool(function) for function in self._functions.values()]
        for _ in range(MAX_STEPS):
            message = (await self.ask({"messages": self.messages, "tools": tools})).message
            self.messages.append(dict(message))
            if not message.get("tool_calls"):
                return str(message["content"] or "")
            self.messages += await asyncio.gather(*(self._tool_result(call) for call in message["tool_calls"]))
        return "The model goes on calling tools."

    async def ask(self, body: Mapping[str, Any], on_text: Callable[[str], Awaitable[None]] | None = None) -> Generated:
        """Ask the model."""
        self.model_calls += 1
        spec = self._model.models[self._model.default]
        request = ModelRequest(spec.name, body, spec.max_completion_tokens)
        done = await self._model.generate(self._issuer.issue(decision_id="unprotected", what=request), on_text)
        return Generated(dict(done.message), done.finish_reason, done.prompt_tokens, done.completion_tokens)

    async def invoke(self, function: str, arguments: dict[str, Any]) -> Any:
        """Call a function, whichever and for whomever."""
        found = self._functions.get(function)
        if found is None:
            raise Refused("FUNCTION_NOT_FOUND", message="There is no such function.")
        self.calls.append((function, arguments))
        implementation = self._app(found.app).get(found.name)
        if implementation is None:
            raise Refused("APP_FAILED", message="The app failed.")
        try:
            result = await implementation(_UnprotectedCall(self, found.app), **arguments)
            return json.loads(schema.canonical(result, what="result"))  # as the hub delivers it, for the same answers
        except Refused:
            raise
        except Exception:
            raise Refused("APP_FAILED", message="The app failed.") from None

    @property
    def functions(self) -> list[RegisteredFunction]:
        """Every function of every app."""
        return list(self._functions.values())

    def _told(self) -> str:
        lines = [_INSTRUCTIONS]
        for app in self._apps:
            lines.append(f"- {app.name}: {app.manifest.description}")
            if app.manifest.instructions:
                lines.append(f"  {app.manifest.instructions}")
        if self.user_data:
            lines.append(f"What is known of the person: {json.dumps(self.user_data, ensure_ascii=False)}")
        return "\n".join(lines)

    async def _tool_result(self, call: Mapping[str, Any]) -> dict[str, Any]:
        made = call["function"]
        function = str(made["name"]).replace("__", ".", 1)
        try:
            result = await self.invoke(function, json.loads(made["arguments"] or "{}"))
            said: Any = {"from": function, "result": result}
        except Refused as refused:
            said = {"refused": function, "reason": refused.reason}
        except (ValueError, TypeError) as error:
            said = {"refused": function, "reason": str(error)}
        return {"role": "tool", "tool_call_id": call["id"], "content": json.dumps(said, ensure_ascii=False)}

    def _app(self, app: RegisteredApp) -> App:
        if app.name not in self._code:
            self._code[app.name] = _imported(app)
        return self._code[app.name]


class _UnprotectedCall:
    """What an app sees of a call: everything goes."""

    def __init__(self, world: Unprotected, app: RegisteredApp) -> None:
        self.app = app.name
        self.instructions = app.manifest.instructions
        self.data = world.directory / app.name
        self.data.mkdir(parents=True, exist_ok=True)
        self.user_data = world.user_data
        self._world = world
        self._kept = self.data / "kept.json"

    async def invoke(self, function: str, arguments: dict[str, Any]) -> Any:
        """Call another app's function."""
        return await self._world.invoke(function, arguments)

    async def probe(self, functions: Sequence[str] = ()) -> list[ProbedFunction]:
        """Return every function."""
        return [
            ProbedFunction(found.id, found.spec.description, found.spec.arguments, found.spec.result)
            for found in self._world.functions
            if not functions or {found.id, f"{found.app.name}.*", "*"} & set(functions)
        ]

    async def generate(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        on_text: Callable[[str], Awaitable[None]] | None = None,
        **options: Any,
    ) -> Generated:
        """Ask the model."""
        body = {"messages": list(messages), **({"tools": list(tools)} if tools else {}), **options}
        return await self._world.ask(body, on_text)

    async def fetch(self, url: str, **options: Any) -> Response:
        """Refuse: the lab sends nothing to anybody."""
        raise Refused("HOST_UNAVAILABLE", message="The host is not available.")

    async def remember(self, key: str, value: Any) -> None:
        """Keep a value."""
        self._kept.write_text(json.dumps({**await self.entries(), key: value}))

    async def forget(self, key: str) -> None:
        """Forget a value."""
        self._kept.write_text(
            json.dumps({name: value for name, value in (await self.entries()).items() if name != key})
        )

    async def recall(self, key: str, default: Any = None) -> Any:
        """Return a value."""
        return (await self.entries()).get(key, default)

    async def entries(self) -> dict[str, Any]:
        """Return all values."""
        kept: dict[str, Any] = json.loads(self._kept.read_text()) if self._kept.exists() else {}
        return kept

    async def say(self, role: str, text: str) -> None:
        """Do nothing: all that is said stays in the model's context."""

    async def history(self) -> History:
        """Return all that was said."""
        said = [message for message in self._world.messages if message["role"] in ("user", "assistant")]
        return History("", tuple(Turn(message["role"], str(message["content"] or "")) for message in said))

    async def progress(self, text: str, *, answer: bool = False) -> None:
        """Do nothing."""


def _tool(function: RegisteredFunction) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {
            "name": function.id.replace(".", "__", 1),
            "description": function.spec.description,
            "parameters": function.spec.arguments,
        },
    }


def _imported(app: RegisteredApp) -> App:
    """Import an app's code into this process."""
    module_name, _, attribute = app.manifest.entry.partition(":")
    path = app.path.joinpath(*module_name.split(".")).with_suffix(".py")
    name = f"unprotected_{app.name}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise Refused("APP_FAILED", message="The app has no code that runs here.")
    module: ModuleType = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    code = getattr(module, attribute)
    if not isinstance(code, App):
        raise Refused("APP_FAILED", message="The app has no code that runs here.")
    return code
