"""Start a spoke: build the command, look at what came up from both sides, and only then let it run the app.

The order, of which `docs/sandbox.md` is the long form::

    directories ─ command ─ bubblewrap ─ first stage seals itself ─ canaries ─┐
    ready ◄─ socket checked ◄─ app imported ◄─ go ◄─ judged ◄─ /proc looked at ◄┘

Tried and rejected:
    * `preexec_fn`, for the limits and the uid: it runs Python between fork and exec in a hub with many threads.
    * a socket instead of two pipes: a spoke that kept it would have a second channel to the hub.

Invariants:
    * The go is sent only for a report without breaches.
    * Whatever leaves `launch` other than by return, cancellation too, leaves no process behind.
    * There is no weaker level to fall back to.
    * The hub's environment is not inherited by any process of the chain.
"""

from __future__ import annotations

import asyncio
import json
import os
import stat
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from spoke_runner.sandbox import command, setup
from spoke_runner.sandbox.diagnosis import explain, find_tools
from spoke_runner.sandbox.errors import CanaryFailed, SandboxUnavailable, SpokeStartFailed
from spoke_runner.sandbox.inside.canaries import NAMES
from spoke_runner.sandbox.logs import LogPipe, LogTail
from spoke_runner.sandbox.outside import look
from spoke_runner.sandbox.ownership import give
from spoke_runner.sandbox.places import READY
from spoke_runner.sandbox.process import Remains, SpokeProcess
from spoke_runner.sandbox.report import Canary, SandboxReport, judge
from spoke_runner.sandbox.spec import SandboxSpec

_MAX_REPORT_BYTES: Final = 64 * 1024
_MAX_INFO_BYTES: Final = 4096

Recipe = Callable[[int, int], tuple[tuple[str, ...], dict[str, Any]]]
"""From the numbers of the info and the report descriptor to the command line and the set-up of the first stage."""


async def launch(spec: SandboxSpec, *, entry: str, timeout_seconds: float = 20.0) -> SpokeProcess:
    """Start a spoke at level `strict` and return it once it serves.

    It dies with the thread that runs the event loop.

    Args:
        spec: What it is given.
        entry: `module:attribute` of its `App`, in its app_dir.
        timeout_seconds: How long it may take until it serves.

    Raises:
        SandboxUnavailable: This host cannot build the sandbox; says which layer, why, and the mend.
        CanaryFailed: A wall does not hold.
        SpokeStartFailed: The app did not come up.
    """
    spec, uid = _settled(spec)
    tools = find_tools()
    seccomp_filter = setup.filter_name()
    covers: tuple[Path, ...] = ()
    if spec.uid is not None:
        for directory in (spec.data_dir, spec.socket_dir):
            await asyncio.to_thread(give, directory, spec.uid)
        covers = command.closed_directories(command.sources(spec), spec.uid)

    def recipe(info_fd: int, report_fd: int) -> tuple[tuple[str, ...], dict[str, Any]]:
        line = command.argv(spec, tools=tools, info_fd=info_fd, covers=covers)
        return line, setup.setup(spec, entry=entry, report_fd=report_fd, seccomp_filter=seccomp_filter)

    return await start(spec, recipe, uid=uid, gid=spec.uid or os.getegid(), timeout_seconds=timeout_seconds)


def _settled(spec: SandboxSpec) -> tuple[SandboxSpec, int]:
    uid = os.geteuid()
    if uid == 0 and spec.uid is None:
        raise SandboxUnavailable(
            "uid", "the hub is root and the spoke was given no uid of its own", "set one, as `spoke_uid` chooses it"
        )
    if uid != 0 and spec.uid not in (None, uid):
        raise SandboxUnavailable("uid", f"only root can start a spoke as uid {spec.uid}", "start the hub as root")
    paths = {name: getattr(spec, name).resolve() for name in ("app_dir", "data_dir", "socket_dir")}
    for path in paths.values():
        if not path.is_dir():
            raise SpokeStartFailed(f"{spec.app}: there is no directory {path}")
    return replace(spec, **paths, uid=spec.uid if uid == 0 else None), spec.uid if uid == 0 and spec.uid else uid


