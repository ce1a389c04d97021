"""The supervisor: starts spokes when they are first needed, and ends them.

One spoke per (app, user, session). It is started on first use, ended when it was idle for long, when its session ends,
when it stops answering, and with the hub. What happens to one spoke is seen by the calls that run in it and by nobody
else.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from spokegate.v1 import spoke_pb2_grpc

from hub.errors import QuotaExceeded, SpokeUnavailable
from hub.spokes.data import DataDirectories
from hub.spokes.egress.exchange import EgressLimits
from hub.spokes.egress.proxy import Connects, EgressProxy
from hub.spokes.registry import RegisteredApp
from hub.spokes.starting import Process, SpokeEvent, SpokeKey, Starter
from hub.spokes.wire import CALL_FRAMES, Wire
from spoke_runner.sandbox import (
    CanaryFailed,
    Delegation,
    Footing,
    Limits,
    SandboxSpec,
    SandboxUnavailable,
    SpokeStartFailed,
    find_host_programs,
    spoke_uid,
)

_log = structlog.get_logger(__name__)

_MEBIBYTE = 1 << 20
_HEALTH_SECONDS = 1.0
_REAP_SECONDS = 1.0
_LOG_LINES = 20

CHANNEL_OPTIONS = (
    # Twice the longest JSON text that is taken; gRPC and its Python hold several copies of a message at once.
    ("grpc.max_receive_message_length", 2 * _MEBIBYTE),
    ("grpc.max_send_message_length", 4 * _MEBIBYTE),
    ("grpc.max_metadata_size", 8 << 10),
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
    # No window that grows with what the spoke sends, and no PING of ours for each message.
    ("grpc.http2.bdp_probe", 0),
    # What a call that is cut short leaves on its way is little; a message that is larger gets its room when it is read.
    ("grpc.http2.lookahead_bytes", 16 << 10),
    # Each spoke its own connection, ended with it.
    ("grpc.use_local_subchannel_pool", 1),
)


class Spoke:
    """One running spoke, as its callers see it."""

    def __init__(
        self,
        key: SpokeKey,
        process: Process,
        wire: Wire,
        channel: grpc.aio.Channel,
        retire: Callable[[Spoke, str], None],
        proxy: EgressProxy | None = None,
        *,
        instructions: str = "",
    ) -> None:
        self.key = key
        self.instructions = instructions
        self.process = process
        self.wire = wire
        self.channel = channel
        self.proxy = proxy
        # One annotation for the sync and the async flavour of the stub would need the generated union.
        self.stub: spoke_pb2_grpc.SpokeServiceAsyncStub = spoke_pb2_grpc.SpokeServiceStub(channel)
        self.last_used = time.monotonic()
        self._calls = 0
        self._retire = retire
        self.suspected = asyncio.Event()
        wire.on_flood = lambda: retire(self, "flooded its connection")

    @property
    def name(self) -> str:
        """The app's name."""
        return self.key.app

    @property
    def idle_seconds(self) -> float:
        """For how long no call has run in it."""
        return 0.0 if self._calls else time.monotonic() - self.last_used

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep the spoke from being reaped."""
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1
            self.last_used = time.monotonic()

    def suspect(self) -> None:
        """Say that a call in it did not end in time: it is asked for a sign of life, and ended if it gives none."""
        self.suspected.set()

    def lost(self) -> None:
        """Say that its connection broke: it takes no more calls, and the next one starts another."""
        self._retire(self, "went away")


class Supervisor:
    """Keeps the spokes. Use as `async with`.

    Args:
        data_root: Where the apps' data directories are (see `hub.spokes.data`).
        run_root: Where the spokes' socket directories are; short, because a socket's path is.
        idle_seconds: After how long without a call a spoke is ended.
        max_spokes: How many may run at once.
        on_event: Told of every start, end and failure.
        starter: Starts them.
        footing: The level that every spoke is started at, and at no other.
        egress_limits: What is bounded of what spokes connect to.
        cgroup: Where every spoke gets a cgroup of its own, if it was delegated to the hub.
    """

    def __init__(
        self,
        *,
        data_root: Path,
        run_root: Path,
        idle_seconds: float,
        max_spokes: int,
        on_event: Callable[[SpokeEvent], None],
        starter: Starter,
        footing: Footing = Footing("strict"),  # noqa: B008 - frozen
        egress_limits: EgressLimits = EgressLimits(),  # noqa: B008 - frozen
        cgroup: Delegation = Delegation(),  # noqa: B008 - frozen
    ) -> None:
        self.data = DataDirectories(data_root)
        self._run_root = run_root
        self._idle_seconds = idle_seconds
        self._max_spokes = max_spokes
        self._on_event = on_event
        self.starter = starter
        self._footing = footing
        self._egress_limits = egress_limits
        self._cgroup = cgroup
        self._spokes: dict[SpokeKey, asyncio.Task[Spoke]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._destroying: set[asyncio.Task[None]] = set()
        self._open_sessions: set[str] = set()
        self._counter = 0

    async def __aenter__(self) -> Self:
        # A hub that was killed leaves its spokes' directories; they died with it.
        if self._run_root.exists():
            shutil.rmtree(self._run_root)
        self._run_root.mkdir(mode=0o700, parents=True)
        self.data.open()
        await self.starter.__aenter__()
        self._watch(self._reap_idle())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            await asyncio.gather(*(self._end(key, "hub stopped") for key in list(self._spokes)))
            await asyncio.gather(*self._destroying)
        finally:
            await self.starter.__aexit__(None, None, None)

    @property
    def running(self) -> list[SpokeKey]:
        """The spokes that run or are starting."""
        return list(self._spokes)

    async def acquire(self, app: RegisteredApp, *, user: str, session: str, connects: Connects) -> Spoke:
        """Return the spoke of an app for a user's session, starting it when it does not run.

        Args:
            app: The app.
            user: The user.
            session: The session.
            connects: Mediates what the spoke, while it lives, connects to through its egress proxy.

        Raises:
            QuotaExceeded: Too many spokes run.
            SpokeUnavailable: It could not be started.
        """
        key = SpokeKey(app=app.name, user=user, session=session)
        starting = self._spokes.get(key)
        if starting is None:
            if session not in self._open_sessions:
                raise SpokeUnavailable(f"{app.name}: its session is closed")
            if len(self._spokes) >= self._max_spokes:
                raise QuotaExceeded(f"{len(self._spokes)} spokes are running, {self._max_spokes} may")
            starting = self._spokes[key] = asyncio.create_task(self._start(app, key, connects))
        try:
            # Shielded: a caller that goes away must not end a start that others wait for.
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            if starting.cancelled() and not being_cancelled():
                raise SpokeUnavailable(f"{app.name}: was ended while it started") from None
            raise

    def open_session(self, session: str) -> None:
        """Let spokes be started for a session."""
        self._open_sessions.add(session)

    async def close_session(self, session: str) -> None:
        """End every spoke of a session, with the data that is its alone, and start none for it again."""
        self._open_sessions.discard(session)
        keys = [key for key in self._spokes if key.session == session]
        await asyncio.gather(*(self._end(key, "session closed") for key in keys))
        await asyncio.gather(*self._destroying, return_exceptions=True)
        await asyncio.to_thread(self.data.close_session, session)

    async def _start(self, app: RegisteredApp, key: SpokeKey, connects: Connects) -> Spoke:
        self._counter += 1
        socket_directory = self._run_root / f"{self._counter:x}"
        wire = Wire(self._run_root / f"{self._counter:x}.hub")
        try:
            socket_directory.mkdir(mode=0o700)
            data_directory = self.data.of(app, key.user, key.session)
            limits = app.manifest.limits
            spec = SandboxSpec(
                app=key.app,
                app_dir=app.path,
                data_dir=data_directory,
                socket_dir=socket_directory,
                level=self._footing.level,
                proc=self._footing.proc,
                uid=spoke_uid(self.data.root, data_directory),
                egress=bool(app.egress),
                cgroup=self._cgroup,
                limits=Limits(
                    memory_bytes=limits.memory_mb * _MEBIBYTE,
                    file_bytes=limits.file_mb * _MEBIBYTE,
                    data_bytes=limits.disk_mb * _MEBIBYTE,
                    open_files=limits.open_files,
                    processes=limits.threads,
                ),
                programs=find_host_programs(app.manifest.programs),
            )
            wire.lay(to=spec.socket_path)
            process, way = await self.starter.start(app, key, spec)
        except (SandboxUnavailable, SpokeStartFailed, CanaryFailed, OSError) as error:
            self._forget_start(key)
            wire.cut()
            shutil.rmtree(socket_directory, ignore_errors=True)
            _log.error("spoke not started", app=key.app, user=key.user, error=str(error))
            self._on_event(SpokeEvent(key, "start failed", {"error": f"{type(error).__name__}: {error}"}))
            raise SpokeUnavailable(f"{key.app}: {error}") from error
        except BaseException:
            self._forget_start(key)
            wire.cut()
            shutil.rmtree(socket_directory, ignore_errors=True)
            raise
        channel = grpc.aio.insecure_channel(f"unix:{wire.path}", options=CHANNEL_OPTIONS)
        proxy = EgressProxy(process.listener, connects, self._egress_limits) if process.listener is not None else None
        instructions = app.manifest.instructions
        spoke = Spoke(key, process, wire, channel, self._retire, proxy, instructions=instructions)
        self._on_event(
            SpokeEvent(
                key,
                "started",
                {
                    "pid": process.pid,
                    "milliseconds": round(process.start_milliseconds, 1),
                    "isolation": way,
                    "sandbox": process.report.level,
                    "egress": list(app.egress) if proxy is not None else [],
                    "cgroup": process.report.cgroup.in_force,
                },
            )
        )
        self._watch(self._guard(spoke))
        return spoke

    def _forget_start(self, key: SpokeKey) -> None:
        # It may have been ended while it started, and another may be starting in its place.
        if self._spokes.get(key) is asyncio.current_task():
            del self._spokes[key]

    async def _guard(self, spoke: Spoke) -> None:
        """Wait until the spoke's process ends or it stops answering; then forget it."""
        ended = asyncio.create_task(spoke.process.wait())
        try:
            while True:
                suspected = asyncio.create_task(spoke.suspected.wait())
                try:
                    await asyncio.wait((ended, suspected), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    suspected.cancel()
                if ended.done():
                    return self._retire(spoke, spoke.process.ended_because or "process ended")
                spoke.suspected.clear()
                spoke.wire.explain(0, frames=CALL_FRAMES)
                if not await _answers(spoke.channel):
                    return self._retire(spoke, "stopped answering")
        finally:
            ended.cancel()

    def _retire(self, spoke: Spoke, why: str) -> None:
        """Take a spoke out of use at once, and end it beside; one that was started in its place since stays."""
        starting = self._spokes.get(spoke.key)
        if starting is None or not starting.done() or starting.cancelled() or starting.exception() is not None:
            return
        if starting.result() is spoke:
            del self._spokes[spoke.key]
            task = asyncio.create_task(self._destroy(spoke, why))
            self._destroying.add(task)
            task.add_done_callback(self._destroying.discard)

    async def _end(self, key: SpokeKey, why: str) -> None:
        starting = self._spokes.pop(key, None)
        if starting is None:
            return
        starting.cancel()
        try:
            spoke = await starting
        except (asyncio.CancelledError, SpokeUnavailable):
            return
        await self._destroy(spoke, why)

    async def _destroy(self, spoke: Spoke, why: str) -> None:
        if spoke.proxy is not None:
            await spoke.proxy.close()
        await spoke.process.kill()
        # An end that is not read from does not notice the other's death.
        spoke.wire.cut()
        await spoke.channel.close()
        await spoke.wire.close()
        shutil.rmtree(spoke.process.socket_path.parent, ignore_errors=True)
        self._on_event(SpokeEvent(spoke.key, why, {"log": list(spoke.process.logs)[-_LOG_LINES:]}))

    async def _reap_idle(self) -> None:
        while True:
            await asyncio.sleep(min(_REAP_SECONDS, self._idle_seconds))
            for key, starting in list(self._spokes.items()):
                started = starting.done() and not starting.cancelled() and starting.exception() is None
                if started and starting.result().idle_seconds > self._idle_seconds:
                    await self._end(key, "idle")

    def _watch(self, coroutine: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def being_cancelled() -> bool:
    """Return whether the running task was itself cancelled, and not only what it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _answers(channel: grpc.aio.Channel) -> bool:
    stub: Any = health_pb2_grpc.HealthStub(channel)  # the package's types do not know the method
    try:
        reply = await stub.Check(health_pb2.HealthCheckRequest(), timeout=_HEALTH_SECONDS)
    except grpc.aio.AioRpcError:
        return False
    return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)
