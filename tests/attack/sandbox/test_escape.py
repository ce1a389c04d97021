"""An app that tries to get out, act by act, and the same act in a plain process as the control.

`python -m pytest tests/attack/sandbox -s` prints the table. A control that needs root says so, and is asserted when the
tests run as root.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from spoke_runner.sandbox import SpokeProcess
from tests.integration.sandbox.spokes import Workshop, both_ways, call, running, workshop

APP = Path(__file__).parent / "apps" / "hostile"
PROJECT = Path(__file__).resolve().parents[3]
CONTROL_SECONDS = 20
AS_ROOT = os.geteuid() == 0
SIGSYS_EXIT = 128 + 31

SECCOMP = ("EPERM",)
UNSEEN = ("ENOENT",)
LANDLOCK = ("EACCES",)
READ_ONLY = ("EROFS", "EACCES")
PLAIN, ROOT = "plain", "root"
LETHAL = ("foreign_syscall", "x32_syscall")


class Row(NamedTuple):
    """One act: what must stop it, and the control: plain, root, or the reason why there is none."""

    act: str
    stopped_by: tuple[str, ...]
    control: str = PLAIN


ROWS = (
    Row("read_passwd", UNSEEN),
    Row("read_shadow", UNSEEN, ROOT),
    Row("read_other_apps_data", UNSEEN),
    Row("read_hub_database", UNSEEN),
    Row("read_hub_source", UNSEEN),
    Row("import_hub", ("ImportError",)),
    Row("list_root", LANDLOCK),
    Row("write_outside", ("ENOENT", "EROFS", "EACCES")),
    Row("change_own_code", READ_ONLY),
    Row("plant_link_for_the_hub", SECCOMP),
    Row("plant_link_in_socket_directory", SECCOMP),
    Row("plant_fifo_for_the_hub", SECCOMP),
    Row("make_device", SECCOMP, ROOT),
    Row("file_handle", SECCOMP),
    Row("read_proc_of_other", UNSEEN),
    Row("read_own_mounts", LANDLOCK),
    Row("read_kernel_version", LANDLOCK),
    Row("write_proc_sys", LANDLOCK, ROOT),
    Row("kill_other", SECCOMP),
    Row("kill_everybody", SECCOMP, "would signal every process of this user"),
    Row("ptrace_other", SECCOMP),
    Row("read_memory_of_other", SECCOMP),
    Row("pidfd_of_other", SECCOMP),
    Row("fork", SECCOMP),
    Row("execute", SECCOMP),
    Row("execute_setuid", SECCOMP),
    Row("outlive_the_hub", SECCOMP),
    Row("raise_limits", SECCOMP),
    Row("change_personality", SECCOMP),
    Row("clone_new_user", SECCOMP),
    Row("unshare_user", SECCOMP),
    Row("unshare_mounts", SECCOMP, ROOT),
    Row("enter_namespace", SECCOMP, ROOT),
    Row("mount_tmpfs", SECCOMP, ROOT),
    Row("change_root", SECCOMP, ROOT),
    Row("set_hostname", SECCOMP, ROOT),
    Row("connect_tcp", SECCOMP),
    Row("send_udp", SECCOMP),
    Row("connect_unix", SECCOMP),
    Row("connect_abstract", SECCOMP),
    Row("send_unix_datagram", SECCOMP),
    Row("send_datagram_by_socketpair", SECCOMP),
    Row("socket_with_high_bits", SECCOMP),
    Row("raw_socket", SECCOMP, ROOT),
    Row("packet_socket", SECCOMP, ROOT),
    Row("netlink_socket", SECCOMP),
    Row("vsock_socket", SECCOMP, "not every kernel has it"),
    Row("join_keyring", SECCOMP),
    Row("add_key", SECCOMP),
    Row("bpf_map", SECCOMP, ROOT),
    Row("perf_event", SECCOMP, "hosts differ in what they let users count"),
    Row("io_uring", SECCOMP, "hosts may switch it off"),
    Row("userfaultfd", SECCOMP, "hosts may switch it off"),
    Row("kernel_log", SECCOMP, ROOT),
    Row("push_terminal_input", SECCOMP, "needs a terminal, which a test run has not"),
    Row("push_terminal_input_with_high_bits", SECCOMP, "needs a terminal, which a test run has not"),
    Row("memory_file", SECCOMP),
    Row("shared_anonymous_memory", SECCOMP),
    Row("shared_zero_device", UNSEEN),
    Row("system_v_memory", SECCOMP),
    Row("read_secret_in_environment", UNSEEN),
    Row("read_environment_in_proc", LANDLOCK),
    Row("use_inherited_descriptor", ("EBADF",)),
)


@contextmanager
def world_outside(shop: Workshop) -> Iterator[dict[str, Any]]:
    """Plant what an attacker would like to reach, all of it reachable for a plain process of this user."""
    outside = shop.root / "outside"
    other = shop.root / "data" / "other@ann"
    for directory in (outside, other, shop.root / "control"):
        directory.mkdir(parents=True)
    (other / "diary").write_text("another app's data")
    (shop.root / "hub.db").write_text("the hub's database")
    with ExitStack() as stack:
        enter = stack.enter_context
        tcp = enter(socket.create_server(("127.0.0.1", 0)))
        udp = enter(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        unix, abstract = enter(socket.socket(socket.AF_UNIX)), enter(socket.socket(socket.AF_UNIX))
        unix.bind(str(shop.root / "unix.sock"))
        abstract.bind("\0" + shop.root.name)
        for listener in (unix, abstract):
            listener.listen()
        datagram = enter(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        datagram.bind(str(shop.root / "datagram.sock"))
        victim = enter(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"]))
        stack.callback(victim.kill)
        secret = os.open(shop.root / "hub.db", os.O_RDONLY)
        stack.callback(os.close, secret)
        namespace = os.open("/proc/self/ns/net", os.O_RDONLY)
        stack.callback(os.close, namespace)
        yield {
            "inside": False,
            "other_data": str(other / "diary"),
            "database": str(shop.root / "hub.db"),
            "hub_source": str(PROJECT / "hub" / "errors.py"),
            "outside": str(outside),
            "app": str(outside),
            "data": str(shop.root / "control"),
            "sockets": str(outside),
            "victim": victim.pid,
            "setuid": next(path for path in ("/usr/bin/su", "/bin/su") if Path(path).exists()),
            "namespace": namespace,
            "tcp": tcp.getsockname()[1],
            "udp": udp.getsockname()[1],
            "unix": str(shop.root / "unix.sock"),
            "abstract": shop.root.name,
            "unix_datagram": str(shop.root / "datagram.sock"),
            "descriptor": secret,
            "database_inode": os.fstat(secret).st_ino,
        }


def seen_from_inside(world: dict[str, Any]) -> dict[str, Any]:
    return {**world, "inside": True, "app": "/app", "data": "/data", "sockets": "/run/spoke"}


def control(row: Row, world: dict[str, Any]) -> str:
    """Run the act in a plain process, where nothing stops it."""
    ended = subprocess.run(
        [sys.executable, str(APP / "acts.py"), row.act, json.dumps(world)],
        capture_output=True,
        text=True,
        timeout=CONTROL_SECONDS,
        cwd=PROJECT,
        env={**os.environ, "SPOKEGATE_TEST_SECRET": "s", "PYTHONPATH": str(PROJECT)},
        pass_fds=(world["descriptor"], world["namespace"]),
    )
    if row.act.startswith("execute"):
        # The process became another program, so what it prints is that program's.
        return "done" if ended.returncode == 0 and not ended.stdout.startswith("E") else ended.stdout.strip()
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


@both_ways
async def test_every_act_is_stopped_inside_a_spoke_and_comes_through_without_one(way: str) -> None:
    lines, wrong = [], []
    with workshop() as shop, world_outside(shop) as world:
        async with running(shop.spec(APP), "hostile:app", way=way) as spoke:
            for row in ROWS:
                inside = (await call(spoke, "attempt", name=row.act, world=seen_from_inside(world)))["answer"]
                tried = row.control == PLAIN or (row.control == ROOT and AS_ROOT)
                outside = control(row, world) if tried else ""
                if inside not in row.stopped_by:
                    wrong.append(f"{row.act}: answered {inside} inside, expected {' or '.join(row.stopped_by)}")
                if tried and outside != "done":
                    wrong.append(f"{row.act}: the control answered {outside}, so the row proves nothing")
                shown = outside or ("needs root" if row.control == ROOT else row.control)
                lines.append(f"{row.act:<36} {inside:<18} {shown}")
    print("\n" + "\n".join([f"{'act':<36} {f'in a {way} spoke':<18} control", *lines]))

    assert wrong == []
    assert len(ROWS) >= 25


@pytest.fixture(params=["cold", "warm"])
async def spoke(request: pytest.FixtureRequest) -> AsyncIterator[SpokeProcess]:
    with workshop() as shop:
        async with running(shop.spec(APP), "hostile:app", way=request.param) as started:
            yield started


@pytest.mark.parametrize("act", ["connect_tcp", "fork", "read_own_mounts", "unshare_user", "memory_file"])
async def test_a_thread_that_the_app_starts_is_as_sealed_as_the_first(spoke: SpokeProcess, act: str) -> None:
    world = {"tcp": 1, "inside": True}

    assert (await call(spoke, "attempt_in_thread", name=act, world=world))["answer"] in ("EPERM", "EACCES")


@pytest.mark.parametrize("act", LETHAL)
async def test_a_syscall_of_a_foreign_architecture_kills_the_spoke_and_not_a_plain_process(
    spoke: SpokeProcess, act: str
) -> None:
    with workshop() as shop, world_outside(shop) as world:
        assert control(Row(act, ()), world) in ("done", "ENOSYS")

    with pytest.raises(Exception, match="UNAVAILABLE"):
        await call(spoke, "attempt", name=act, world={})

    assert await spoke.wait() == SIGSYS_EXIT


async def test_the_app_sees_nothing_of_who_runs_it(spoke: SpokeProcess) -> None:
    seen = await call(spoke, "see")

    # The second process of a warm spoke's namespace; the first holds it and does nothing.
    assert seen.pop("pid") in (1, 2)
    assert seen == {"environment": {}, "uid": 1000, "host": "spoke"}


def test_every_act_has_a_row_and_every_row_an_act() -> None:
    names = subprocess.run(
        [sys.executable, "-c", "import acts; print(*acts.ACTS)"], cwd=APP, capture_output=True, text=True, check=True
    ).stdout.split()

    assert sorted(names) == sorted([*LETHAL, *(row.act for row in ROWS)])
