"""Spokes whose app is a program of its own, executed by the first stage."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from spoke_runner.sandbox import CanaryFailed, SandboxSpec, SpokeProcess, SpokeStartFailed, discover_python, launch
from spoke_runner.sandbox import command as commands
from spoke_runner.sandbox.diagnosis import find_tools
from spoke_runner.sandbox.escape.suite import APP, acts_of, run_in
from spoke_runner.sandbox.escape.world import world_outside
from spoke_runner.sandbox.inside.canaries import names
from spoke_runner.sandbox.launcher import start
from spoke_runner.sandbox.own_program import find_own_program
from spoke_runner.sandbox.ownership import give
from spoke_runner.sandbox.setup import filter_name, setup
from tests.integration.sandbox.spokes import APPS, Workshop, call, workshop
from tests.support.processes import processes_of
from tests.support.programs import as_program, serve_script


@pytest.fixture
def shop() -> Iterator[Workshop]:
    with workshop() as made:
        yield made
        assert processes_of(made.root) == []


def app(shop: Workshop, name: str, **options: str) -> Path:
    shop.root.chmod(0o755)
    return as_program(APPS / name, shop.root / "apps", **options)


async def test_a_program_serves_with_every_wall_in_force(shop: Workshop) -> None:
    spoke = await launch(shop.spec(app(shop, "plain")), entry=("./serve", "plain:app"))
    try:
        assert spoke.report.breaches == ()
        assert tuple(canary.name for canary in spoke.report.canaries) == names("strict", profile="command")
        assert await call(spoke, "echo", text="hello") == {"text": "hello"}
        status = Path(f"/proc/{spoke.pid}/status").read_text()
        assert "Seccomp:\t2" in status
        assert "NoNewPrivs:\t1" in status
    finally:
        await spoke.kill()


async def test_a_program_gets_the_named_variables_and_no_others(shop: Workshop) -> None:
    spoke = await launch(shop.spec(app(shop, "plain")), entry=("./serve", "plain:app"))
    try:
        seen = Path(f"/proc/{spoke.pid}/environ").read_text().split("\0")
        assert sorted(item for item in seen if item) == [
            "HOME=/data",
            "SPOKEGATE_DATA_DIR=/data",
            "SPOKEGATE_SOCKET=/run/spoke/spoke.sock",
            "TMPDIR=/tmp",
        ]
    finally:
        await spoke.kill()


@pytest.mark.parametrize(
    ("function", "path"),
    [("execute", "/app/other"), ("execute", "/bin/sh"), ("execute_a_copy", "/app/serve")],
)
async def test_a_program_can_execute_no_other(shop: Workshop, function: str, path: str) -> None:
    directory = other_beside(app(shop, "executes"))
    spoke = await launch(shop.spec(directory), entry=("./serve", "executes:app"))
    try:
        assert (await call(spoke, function, path=path))["answer"] in ("EACCES", "ENOENT")
        assert (await call(spoke, "execute", path=str(directory)))["answer"] == "ENOENT"
    finally:
        await spoke.kill()


@pytest.mark.parametrize("function", ["execute", "execute_a_copy"])
async def test_without_walls_a_program_executes_any_other(shop: Workshop, function: str) -> None:
    directory = other_beside(app(shop, "executes", script=serve_script(moved=False)))
    spec = replace(shop.spec(directory), level="none")
    spoke = await launch(spec, entry=("./serve", "executes:app"))
    try:
        with pytest.raises(grpc.aio.AioRpcError):
            await call(spoke, function, path=str(directory / "other"))
        assert await spoke.wait() == 7
    finally:
        await spoke.kill()


async def test_a_program_can_execute_itself_again(shop: Workshop) -> None:
    spoke = await launch(shop.spec(app(shop, "executes")), entry=("./serve", "executes:app"))
    try:
        with pytest.raises(grpc.aio.AioRpcError):
            await call(spoke, "execute", path="/app/serve")
        # It ran again, and ended by itself for want of its argument.
        assert await spoke.wait() == 1
        assert any("IndexError" in line for line in spoke.logs)
    finally:
        await spoke.kill()


def other_beside(directory: Path) -> Path:
    (directory / "other").write_text("#!/bin/sh\nexit 7\n")
    (directory / "other").chmod(0o755)
    return directory


@pytest.mark.parametrize(
    ("program", "content", "mode", "says"),
    [
        ("./missing", "", 0o755, "there is no program"),
        ("../serve", "", 0o755, "is not of the form ./path"),
        ("/bin/true", "", 0o755, "is not of the form ./path"),
        ("./own", "#!/bin/sh\n", 0o600, "chmod a\\+x"),
        ("./own", "echo hello\n", 0o755, "neither a 64-bit ELF file nor a script"),
        ("./own", "#!/usr/bin/env python3\n", 0o755, "is run by /usr/bin/env, which the sandbox does not show"),
        ("./own", "#!\n", 0o755, "is run by nothing"),
        ("./own", "\x7fELF\x02", 0o755, "cannot be run as a program"),
    ],
)
async def test_a_program_that_cannot_run_is_refused_with_the_mend(
    shop: Workshop, program: str, content: str, mode: int, says: str
) -> None:
    directory = app(shop, "plain")
    (directory / "own").write_text(content)
    (directory / "own").chmod(mode)

    with pytest.raises(SpokeStartFailed, match=says):
        await launch(shop.spec(directory), entry=(program,))


async def test_a_link_is_no_program_of_the_app(shop: Workshop) -> None:
    directory = app(shop, "plain")
    (directory / "link").symlink_to("/bin/true")

    with pytest.raises(SpokeStartFailed, match="not a regular file of the app"):
        await launch(shop.spec(directory), entry=("./link",))


SILENT = "import time; time.sleep(60)"
DEAF = """import os, sys, time, socket
end = socket.socket(socket.AF_UNIX)
end.bind(os.environ["SPOKEGATE_SOCKET"])
end.listen()
time.sleep(60)"""
WITHOUT_HEALTH = """import os, sys, time
sys.path += {path!r}
import grpc, concurrent.futures
server = grpc.server(concurrent.futures.ThreadPoolExecutor(1))
server.add_insecure_port("unix:" + os.environ["SPOKEGATE_SOCKET"])
server.start()
time.sleep(60)"""


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import sys; print('no luck'); sys.exit(5)", "ended with code 5"),
        (SILENT, "was not ready in"),
        (DEAF, "was not ready in"),
        (WITHOUT_HEALTH, "must serve grpc.health.v1"),
    ],
)
async def test_a_program_that_does_not_come_up_is_ended_and_the_start_says_how(
    shop: Workshop, code: str, says: str
) -> None:
    python = discover_python()
    script = f"#!{python.executable} -ISBu\n" + code.replace("{path!r}", repr([str(p) for p in python.import_path]))
    directory = app(shop, "plain", script=script)

    timeout_seconds = 1.5 if "not ready" in says else 20
    with pytest.raises(SpokeStartFailed, match=says) as caught:
        await launch(shop.spec(directory), entry=("./serve",), timeout_seconds=timeout_seconds)
    if "no luck" in code:
        assert caught.value.logs == ("no luck",)


async def test_a_directory_that_it_may_write_and_execute_is_noticed(shop: Workshop) -> None:
    spec = replace(shop.spec(app(shop, "plain")), command=True)
    if spec.uid is not None:
        give(spec.data_dir, spec.uid)
        give(spec.socket_dir, spec.uid)
    covers = commands.closed_directories(commands.sources(spec), spec.uid) if spec.uid is not None else ()
    program = find_own_program(spec, ("./serve", "plain:app"))

    def recipe(report_fd: int) -> tuple[tuple[str, ...], dict[str, Any]]:
        bpf = filter_name("command")
        document = setup(spec, entry=program, report_fd=report_fd, seccomp_filter=bpf)
        document["grants"]["execute"].append("/data")
        return commands.argv(spec, tools=find_tools(), covers=covers), document

    gid = spec.uid or os.getegid()
    with pytest.raises(CanaryFailed) as caught:
        await start(spec, recipe, uid=spec.uid or os.geteuid(), gid=gid, timeout_seconds=20)
    assert [line for line in caught.value.report.breaches if "execute_written" in line] != []


@pytest.mark.timeout(60)
async def test_every_hostile_act_is_stopped_in_a_program_too(shop: Workshop) -> None:
    # The acts are those of tests/attack/sandbox, whose controls hold for them here as well: they run without any spoke.
    shop.root.chmod(0o755)
    directory = as_program(APP, shop.root / "apps")

    async def launch_program(spec: SandboxSpec, *, entry: str) -> SpokeProcess:
        return await launch(replace(spec, app_dir=directory), entry=("./serve", entry))

    with world_outside(shop.root) as world:
        # Its own interpreter it can execute: see above.
        outcomes = await run_in(shop.root, world, "strict", start=launch_program, profile="command")

    assert [outcome for outcome in outcomes if not outcome.blocked] == []
    assert sorted(outcome.act for outcome in outcomes) == sorted(act.name for act in acts_of("command"))
