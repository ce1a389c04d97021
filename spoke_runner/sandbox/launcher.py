"""Start a spoke: build the command, look at what came up from both sides, and only then let it run the app.

There are two ways: `launch` starts a new interpreter; the zygote's (see `zygote`) differs in how the first stage comes
to life and how its end is noticed, and in nothing that is said here.

The order, of which `docs/sandbox.md` is the long form::

    directories ─ command ─ bubblewrap ─ first stage seals itself ─ canaries ─┐
    ready ◄─ socket checked ◄─ app imported ◄─ go ◄─ judged ◄─ /proc looked at ◄┘

Tried and rejected:
    * `preexec_fn`, for the limits and the uid: it runs Python between fork and exec in a hub with many threads.
    * bubblewrap's `--info-fd`, for the pid inside: it is a number of the pid namespace that bubblewrap itself runs in.

Invariants:
    * The go is sent only for a report without breaches.
    * Whatever leaves `launch` other than by return, cancellation too, leaves no process behind.
    * A spoke has the level of its spec or is not started: nothing here falls back to a weaker one.
    * The hub's environment is not inherited by any process of the chain.
"""

from __future__ import annotations

import asyncio
import json
import os
import stat
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NoReturn

from spoke_runner.sandbox import cgroup, command, listener, readiness, setup
from spoke_runner.sandbox.channels import Channels
from spoke_runner.sandbox.diagnosis import explain, find_tools
from spoke_runner.sandbox.disk import used_bytes
from spoke_runner.sandbox.errors import CanaryFailed, SandboxUnavailable, SpokeStartFailed
from spoke_runner.sandbox.inside.canaries import names
from spoke_runner.sandbox.inside.seal import REPORT_FD
from spoke_runner.sandbox.logs import LogPipe, LogTail
from spoke_runner.sandbox.memory import can_count
from spoke_runner.sandbox.outside import threads_of
from spoke_runner.sandbox.own_program import Command, OwnProgram, find_own_program
from spoke_runner.sandbox.ownership import give
from spoke_runner.sandbox.places import LISTENER, NO_USERNS, READY, STRICT
from spoke_runner.sandbox.process import REAP_SECONDS, Remains, SpokeProcess, execute
from spoke_runner.sandbox.report import Canary, SandboxReport, judge
from spoke_runner.sandbox.spec import SandboxSpec

Recipe = Callable[[int], tuple[tuple[str, ...], dict[str, Any]]]
"""From the number of the report descriptor to the command line and the set-up of the first stage."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a way of starting begins with.

    Attributes:
        line: The command.
        channels: Both ends of everything, which the spoke is to get.
        tail: Where its output is kept.
        log_pipe: What drains its output.
        spec: What it is given.
    """

    line: tuple[str, ...]
    channels: Channels
    tail: LogTail
    log_pipe: LogPipe
    spec: SandboxSpec


@dataclass(frozen=True, slots=True)
class Way:
    """A way of starting.

    Attributes:
        begin: Runs the command.
        warm: Whether the command only holds the namespaces, and the first stage is forked into them.
    """

    begin: Callable[[Beginning], Awaitable[Remains]]
    warm: bool


async def launch(spec: SandboxSpec, *, entry: str | Command, timeout_seconds: float = 20.0) -> SpokeProcess:
    """Start a spoke at the level of its spec, in a new interpreter, and return it once it serves.

    It dies with the thread that runs the event loop.

    Args:
        spec: What it is given.
        entry: `module:attribute` of its `App`, in its app_dir; or a program there with its arguments.
        timeout_seconds: How long it may take until it serves.

    Raises:
        SandboxUnavailable: This host cannot build the sandbox; says which layer, why, and the mend.
        CanaryFailed: A wall does not hold.
        SpokeStartFailed: The app did not come up.
    """
    return await launch_by(COLD, spec, entry=entry, timeout_seconds=timeout_seconds)