async def start(spec: SandboxSpec, recipe: Recipe, *, uid: int, gid: int, timeout_seconds: float) -> SpokeProcess:
    """Run a command that ends in the first stage, judge what came up, and return it once it serves.

    Raises:
        SandboxUnavailable: The command ended before the first stage reported.
        CanaryFailed: A wall does not hold.
        SpokeStartFailed: The app did not come up.
    """
    began = time.monotonic()
    pipes = _Pipes()
    try:
        line, document = recipe(pipes.info_write, pipes.report_write)
        process = await asyncio.create_subprocess_exec(
            *line,
            stdin=pipes.setup_read,
            stdout=pipes.output_write,
            stderr=pipes.output_write,
            pass_fds=(pipes.info_write, pipes.report_write),
            env={},
            cwd="/",
            # Its own session, so that a Ctrl-C at the hub's terminal leaves the order of the ending to the hub.
            start_new_session=True,
        )
    except BaseException:
        pipes.close()
        raise
    pipes.close_far_ends()
    tail = LogTail(spec.limits.log_bytes_per_second)
    log_pipe = LogPipe(tail, spec.limits.log_bytes_per_second)
    remains = Remains(process, tail, log_pipe, spec.socket_path)
    try:
        async with asyncio.timeout(timeout_seconds):
            await pipes.connect(log_pipe)
            os.write(pipes.setup_write, setup.encode(document))
            pid, report = await _judged(pipes, remains, uid, gid)
            os.write(pipes.setup_write, b"g")
            if await _line(pipes.report) != READY:
                code = await remains.wait()
                raise SpokeStartFailed(f"{spec.app} ended with code {code} before it was ready", tail.lines())
        _check_socket(spec, uid)
    except BaseException as error:
        await asyncio.shield(remains.kill())
        if isinstance(error, TimeoutError):
            raise SpokeStartFailed(f"{spec.app} was not ready in {timeout_seconds} s", tail.lines()) from error
        raise
    finally:
        pipes.close()
    return SpokeProcess(remains, pid=pid, report=report, start_milliseconds=round((time.monotonic() - began) * 1000, 1))


async def _judged(pipes: _Pipes, remains: Remains, uid: int, gid: int) -> tuple[int, SandboxReport]:
    line = await _line(pipes.report)
    if not line:
        await remains.wait()
        raise explain(remains.tail.lines())
    document = json.loads(line)
    if missing := document.get("missing"):
        raise SandboxUnavailable(missing["layer"], missing["why"], missing["mend"])
    try:
        pid = await _inner_pid(pipes.info)
        remains.pidfd = os.pidfd_open(pid)
        outside = look(pid)
    except (OSError, KeyError, ValueError) as error:
        raise SandboxUnavailable(
            "inspection",
            f"the sealed process cannot be seen from outside: {error!r}",
            "give the hub a /proc of its own",
        ) from error
    canaries = tuple(
        Canary(name=item["name"], expected=tuple(item["expected"]), answer=item["answer"])
        for item in document["canaries"]
    )
    report = judge(
        landlock_abi=document["landlock_abi"], canaries=canaries, required=NAMES, outside=outside, uid=uid, gid=gid
    )
    if report.breaches:
        raise CanaryFailed(report)
    return pid, report


async def _inner_pid(info: asyncio.StreamReader) -> int:
    # Not to the end of the stream: the processes around the spoke hold the other end for as long as they live.
    document: dict[str, int] = json.loads(await info.readuntil(b"}"))
    return document["child-pid"]


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readline()
    except ValueError:
        return b""  # longer than any report: an app that writes to the pipe does not get to be ready


def _check_socket(spec: SandboxSpec, uid: int) -> None:
    status = spec.socket_path.lstat()
    if not stat.S_ISSOCK(status.st_mode) or status.st_uid != uid:
        raise SpokeStartFailed(f"{spec.app} says that it serves, and {spec.socket_path} is not its socket")


class _Pipes:
    """The four pipes of a start, and which ends are still open."""

    def __init__(self) -> None:
        self._open: set[int] = set()
        self._transports: list[asyncio.BaseTransport] = []
        self.setup_read, self.setup_write = self._pipe()
        self.output_read, self.output_write = self._pipe()
        self.report_read, self.report_write = self._pipe()
        self.info_read, self.info_write = self._pipe()
        self.report = asyncio.StreamReader(limit=_MAX_REPORT_BYTES)
        self.info = asyncio.StreamReader(limit=_MAX_INFO_BYTES)

    def _pipe(self) -> tuple[int, int]:
        ends = os.pipe()
        self._open.update(ends)
        return ends

    def close_far_ends(self) -> None:
        for end in (self.setup_read, self.output_write, self.report_write, self.info_write):
            os.close(end)
            self._open.discard(end)

    async def connect(self, log_pipe: LogPipe) -> None:
        # The output outlives the start: its transport closes itself when the last process of the spoke is gone.
        await self._connect(self.output_read, log_pipe)
        for end, reader in ((self.report_read, self.report), (self.info_read, self.info)):
            protocol = asyncio.StreamReaderProtocol(reader)
            self._transports.append(await self._connect(end, protocol))

    async def _connect(self, end: int, protocol: asyncio.Protocol) -> asyncio.BaseTransport:
        self._open.discard(end)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: protocol, os.fdopen(end, "rb", buffering=0))
        return transport

    def close(self) -> None:
        for transport in self._transports:
            transport.close()
        self._transports.clear()
        for end in self._open:
            os.close(end)
        self._open.clear()
