"""Keep a zygote, and start spokes by it.

A zygote's forks share the layout of its address space, and what seeds its hashes: what one app learns about its own
holds for the others. So a zygote is renewed after a number of forks, and an app that wants a layout of its own is
started cold.

Invariants:
    * There is only one level here, `strict`: a fork is sealed by entering namespaces.
    * A start by `launch` is warm or fails; whoever falls back to a cold one does so knowingly.
    * When the context ends, no zygote and none of its spokes is left.
    * A zygote that is renewed or lost is told to `on_event`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Final, Self

from spoke_runner.sandbox.errors import SandboxError, ZygoteUnavailable
from spoke_runner.sandbox.launcher import Beginning, Way, launch_by
from spoke_runner.sandbox.places import STRICT
from spoke_runner.sandbox.process import Remains, SpokeProcess
from spoke_runner.sandbox.runtime import PythonRuntime, discover_python
from spoke_runner.sandbox.spec import Limits, SandboxSpec
from spoke_runner.sandbox.zygote.connection import Connection, connect
from spoke_runner.sandbox.zygote.holder import WarmRemains, begin_warm

RENEW_AFTER_FORKS: Final = 200


class Zygote:
    """Starts spokes warm. Use as `async with`.

    Entering does not wait for the zygote to be ready; the first start does.

    Args:
        renew_after_forks: After how many forks the next zygote takes over.
        on_event: Told when a zygote is renewed or lost, in a sentence.
        python: What the spokes run.
        limits: Of which those count that a program reads when it is executed; a spec must have the same ones.
    """

    def __init__(
        self,
        *,
        renew_after_forks: int = RENEW_AFTER_FORKS,
        on_event: Callable[[str], None] = lambda what: None,
        python: PythonRuntime | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._renew_after_forks = renew_after_forks
        self._on_event = on_event
        self._python = python or discover_python()
        self._limits = limits or Limits()
        self._current: asyncio.Task[Connection] | None = None
        self._next: asyncio.Task[Connection] | None = None
        self._closing = False
        self._connections: set[Connection] = set()
        self._spokes: set[WarmRemains] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._current = asyncio.create_task(self._connect())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        starting = [task for task in (self._current, self._next) if task is not None]
        for task in starting:
            task.cancel()
        await asyncio.gather(*starting, return_exceptions=True)
        await asyncio.gather(*(spoke.kill() for spoke in self._spokes), return_exceptions=True)
        await asyncio.gather(*(connection.close() for connection in list(self._connections)))
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def pids(self) -> tuple[int, ...]:
        """The zygotes that run: the current one, and older ones whose spokes still live."""
        return tuple(connection.pid for connection in self._connections if not connection.lost.done())

    async def launch(self, spec: SandboxSpec, *, entry: str, timeout_seconds: float = 20.0) -> SpokeProcess:
        """Start a spoke at level `strict`, forked from the zygote, and return it once it serves.

        Args:
            spec: What it is given.
            entry: `module:attribute` of its `App`, in its app_dir.
            timeout_seconds: How long it may take until it serves, once there is a zygote.

        Raises:
            ZygoteUnavailable: There is no zygote, it cannot fork, or the spec asks for what a fork cannot have.
            SandboxUnavailable: This host cannot build the sandbox; says which layer, why, and the mend.
            CanaryFailed: A wall does not hold.
            SpokeStartFailed: The app did not come up.
        """
        if spec.level != STRICT:
            raise ZygoteUnavailable(f"{spec.app} is started at level {spec.level}, which has no namespaces to enter")
        if spec.programs:
            raise ZygoteUnavailable(f"{spec.app} executes programs, whose first process must be one that reaps them")
        if spec.python != self._python:
            raise ZygoteUnavailable(f"{spec.app} runs another Python than the zygote")
        if (spec.limits.stack_bytes, spec.limits.core_bytes) != (self._limits.stack_bytes, self._limits.core_bytes):
            raise ZygoteUnavailable(f"{spec.app} has other limits of stack or core dumps than the zygote")
        return await launch_by(self.way, spec, entry=entry, timeout_seconds=timeout_seconds)

    @property
    def way(self) -> Way:
        """The warm way of starting, for `launcher.start`."""
        return Way(self._begin, warm=True)

    async def _begin(self, beginning: Beginning) -> Remains:
        connection = await self._connection()
        remains = await begin_warm(beginning, connection)
        self._spokes.add(remains)
        remains.gone.add_done_callback(lambda _: self._forget(remains, connection))
        return remains

    async def _connection(self) -> Connection:
        if self._closing:
            raise ZygoteUnavailable("the zygote is closed")
        task = self._current
        if task is None or (task.done() and (task.cancelled() or task.exception() or task.result().lost.done())):
            task = self._current = asyncio.create_task(self._connect())
        try:
            # Shielded, because others wait for the same zygote.
            connection = await asyncio.shield(task)
        except ZygoteUnavailable:
            raise
        except SandboxError as error:
            raise ZygoteUnavailable(str(error)) from error
        if connection.forks + 1 >= self._renew_after_forks and self._next is None:
            self._next = asyncio.create_task(self._connect())
            self._watch(self._renew(connection, self._next))
        return connection

    async def _connect(self) -> Connection:
        connection = await connect(self._python, self._limits)
        self._connections.add(connection)
        connection.lost.add_done_callback(lambda _: self._lost(connection))
        return connection

    async def _renew(self, old: Connection, task: asyncio.Task[Connection]) -> None:
        try:
            await asyncio.wait((task,))
            if task.cancelled():
                return
            if error := task.exception():
                self._on_event(f"the zygote was not renewed after {old.forks} forks: {error}")
                return
            self._current = task
            self._on_event(f"renewed after {old.forks} forks")
        finally:
            self._next = None
        self._retire(old)

    def _retire(self, connection: Connection) -> None:
        """End a zygote that is not the current one, once none of its spokes is left to reap."""
        current = self._current
        is_current = current is not None and current.done() and not current.cancelled() and not current.exception()
        if is_current and current is not None and current.result() is connection:
            return
        if not any(spoke.connection is connection for spoke in self._spokes) and not connection.lost.done():
            self._watch(connection.close())

    def _forget(self, remains: WarmRemains, connection: Connection) -> None:
        self._spokes.discard(remains)
        if not self._closing:
            self._retire(connection)

    def _lost(self, connection: Connection) -> None:
        self._watch(self._bury(connection))

    async def _bury(self, connection: Connection) -> None:
        await connection.close()
        self._connections.discard(connection)
        current = self._current
        if self._closing or current is None or not current.done() or current.cancelled() or current.exception():
            return
        if current.result() is connection:
            self._on_event(f"the zygote ended unasked, and its spokes with it; it said: {connection.said}")
            self._current = asyncio.create_task(self._connect())

    def _watch(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