async def launch_by(way: Way, spec: SandboxSpec, *, entry: str | Command, timeout_seconds: float) -> SpokeProcess:
    """Start a spoke in one of the two ways (see `launch`)."""
    spec, uid = _settled(spec)
    await asyncio.to_thread(_check_room, spec)
    start_with = entry if isinstance(entry, str) else await asyncio.to_thread(find_own_program, spec, entry)
    spec = replace(spec, command=isinstance(start_with, OwnProgram))
    bpf = setup.filter_name(spec.profile)
    covers: tuple[Path, ...] = ()
    if spec.uid is not None:
        for directory in (spec.data_dir, spec.socket_dir):
            await asyncio.to_thread(give, directory, spec.uid)
        if closed := command.unreadable(command.sources(spec), spec.uid):
            raise SandboxUnavailable(
                "runtime", f"{closed[0]} cannot be read by the spoke's uid {spec.uid}", f"chmod -R o+rX {closed[0]}"
            )
        covers = command.closed_directories(command.sources(spec), spec.uid)
    tools = find_tools(needs_bwrap=spec.level == STRICT or bool(covers))
    others = threads_of(uid) if spec.level != STRICT else 0

    def recipe(report_fd: int) -> tuple[tuple[str, ...], dict[str, Any]]:
        line = command.argv(spec, tools=tools, covers=covers, warm=way.warm)
        return line, setup.setup(spec, entry=start_with, report_fd=report_fd, seccomp_filter=bpf, other_threads=others)

    gid = spec.uid or os.getegid()
    spoke = await start(spec, recipe, uid=uid, gid=gid, timeout_seconds=timeout_seconds, way=way)
    together = spec.limits.memory_bytes if spec.programs else None
    spoke.bound(spec.data_dir, spec.limits.data_bytes, memory_bytes=together)
    return spoke


def _check_room(spec: SandboxSpec) -> None:
    used, limit = used_bytes(spec.data_dir), spec.limits.data_bytes
    if used > limit:
        raise SpokeStartFailed(
            f"{spec.app}: {spec.data_dir} holds {used >> 20} MiB, and {limit >> 20} are its limit: remove files from it"
        )


def _settled(spec: SandboxSpec) -> tuple[SandboxSpec, int]:
    uid = os.geteuid()
    if spec.programs and spec.level == NO_USERNS:
        raise SandboxUnavailable(
            "programs",
            f"{spec.app} executes programs, and at {NO_USERNS} nothing bounds what they leave running",
            "use a host that can build strict, or remove `programs` from the manifest",
        )
    if spec.programs and not can_count():
        raise SandboxUnavailable(
            "programs",
            f"the kernel does not say which processes {spec.app} starts, so their memory cannot be bounded",
            "boot a kernel with CONFIG_PROC_CHILDREN, or remove `programs` from the manifest",
        )
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


async def _begin_cold(beginning: Beginning) -> Remains:
    """Run a command that ends in the first stage."""
    channels = beginning.channels
    process = await execute(
        beginning.line,
        stdin=channels.setup_read,
        stdout=channels.output_write,
        stderr=channels.output_write,
        pass_fds=(channels.report_fd,),
    )
    return Remains(process, beginning.tail, beginning.log_pipe, beginning.spec.socket_path)


COLD: Final = Way(_begin_cold, warm=False)


