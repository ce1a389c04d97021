"""How spokes come to life: by the sandbox runner, warm where that can be, else cold.

The supervisor keeps spokes and does not mind who starts them. The lab's measurements start theirs in the measuring
process, where the apps share a world; that has no walls, so `hub.app.serve` takes it at the level `none` alone.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import structlog

from hub.spokes.registry import RegisteredApp
from spoke_runner.sandbox import Footing, SandboxReport, SandboxSpec, Zygote, ZygoteUnavailable, launch

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SpokeKey:
    """What a spoke is for."""

    app: str
    user: str
    session: str


@dataclass(frozen=True, slots=True)
class SpokeEvent:
    """Something that happened to a spoke, for the audit log."""

    key: SpokeKey
    what: str
    detail: dict[str, Any]


class Process(Protocol):
    """What a supervisor knows of a spoke that runs; `spoke_runner.sandbox.SpokeProcess` says what each is."""

    pid: int
    socket_path: Path
    report: SandboxReport
    start_milliseconds: float
    ended_because: str

    @property
    def listener(self) -> socket.socket | None:
        """Where the hub's proxy accepts what the spoke connects to."""

    @property
    def logs(self) -> Sequence[str]:
        """The last lines that it wrote."""

    async def wait(self) -> int:
        """Wait until it ends."""

    async def kill(self) -> None:
        """End it, at once and for good."""


class Starter(Protocol):
    """Starts spokes. Use as `async with`."""

    async def __aenter__(self) -> Self:
        """Get ready."""

    async def __aexit__(self, *exc_info: object) -> None:
        """Let go of whatever was got ready."""

    async def start(self, app: RegisteredApp, key: SpokeKey, spec: SandboxSpec) -> tuple[Process, str]:
        """Start a spoke, and return it once it serves, with a word for the way in which it came to life.

        Raises:
            SandboxError: It could not be started.
        """


class Runner:
    """Starts spokes in sandboxes of their own.

    Args:
        footing: The level that every spoke is started at, and at no other.
        on_event: Told where a warm start cannot be had.
        on_zygote_event: Told, in a sentence, when what starts spokes warm is renewed or lost.

    Invariants:
        * A spoke is started in the way that its app's manifest names. Where a warm start cannot be had it is started
          cold, which is the same level of isolation, and both the reason and the way are events.
        * Below `strict` there are no namespaces for a fork to enter, so every start is cold; so is that of an app that
          executes programs, whose first process must be one that reaps them.
    """

    def __init__(
        self, footing: Footing, *, on_event: Callable[[SpokeEvent], None], on_zygote_event: Callable[[str], None]
    ) -> None:
        self.zygote = Zygote(on_event=on_zygote_event)
        self._footing = footing
        self._on_event = on_event

    async def __aenter__(self) -> Self:
        if self._footing.level == "strict":
            await self.zygote.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.zygote.__aexit__(None, None, None)

    async def start(self, app: RegisteredApp, key: SpokeKey, spec: SandboxSpec) -> tuple[Process, str]:
        """Start a spoke; see `Starter.start`."""
        manifest = app.manifest
        if manifest.isolation == "warm" and spec.level == "strict" and not (manifest.command or spec.programs):
            try:
                return await self.zygote.launch(spec, entry=manifest.entry), "warm"
            except ZygoteUnavailable as error:
                _log.warning("no warm start", app=key.app, error=str(error))
                self._on_event(SpokeEvent(key, "no warm start, so a cold one", {"error": str(error)}))
        return await launch(spec, entry=manifest.command or manifest.entry), "cold"
