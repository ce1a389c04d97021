"""Starting and ending real spokes."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop

from spoke_runner.sandbox import SandboxUnavailable, SpokeStartFailed, launch, preflight
from spoke_runner.sandbox.inside.canaries import names
from tests.integration.sandbox.spokes import (
    APPS,
    PROJECT,
    Workshop,
    both_ways,
    call,
    launcher,
    running,
    workshop,
    zygotes_and_forks,
)
from tests.support.processes import processes_of


@pytest.fixture
def shop() -> Iterator[Workshop]:
    with workshop() as made:
        yield made
        assert processes_of(made.root) == []
        assert zygotes_and_forks() == []


@both_ways
async def test_a_spoke_is_sealed_when_it_is_returned_and_says_so(shop: Workshop, way: str) -> None:
    spec = shop.spec(APPS / "plain")

    async with running(spec, "plain:app", way=way) as spoke:
        assert spoke.report.breaches == ()
        assert tuple(canary.name for canary in spoke.report.canaries) == names("strict")
        assert all(canary.held for canary in spoke.report.canaries)
        assert spoke.report.level == "strict"
        assert 0 < spoke.start_milliseconds < 20_000
        assert await call(spoke, "echo", text="hello") == {"text": "hello"}


@both_ways
async def test_the_process_looks_sealed_from_outside(shop: Workshop, way: str) -> None:
    spec = shop.spec(APPS / "plain")

    async with running(spec, "plain:app", way=way) as spoke:
        lines = Path(f"/proc/{spoke.pid}/status").read_text().splitlines()
        facts = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        assert (facts["Seccomp"], facts["NoNewPrivs"]) == ("2", "1")
        assert {facts[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
        expected = str(spec.uid or os.geteuid())
        assert expected != "0"
        assert set(facts["Uid"].split()) == {expected}
        assert facts["NSpid"].split()[-1] == {"cold": "1", "warm": "2"}[way]
        for name in ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts"):
            assert Path(f"/proc/{spoke.pid}/ns/{name}").readlink() != Path(f"/proc/self/ns/{name}").readlink()


@both_ways
async def test_the_socket_is_a_socket_that_only_its_owner_can_reach(shop: Workshop, way: str) -> None:
    spec = shop.spec(APPS / "plain")

    async with running(spec, "plain:app", way=way) as spoke:
        assert stat.S_ISSOCK(spoke.socket_path.lstat().st_mode)
        assert spoke.socket_path == spec.socket_path
        assert spec.socket_dir.stat().st_mode & 0o077 == 0 or spec.uid is None


@both_ways
async def test_kill_leaves_no_process_and_no_socket_and_may_be_repeated(shop: Workshop, way: str) -> None:
    async with launcher(way) as start:
        spoke = await start(shop.spec(APPS / "plain"), entry="plain:app")
        assert processes_of(shop.root)

        await spoke.kill()
        await spoke.kill()

        assert processes_of(shop.root) == []
        assert not Path(f"/proc/{spoke.pid}").exists()
        assert not spoke.socket_path.exists()
        assert await spoke.wait() == 128 + signal.SIGKILL


@both_ways
async def test_a_spoke_that_ends_by_itself_is_noticed(shop: Workshop, way: str) -> None:
    async with running(shop.spec(APPS / "plain"), "plain:app", way=way) as spoke:
        with pytest.raises(Exception, match="UNAVAILABLE"):
            await call(spoke, "end")

        assert await asyncio.wait_for(spoke.wait(), 5) == 7


@both_ways
async def test_two_spokes_run_side_by_side_with_uids_of_their_own_as_root(shop: Workshop, way: str) -> None:
    specs = [shop.spec(APPS / "plain", name=name) for name in ("app@ann", "app@bob")]

    async with running(specs[0], "plain:app", way=way) as first, running(specs[1], "plain:app", way=way) as second:
        answers = await asyncio.gather(call(first, "echo", text="1"), call(second, "echo", text="2"))
        assert list(answers) == [{"text": "1"}, {"text": "2"}]
        if os.geteuid() == 0:
            assert Path(f"/proc/{first.pid}").stat().st_uid != Path(f"/proc/{second.pid}").stat().st_uid


@both_ways
async def test_an_app_that_raises_at_import_fails_at_once_with_its_traceback(shop: Workshop, way: str) -> None:
    async with launcher(way) as start:
        with pytest.raises(SpokeStartFailed, match="ended with code 1") as caught:
            await start(shop.spec(APPS / "broken"), entry="broken:app")

    assert "RuntimeError: the app's module does not like to be imported" in caught.value.logs[-1]


@both_ways
async def test_an_app_that_hangs_at_import_fails_when_the_time_is_over(shop: Workshop, way: str) -> None:
    async with launcher(way) as start:
        with pytest.raises(SpokeStartFailed, match=r"was not ready in 1\.5 s"):
            await start(shop.spec(APPS / "broken"), entry="hangs:app", timeout_seconds=1.5)


@both_ways
async def test_an_app_that_only_claims_to_be_ready_is_not(shop: Workshop, way: str) -> None:
    async with launcher(way) as start:
        with pytest.raises(SpokeStartFailed, match="is not its socket"):
            await start(shop.spec(APPS / "broken"), entry="lies:app")


@both_ways
async def test_an_app_that_floods_the_report_pipe_is_not_ready(shop: Workshop, way: str) -> None:
    async with launcher(way) as start:
        with pytest.raises(SpokeStartFailed):
            await start(shop.spec(APPS / "broken"), entry="floods:app", timeout_seconds=5)


@both_ways
async def test_an_entry_that_names_nothing_fails(shop: Workshop, way: str) -> None:
    async with launcher(way) as start:
        with pytest.raises(SpokeStartFailed) as caught:
            await start(shop.spec(APPS / "plain"), entry="nothing:app")

    assert "No module named 'nothing'" in caught.value.logs[-1]


async def test_a_directory_that_is_not_there_is_named(shop: Workshop) -> None:
    with pytest.raises(SpokeStartFailed, match=r"there is no directory .*/apps/missing"):
        await launch(shop.spec(APPS / "missing"), entry="x:app")


@both_ways
async def test_a_start_that_is_cancelled_leaves_nothing(shop: Workshop, way: str) -> None:
    async with launcher(way) as start:
        spoke = await start(shop.spec(APPS / "plain", name="first"), entry="plain:app")
        await spoke.kill()
        # Again and again in the first moments, in which bubblewrap has a child that it has told nothing yet.
        for seconds in (0.0, *(step / 1000 for step in range(30)), 0.3):
            task = asyncio.ensure_future(start(shop.spec(APPS / "broken"), entry="hangs:app"))
            await asyncio.sleep(seconds)
            assert not task.done()

            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

            assert processes_of(shop.root) == []
            assert len(zygotes_and_forks()) == (way == "warm")


@both_ways
async def test_a_spoke_that_floods_its_output_stays_bounded_and_serves(shop: Workshop, way: str) -> None:
    async with running(shop.spec(APPS / "chatty"), "chatty:app", way=way) as spoke:
        await asyncio.sleep(0.5)
        began = time.monotonic()
        assert await call(spoke, "echo", text="still here") == {"text": "still here"}

        assert time.monotonic() - began < 5
        assert len(spoke.logs) <= 202
        assert "bytes dropped" in spoke.logs[-1]


async def test_a_spoke_gets_a_uid_of_its_own_as_root_and_only_then(shop: Workshop) -> None:
    wrong = None if os.geteuid() == 0 else 58000

    with pytest.raises(SandboxUnavailable) as caught:
        await launch(replace(shop.spec(APPS / "plain"), uid=wrong), entry="plain:app")

    assert caught.value.layer == "uid"


HUB = """
import asyncio, sys
from pathlib import Path
from tests.integration.sandbox.spokes import APPS, Workshop, launcher

