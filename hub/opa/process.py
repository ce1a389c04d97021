"""OPA as a child of the hub: started, watched, started again, and gone with the hub.

It listens on a unix socket in the hub's own directory, and its `system.authz` policy lets whoever reaches it do nothing
but ask for a decision. While it is down every decision is refused.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Self

import structlog

from hub.errors import PdpUnavailable

_READY_SECONDS = 15.0
_POLL_SECONDS = 0.02
_STOP_SECONDS = 3.0
_FIRST_BACKOFF_SECONDS = 0.05
_LAST_BACKOFF_SECONDS = 2.0
_STEADY_SECONDS = 10.0
_LOG_LINE_BYTES = 64 << 10
# How much garbage Go lets a process gather, in percent of what lives: OPA's live heap is small, so that with the usual
# 100 it would collect after every few decisions. It costs about 20 MiB.
_GO_GARBAGE = "400"

_log = structlog.get_logger(__name__)


class OpaProcess:
    """Keeps one OPA server running. Use as `async with`.

    Args:
        opa: The `opa` program.
        bundle: The policy bundle; OPA loads it again when it changes.
        socket_path: Where it listens.
        healthy: Says whether it answers.
        on_event: Told when it ends and when it runs again.
    """

    def __init__(
        self,
        *,
        opa: Path,
        bundle: Path,
        socket_path: Path,
        healthy: Callable[[], Awaitable[bool]],
        on_event: Callable[[str], None],
    ) -> None:
        self._argv = (
            # OPA dies with the hub, even when the hub is killed.
            *("setpriv", "--pdeathsig", "KILL", "--"),
            *(str(opa), "run", "--server"),
            *("--addr", f"unix://{socket_path}", "--unix-socket-perm", "600"),
            *("--authorization", "basic", "--skip-version-check"),
            *("--log-level", "error", "--watch", "--bundle", str(bundle)),
        )
        self._socket_path = socket_path
        self._healthy = healthy
        self._on_event = on_event
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The child's pid; None while none runs."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process is not None and running else None

    async def __aenter__(self) -> Self:
        await self._start()
        self._keeper = asyncio.create_task(self._keep())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await self._stop()

    async def _start(self) -> None:
        self._socket_path.unlink(missing_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            *self._argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            limit=_LOG_LINE_BYTES,
            env={"GOGC": _GO_GARBAGE, **os.environ},
            # Its own session: the terminal's Ctrl-C is for the hub, which stops OPA last.
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(_READY_SECONDS):
                while not await self._healthy():
                    if self._process.returncode is not None:
                        raise PdpUnavailable(f"opa ended at start: {await self._last_words()}")
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            await self._stop()
            raise PdpUnavailable(f"opa was not ready after {_READY_SECONDS:.0f} s") from None

    async def _keep(self) -> None:
        backoff = _FIRST_BACKOFF_SECONDS
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            await self._drain()
            code = await self._process.wait() if self._process is not None else 0
            _log.error("opa ended; every decision is refused until it runs again", exit_code=code)
            self._on_event("opa ended")
            backoff = _FIRST_BACKOFF_SECONDS if loop.time() - started > _STEADY_SECONDS else backoff
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, _LAST_BACKOFF_SECONDS)
            try:
                await self._start()
            except PdpUnavailable as error:
                _log.error("opa did not start", error=str(error))
                continue
            _log.warning("opa runs again")
            self._on_event("opa runs again")

    async def _drain(self) -> None:
        """Pass its log on until it ends."""
        stderr = self._process.stderr if self._process is not None else None
        while stderr is not None:
            try:
                line = await stderr.readline()
            except ValueError:  # a line beyond the limit
                continue
            if not line:
                return
            text = line.decode("utf-8", "replace").strip()
            # OPA also writes warnings about its own start, such as that it runs as root, whatever its level.
            log = _log.debug if '"level":"warning"' in text else _log.warning
            log("opa", line=text)

    async def _last_words(self) -> str:
        if self._process is None or self._process.stderr is None:
            return ""
        return (await self._process.stderr.read(_LOG_LINE_BYTES)).decode("utf-8", "replace").strip()

    async def _stop(self) -> None:
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        self._socket_path.unlink(missing_ok=True)
