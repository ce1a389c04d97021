"""The zygote: what its forks share, how it is renewed, and that nothing is left when any part of it dies."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from spoke_runner.sandbox import Limits, SpokeProcess, Zygote, ZygoteUnavailable, discover_python
from tests.integration.sandbox.spokes import (
    APPS,
    PROJECT,
    Workshop,
    call,
    workshop,
    zygotes_and_forks,
)
from tests.support.processes import processes_of


def mounts() -> int:
    return len(Path("/proc/self/mountinfo").read_text().splitlines())


def held() -> int:
    """Return how many pidfds and pipes this process has; gRPC keeps neither."""
    kinds = []
    for name in descriptors("self"):
        with suppress(FileNotFoundError):  # a thread of gRPC's has closed it since it was listed
            kinds.append(str(Path(f"/proc/self/fd/{name}").readlink()))
    return sum(kind.startswith(("anon_inode:[pidfd]", "pipe:")) for kind in kinds)


def descriptors(process: object) -> list[str]:
    directory = Path(f"/proc/{process}/fd")
    return [path.name for path in directory.iterdir() if path.is_symlink()]


@asynccontextmanager
async def leaving_nothing() -> AsyncIterator[Workshop]:
    """Count what a spoke is made of, before and after."""
    held_before, mounts_before = held(), mounts()
    with workshop() as shop:
        yield shop
        assert processes_of(shop.root) == []
        assert zygotes_and_forks() == []
        assert [path for path in shop.root.rglob("*") if path.is_socket()] == []
        root = shop.root
    assert not root.exists()
    assert mounts() == mounts_before
    assert held() == held_before


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - what happens in other processes sets no event here
            await asyncio.sleep(0.01)


def holder_of(shop: Workshop) -> int:
    """Return the first process of the spoke's pid namespace."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                lines = (entry / "status").read_text().splitlines()
                program = (entry / "cmdline").read_bytes().split(b"\0")[0]
                parents = next(line for line in lines if line.startswith("PPid:")).split()[1]
                parent = Path("/proc", parents, "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError, StopIteration):
                continue
            if program.endswith(b"/cat") and bytes(shop.root) in parent:
                return int(entry.name)
    raise AssertionError("no holder")


async def start(zygote: Zygote, shop: Workshop, name: str = "a", entry: str = "curious:app") -> SpokeProcess:
    return await zygote.launch(shop.spec(APPS / entry.partition(":")[0], name=name), entry=entry)


async def test_what_one_fork_changes_no_other_sees() -> None:
    async with leaving_nothing() as shop, Zygote() as zygote:
        first, second = await start(zygote, shop, "a"), await start(zygote, shop, "b")

        assert [await call(first, "count") for _ in range(3)][-1] == {"calls": 3}
        assert await call(second, "count") == {"calls": 1}


async def test_a_fork_knows_no_path_of_the_host_and_can_import_what_the_zygote_has_not() -> None:
    async with leaving_nothing() as shop, Zygote() as zygote:
        spoke = await start(zygote, shop)

        packages = next(mount.source for mount in discover_python().mounts if mount.target.name == "site-packages")
        known = (await call(spoke, "places"))["places"]
        assert "/opt/spokegate/lib/spoke_runner/sdk/server.py" in known
        assert [place for place in known if str(PROJECT) in place or str(packages) in place] == []
        assert (await call(spoke, "import_late"))["file"].startswith("/opt/spokegate/site-packages/google/protobuf/")
        assert await call(spoke, "hub_loaded") == {"hub": False, "main": False}


async def test_the_zygote_has_one_thread_and_no_capability_but_to_change_the_uid() -> None:
    async with leaving_nothing() as shop, Zygote() as zygote:
        await start(zygote, shop)

        (pid,) = zygote.pids
        facts = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        set_uid_and_gid = f"{1 << 6 | 1 << 7:016x}" if os.geteuid() == 0 else "0" * 16
        assert facts["Threads"] == "1"
        assert facts["NoNewPrivs"] == "1"
        assert facts["CapEff"] == facts["CapPrm"] == set_uid_and_gid
        assert Path(f"/proc/{pid}/environ").read_bytes() == b""
        assert sorted(str(Path(f"/proc/{pid}/fd/{n}").readlink()).split(":")[0] for n in descriptors(pid)) == [
            "/dev/null",
            "pipe",
            "pipe",
            "socket",
        ]


async def test_twenty_spokes_can_start_at_once() -> None:
    async with leaving_nothing() as shop, Zygote() as zygote:
        spokes = await asyncio.gather(*(start(zygote, shop, f"a{number}") for number in range(20)))

        answers = await asyncio.gather(*(call(spoke, "count") for spoke in spokes))
        assert answers == [{"calls": 1}] * 20
        await asyncio.gather(*(spoke.kill() for spoke in spokes))
        assert processes_of(shop.root) == []
        assert zygotes_and_forks() == list(zygote.pids)


async def test_a_zygote_is_renewed_after_some_forks_and_the_old_one_stays_as_long_as_its_spokes() -> None:
    events: list[str] = []
    async with leaving_nothing() as shop, Zygote(renew_after_forks=2, on_event=events.append) as zygote:
        first, second = await start(zygote, shop, "a"), await start(zygote, shop, "b")
        (old,) = zygote.pids
        await until(lambda: bool(events))
        third = await start(zygote, shop, "c")

        assert events == ["renewed after 2 forks"]
        assert len(zygote.pids) == 2
        assert await call(first, "count") == {"calls": 1}
        await first.kill()
        assert old in zygote.pids
        await second.kill()
        await until(lambda: old not in zygote.pids)
        assert await call(third, "count") == {"calls": 1}
        await third.kill()
        assert await third.wait() == 128 + signal.SIGKILL


async def test_when_the_zygote_dies_its_spokes_do_and_the_next_start_has_a_new_one() -> None:
    events: list[str] = []
    async with leaving_nothing() as shop, Zygote(on_event=events.append) as zygote:
        spokes = [await start(zygote, shop, name) for name in ("a", "b")]
        (old,) = zygote.pids

        os.kill(old, signal.SIGKILL)
        async with asyncio.timeout(10):
            codes = [await spoke.wait() for spoke in spokes]

        assert codes == [128 + signal.SIGKILL] * 2
        await until(lambda: processes_of(shop.root) == [])
        for spoke in spokes:
            await spoke.kill()
        again = await start(zygote, shop, "c")
        assert await call(again, "count") == {"calls": 1}
        assert old not in zygote.pids
        assert len(events) == 1
        assert "ended unasked" in events[0]


async def test_a_zygote_that_dies_during_starts_fails_them_and_leaves_nothing_of_them() -> None:
    async with leaving_nothing() as shop, Zygote() as zygote:
        await (await start(zygote, shop, "first")).kill()
        starts = asyncio.gather(*(start(zygote, shop, f"a{n}") for n in range(6)), return_exceptions=True)
        await asyncio.sleep(0.03)
        os.kill(zygote.pids[0], signal.SIGKILL)

        for outcome in await starts:
            if isinstance(outcome, SpokeProcess):
                await outcome.kill()
            else:
                assert isinstance(outcome, Exception)
        assert processes_of(shop.root) == []


@pytest.mark.parametrize("victim", ["holder", "spoke", "bubblewrap"])
async def test_when_a_part_of_a_spoke_dies_the_rest_does(victim: str) -> None:
    async with leaving_nothing() as shop, Zygote() as zygote:
        spoke = await start(zygote, shop)
        pids = {"holder": holder_of(shop), "spoke": spoke.pid, "bubblewrap": min(processes_of(shop.root))}

        os.kill(pids[victim], signal.SIGKILL)
        async with asyncio.timeout(10):
            assert await spoke.wait() == 128 + signal.SIGKILL

        await until(lambda: processes_of(shop.root) == [])
        assert zygotes_and_forks() == list(zygote.pids)
        await spoke.kill()


async def test_a_spoke_that_nobody_ended_ends_with_the_zygotes_context() -> None:
    async with leaving_nothing() as shop:
        async with Zygote() as zygote:
            await start(zygote, shop)

        assert processes_of(shop.root) == []


async def test_what_a_fork_cannot_have_is_refused_and_not_approximated() -> None:
    async with leaving_nothing() as shop, Zygote() as zygote:
        spec = shop.spec(APPS / "plain", limits=Limits(stack_bytes=1 << 21))
        with pytest.raises(ZygoteUnavailable, match="other limits of stack"):
            await zygote.launch(spec, entry="plain:app")

        other = replace(shop.spec(APPS / "plain"), python=replace(discover_python(), import_path=()))
        with pytest.raises(ZygoteUnavailable, match="another Python"):
            await zygote.launch(other, entry="plain:app")


async def test_a_zygote_that_cannot_come_up_says_why() -> None:
    python = replace(discover_python(), mounts=())
    async with leaving_nothing() as shop, Zygote(python=python) as zygote:
        with pytest.raises(ZygoteUnavailable, match="No module named 'spoke_runner'"):
            await zygote.launch(replace(shop.spec(APPS / "plain"), python=python), entry="plain:app")


async def test_a_context_that_is_left_at_once_leaves_nothing() -> None:
    async with leaving_nothing():
        for seconds in (0, 0.01, 0.05):
            async with Zygote():
                await asyncio.sleep(seconds)