async def main():
    async with launcher(sys.argv[2]) as start:
        spoke = await start(Workshop(Path(sys.argv[1])).spec(APPS / "plain"), entry="plain:app")
        print(spoke.pid, flush=True)
        await asyncio.sleep(3600)

asyncio.run(main())
"""


@both_ways
def test_when_the_hub_dies_so_does_every_process_of_a_spoke(shop: Workshop, way: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HUB, str(shop.root), way], stdout=subprocess.PIPE, cwd=PROJECT, text=True
    ) as hub:
        assert hub.stdout is not None
        pid = int(hub.stdout.readline())
        assert len(processes_of(shop.root)) >= 2
        hub.kill()

    deadline = time.monotonic() + 5
    while (processes_of(shop.root) or zygotes_and_forks() or _alive(pid)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(pid)
    assert processes_of(shop.root) == []


def _alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_this_host_passes_the_preflight_inside_a_loop_and_outside_of_one() -> None:
    for layers in (preflight(), await asyncio.to_thread(preflight)):
        assert [layer for layer in layers if layer.required and not layer.in_force] == []
        assert {layer.name for layer in layers} >= {"bubblewrap", "namespaces", "landlock", "seccomp", "uid"}


@both_ways
def test_a_spoke_starts_and_ends_under_the_hubs_own_event_loop(shop: Workshop, way: str) -> None:
    async def whole_life() -> None:
        async with running(shop.spec(APPS / "plain"), "plain:app", way=way) as spoke:
            assert await call(spoke, "echo", text="uv") == {"text": "uv"}

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(whole_life())


@both_ways
async def test_many_spokes_can_start_at_once(shop: Workshop, way: str) -> None:
    specs = [shop.spec(APPS / "plain", name=f"app@{number}") for number in range(6)]

    async with launcher(way) as start:
        spokes = await asyncio.gather(*(start(spec, entry="plain:app") for spec in specs))
        try:
            assert len({spoke.pid for spoke in spokes}) == len(specs)
        finally:
            await asyncio.gather(*(spoke.kill() for spoke in spokes))
