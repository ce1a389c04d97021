"""Spokes in this process: a gRPC server and a socket each, as the hub knows them, and one world behind them all.

The suites' worlds are objects in memory that several apps share, so these spokes have no walls. What a call meets on
its way, the wire, the frames, the mediator, the policies, the log, is what it meets everywhere.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from hub.spokes.registry import RegisteredApp
from hub.spokes.starting import SpokeKey
from spoke_runner.sandbox import Outside, SandboxReport, SandboxSpec, SpokeStartFailed
from spoke_runner.sdk import App, Call
from spoke_runner.sdk.server import serve_app
from tests.lab.agentdojo.agent import Asker
from tests.lab.agentdojo.installing import ASSISTANT
from tests.lab.agentdojo.situations import ToolCall, World

_NO_WALLS = SandboxReport(level="none", landlock_abi=0, canaries=(), outside=Outside(0, 0, {}, (), (), ()), breaches=())


@dataclass(frozen=True, slots=True)
class Scene:
    """What the spokes of one session share: the agent that is one of them, and the world behind the others."""

    agent: Asker
    world: World


class InThisProcess:
    """Starts spokes in this process. Use as `async with`.

    Args:
        scene_of: Gives a session's scene.
    """

    def __init__(self, scene_of: Callable[[str], Scene]) -> None:
        self._scene_of = scene_of

    async def __aenter__(self) -> Self:
        """Get nothing ready: there is nothing to get."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Let go of nothing: whoever was given a spoke ends it."""

    async def start(self, app: RegisteredApp, key: SpokeKey, spec: SandboxSpec) -> tuple[Served, str]:
        """Start a spoke.

        Raises:
            SpokeStartFailed: It could not be served.
        """
        began, ready = time.monotonic(), asyncio.Event()
        code = _app(app, self._scene_of(key.session))
        task = asyncio.create_task(
            serve_app(code, data_dir=spec.data_dir, socket_path=spec.socket_path, on_ready=ready.set)
        )
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            waiting.cancel()
            raise SpokeStartFailed(f"{key.app}: {task.exception()}")
        return Served(spec.socket_path, task, round((time.monotonic() - began) * 1000, 1)), "in this process"


class Served:
    """A spoke that is served in this process."""

    report = _NO_WALLS
    listener = None
    logs: Sequence[str] = ()
    ended_because = ""

    def __init__(self, socket_path: Path, task: asyncio.Task[None], start_milliseconds: float) -> None:
        self.pid = os.getpid()
        self.socket_path = socket_path
        self.start_milliseconds = start_milliseconds
        self._task = task

    async def wait(self) -> int:
        """Wait until it ends."""
        await asyncio.wait((self._task,))
        return 0

    async def kill(self) -> None:
        """End it."""
        self._task.cancel()
        await asyncio.wait((self._task,))


def _app(app: RegisteredApp, scene: Scene) -> App:
    code = App()
    if app.name == ASSISTANT.name:
        code.function(_responding(scene.agent))
    else:
        for name in app.functions:
            code.function(_serving(name, scene.world))
    return code


def _responding(agent: Asker) -> Any:
    async def respond(call: Call, text: str) -> dict[str, str]:
        return {"text": await agent.respond(call)}

    return respond


def _serving(tool: str, world: World) -> Any:
    async def serve(call: Call, **arguments: Any) -> Any:
        return world.call(ToolCall(tool, arguments))

    serve.__name__ = tool
    return serve