async def start(
    spec: SandboxSpec, recipe: Recipe, *, uid: int, gid: int, timeout_seconds: float, way: Way = COLD
) -> SpokeProcess:
    """Bring a first stage to life, judge what came up, and return it once it serves.

    Raises:
        SandboxUnavailable: The command ended before the first stage reported.
        CanaryFailed: A wall does not hold.
        SpokeStartFailed: The app did not come up.
        ZygoteUnavailable: A warm start was asked for and cannot be had.
    """
    began = time.monotonic()
    group = await asyncio.to_thread(cgroup.make, spec.cgroup, spec.limits)
    channels = Channels()
    tail = LogTail(spec.limits.log_bytes_per_second)
    log_pipe = LogPipe(tail, spec.limits.log_bytes_per_second)
    try:
        # Shielded, because without a reader at the output nobody would see the end of the last process.
        await asyncio.shield(channels.read_output(log_pipe))
        # A fork finds its descriptors in their places, a new interpreter under the numbers that they have here.
        line, document = recipe(REPORT_FD if way.warm else channels.report_fd)
        line = group.entered(line) if group else line
        remains = await way.begin(Beginning(line, channels, tail, log_pipe, spec))
        remains.group = group
    except BaseException:
        channels.close()
        if group:
            await asyncio.shield(asyncio.to_thread(group.remove))
        with suppress(TimeoutError):
            await asyncio.shield(log_pipe.ended(REAP_SECONDS))
        raise
    try:
        async with asyncio.timeout(timeout_seconds):
            await remains.enter(channels)
            channels.send(setup.encode(document))
            executes = document["command"] is not None
            pid, report = await _judged(spec, channels, remains, uid, gid)
            channels.send(b"g")
            _, ready = await channels.receive()
            if executes and not ready:
                await _served(spec, remains, uid)
            elif executes or ready != READY:
                await _not_ready(spec, remains, ready)
        if not _is_its_own(spec, uid):
            raise SpokeStartFailed(f"{spec.app} says that it serves, and {spec.socket_path} is not its socket")
    except BaseException as error:
        # The far ends too, when they were not handed over: the output ends only when nobody holds it.
        channels.close()
        await asyncio.shield(remains.kill())
        if isinstance(error, TimeoutError):
            raise SpokeStartFailed(f"{spec.app} was not ready in {timeout_seconds} s", tail.lines()) from error
        raise
    finally:
        channels.close()
    return SpokeProcess(remains, pid=pid, report=report, start_milliseconds=round((time.monotonic() - began) * 1000, 1))


async def _judged(
    spec: SandboxSpec, channels: Channels, remains: Remains, uid: int, gid: int
) -> tuple[int, SandboxReport]:
    pid, message = await _first_report(spec, channels, remains)
    if not message:
        await remains.wait()
        raise explain(remains.tail.lines())
    document = json.loads(message)
    if missing := document.get("missing"):
        raise SandboxUnavailable(missing["layer"], missing["why"], missing["mend"])
    try:
        outside = remains.look(pid)
        wrong = listener.fault(remains.listener, pid=pid, pidfd=remains.held()) if spec.listens else ""
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
        level=spec.level,
        landlock_abi=document["landlock_abi"],
        canaries=canaries,
        required=names(spec.level, proc=spec.proc, profile=spec.profile),
        outside=outside,
        uid=uid,
        gid=gid,
        own_uid=spec.uid is not None,
        listener_fault=wrong,
    )
    if group := remains.group:
        report = replace(report, cgroup=group.layer, breaches=report.breaches + group.breaches(pid))
    else:
        report = replace(report, cgroup=cgroup.layer_of(spec.cgroup))
    if report.breaches:
        raise CanaryFailed(report)
    return pid, report


async def _first_report(spec: SandboxSpec, channels: Channels, remains: Remains) -> tuple[int, bytes]:
    if not spec.listens:
        return await channels.receive()
    pid, message, remains.listener = await channels.receive_with_socket()
    return await channels.receive() if message == LISTENER else (pid, message)


async def _not_ready(spec: SandboxSpec, remains: Remains, message: bytes) -> NoReturn:
    if message:
        raise SpokeStartFailed(f"{spec.app} wrote to the launcher before it was ready", remains.tail.lines())
    code = await remains.wait()
    raise SpokeStartFailed(f"{spec.app} ended with code {code} before it was ready", remains.tail.lines())


async def _served(spec: SandboxSpec, remains: Remains, uid: int) -> None:
    """Wait until the program that was executed serves, or ends."""
    serving = asyncio.create_task(readiness.serving(spec.socket_path, lambda: _is_its_own(spec, uid)))
    ended = asyncio.create_task(remains.ended())
    try:
        await asyncio.wait((serving, ended), return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            await _not_ready(spec, remains, b"")
        if never := serving.result():
            raise SpokeStartFailed(f"{spec.app} {never}", remains.tail.lines())
    finally:
        for task in (serving, ended):
            task.cancel()
        await asyncio.gather(serving, ended, return_exceptions=True)


def _is_its_own(spec: SandboxSpec, uid: int) -> bool:
    try:
        status = spec.socket_path.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISSOCK(status.st_mode) and status.st_uid == uid
