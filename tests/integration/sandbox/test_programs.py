"""Apps that execute programs of the host: these and no others, bounded in sum, and gone with their spoke."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from spoke_runner.sandbox import (
    Limits,
    SandboxUnavailable,
    SpokeProcess,
    Zygote,
    ZygoteUnavailable,
    find_host_programs,
    launch,
)
from tests.integration.sandbox.spokes import APPS, Workshop, call, running, workshop
from tests.support.processes import processes_of

ENTRY = "outgoing:app"
MEBIBYTE = 1 << 20
PROGRAMS = ("/bin/sh", "/usr/bin/head", "/usr/bin/setsid", "/usr/bin/sleep", "/usr/bin/tail")
LIMITS = Limits(memory_bytes=160 * MEBIBYTE, processes=40)


@pytest.fixture
def shop() -> Iterator[Workshop]:
    with workshop() as made:
        yield made
        assert processes_of(made.root) == []


@pytest.fixture
async def spoke(shop: Workshop) -> AsyncIterator[SpokeProcess]:
    spec = replace(shop.spec(APPS / "outgoing", limits=LIMITS), programs=find_host_programs(PROGRAMS))
    async with running(spec, ENTRY) as started:
        yield started


def inside(spoke: SpokeProcess) -> list[int]:
    """Return the host's pids of all processes in a spoke's pid namespace."""
    mine = Path(f"/proc/{spoke.pid}/ns/pid").readlink()
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and (entry / "ns" / "pid").readlink() == mine:
                found.append(int(entry.name))
    return found


async def test_a_listed_program_runs_and_passes_through_pipes(spoke: SpokeProcess) -> None:
    ended = await call(spoke, "run", line=["/bin/sh", "-c", "echo one; echo two | /usr/bin/head -c 2; exit 7"])

    assert ended == {"code": 7, "out": "one\ntw", "err": ""}


async def test_no_other_program_runs(spoke: SpokeProcess) -> None:
    python = str(Path(sys.executable).resolve())
    own = (await call(spoke, "write_program", content="#!/bin/sh\necho escaped\n"))["path"]

    for line in ([own], [python, "-c", "print(1)"], ["/proc/self/exe"]):
        assert await call(spoke, "run", line=line) == {"error": "Permission denied"}, line
    assert await call(spoke, "run", line=["/usr/bin/sort"]) == {"error": "No such file or directory"}
    # A child is as little allowed as its parent.
    ended = await call(spoke, "run", line=["/bin/sh", "-c", own])
    assert ended["out"] == ""
    assert "Permission denied" in ended["err"]
    # What a listed program reads, it reads behind the same walls.
    assert (await call(spoke, "run", line=["/bin/sh", own]))["out"] == "escaped\n"
    assert (await call(spoke, "run", line=["/usr/bin/head", "/etc/passwd"]))["code"] != 0


async def test_without_programs_nothing_runs(shop: Workshop) -> None:
    async with running(shop.spec(APPS / "outgoing"), ENTRY) as spoke:
        assert "Operation not permitted" in str(await call(spoke, "run", line=["/bin/sh", "-c", "echo"]))


async def script(spoke: SpokeProcess, text: str) -> Any:
    return await call(spoke, "run", line=["/bin/sh", "-c", text])


def repeated(count: int, deed: str) -> str:
    return f"i=0; while [ $i -lt {count} ]; do {deed} i=$((i+1)); echo $i; done"


async def test_what_is_left_behind_is_reaped(spoke: SpokeProcess) -> None:
    # Three times what the limit has room for: each shell ends before the child that it leaves.
    left = await script(spoke, repeated(3 * LIMITS.processes, "/bin/sh -c '/usr/bin/head /dev/null &';"))

    assert (left["code"], left["out"].split()[-1]) == (0, "120")
    await none_is_left(spoke)


async def none_is_left(spoke: SpokeProcess) -> None:
    """Wait until a spoke has no process but its own."""
    async with asyncio.timeout(10):
        while len(inside(spoke)) > 2:  # noqa: ASYNC110 - what happens in other processes sets no event here
            await asyncio.sleep(0.01)


async def test_processes_and_threads_end_at_their_limit_in_sum(spoke: SpokeProcess) -> None:
    ended = await script(spoke, repeated(100, "/usr/bin/sleep 1 >/dev/null 2>&1 &"))

    assert ended["code"] != 0
    assert "Cannot fork" in ended["err"]
    assert 4 < int(ended["out"].split()[-1]) < LIMITS.processes
    await none_is_left(spoke)
    assert (await script(spoke, "exit 0"))["code"] == 0


async def test_memory_ends_at_its_limit_in_sum(spoke: SpokeProcess) -> None:
    # Each `tail` keeps what it has read until there is no more, and stays below what one process may have.
    holding = "(/usr/bin/head -c 60000000 /dev/urandom; /usr/bin/sleep 8) | /usr/bin/tail -c 60000000 >/dev/null"
    with suppress(grpc.aio.AioRpcError):
        await script(spoke, f"{holding} & {holding} & {holding} & {holding} & wait")
    async with asyncio.timeout(5):
        await spoke.wait()

    assert spoke.ended_because == "its processes together hold more memory than its limit of 160 MiB"


@pytest.mark.parametrize("how", ["killed", "ended by the app", "killed from outside"])
async def test_with_the_spoke_everything_that_it_left_running_ends(spoke: SpokeProcess, how: str) -> None:
    sleeper = "/usr/bin/sleep 600 >/dev/null 2>&1 &"
    assert (await script(spoke, f"trap '' TERM INT HUP; /usr/bin/setsid {sleeper} {sleeper}"))["code"] == 0
    pids = inside(spoke)
    assert len(pids) == 4

    if how == "ended by the app":
        # The first process is out of its reach, and the app's own is not.
        with suppress(grpc.aio.AioRpcError):
            await script(spoke, "kill -9 1; kill -9 $PPID")
        assert await spoke.wait() == 128 + 9
    elif how == "killed from outside":
        os.kill(spoke.pid, 9)
    await spoke.kill()

    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


async def test_without_a_sandbox_nothing_outlives_the_spoke_either(shop: Workshop) -> None:
    spec = replace(shop.spec(APPS / "outgoing"), level="none", programs=find_host_programs(["/bin/sh"]))
    spoke = await launch(spec, entry=ENTRY)
    assert (await script(spoke, "exit 3"))["code"] == 3
    await spoke.kill()


async def test_programs_are_for_cold_starts_at_strict_only(shop: Workshop) -> None:
    spec = replace(shop.spec(APPS / "outgoing"), programs=find_host_programs(["/bin/sh"]))

    with pytest.raises(SandboxUnavailable, match="nothing bounds what they leave running"):
        await launch(replace(spec, level="no-userns"), entry=ENTRY)
    async with Zygote() as zygote:
        with pytest.raises(ZygoteUnavailable, match="executes programs"):
            await zygote.launch(spec, entry=ENTRY)
