"""The world around a spoke as an attacker would like to find it: all that an act reaches for really is there."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from spoke_runner.sandbox.errors import SandboxUnavailable
from spoke_runner.sandbox.escape.kit import World
from spoke_runner.sandbox.host_programs import find_host_programs
from spoke_runner.sandbox.places import APP_DIR, DATA_DIR, PROXY_PORT, SOCKET_DIR, STRICT
from spoke_runner.sandbox.spec import Limits, SandboxSpec

_MIB: Final = 1 << 20
LIMITS: Final = Limits(
    memory_bytes=128 * _MIB,
    file_bytes=4 * _MIB,
    data_bytes=8 * _MIB,
    temporary_bytes=16 * _MIB,
    open_files=100,
    processes=40,
)
# Each a little beyond the limit, so that the control takes up no more than that.
_BOMB: Final = {
    "memory_mib": 160,
    "threads": 60,
    "descriptors": 160,
    "file_mib": 6,
    "temporary_mib": 24,
    "disk_mib": 12,
    "entries": 2300,
    "children": 4,
    "child_mib": 60,
}
_SETUID_PROGRAMS: Final = ("/usr/bin/su", "/bin/su", "/usr/bin/passwd", "/usr/bin/mount")


@contextmanager
def world_outside(root: Path) -> Iterator[World]:
    """Plant it below a directory; every part can be reached by a process of this user that has no walls around it."""
    outside, other, hub = root / "outside", root / "data" / "other@ann", root / "hub"
    for directory in (outside, other, hub, root / "control", root / "run"):
        directory.mkdir(parents=True, exist_ok=True)
    # Open to every uid, so that what stops a spoke is not merely whose the files are.
    root.chmod(0o755)
    outside.chmod(0o777)
    (other / "diary").write_text("another app's data")
    (hub / "hub.db").write_text("the hub's database")
    for name in ("movable", "deletable"):
        (outside / name).write_text("x")
        (outside / name).chmod(0o666)
    with ExitStack() as stack:
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        elsewhere = stack.enter_context(_server_at_the_proxys_port())
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        streams, packets, datagrams = socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM
        names = {"unix": streams, "other_socket": streams, "hub_socket": streams, "unix_packets": packets}
        for name, kind in {**names, "unix_datagram": datagrams}.items():
            end = stack.enter_context(socket.socket(socket.AF_UNIX, kind))
            end.bind(str(root / f"{name}.sock"))
            (root / f"{name}.sock").chmod(0o777)
            if kind != datagrams:
                end.listen()
        abstract = stack.enter_context(socket.socket(socket.AF_UNIX))
        abstract.bind("\0" + root.name)
        abstract.listen()
        victim = stack.enter_context(
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], stdin=subprocess.DEVNULL)
        )
        stack.callback(victim.kill)
        secret = os.open(hub / "hub.db", os.O_RDONLY)
        stack.callback(os.close, secret)
        nothing = os.open("/dev/null", os.O_WRONLY)
        stack.callback(os.close, nothing)
        namespace = os.open("/proc/self/ns/net", os.O_RDONLY)
        stack.callback(os.close, namespace)
        yield {
            "inside": False,
            "own_network": False,
            "other_data": str(other / "diary"),
            "database": str(hub / "hub.db"),
            "database_inode": os.fstat(secret).st_ino,
            "hub_source": str(Path(__file__).resolve().parents[3] / "hub" / "errors.py"),
            "outside": str(outside),
            "movable": str(outside / "movable"),
            "deletable": str(outside / "deletable"),
            "app": str(outside),
            "data": str(root / "control"),
            "real_data": str(root / "control"),
            "sockets": str(outside),
            "temporary": str(root / "control"),
            "victim": victim.pid,
            "setuid": next((path for path in _SETUID_PROGRAMS if Path(path).exists()), "/bin/su"),
            "namespace": namespace,
            "descriptor": secret,
            "tcp": tcp.getsockname()[1],
            "elsewhere": elsewhere.getsockname()[0],
            "loader": _loader_of("/bin/sh"),
            "udp": udp.getsockname()[1],
            "abstract": root.name,
            **{name: str(root / f"{name}.sock") for name in (*names, "unix_datagram")},
            "log_fd": nothing,
            "bomb": _BOMB,
        }


def _server_at_the_proxys_port() -> socket.socket:
    """Return a server at the port to which a spoke with egress may connect, at an address that is not the proxy's."""
    for last in range(2, 250):
        with suppress(OSError):
            return socket.create_server((f"127.77.0.{last}", PROXY_PORT))
    raise OSError(errno.EADDRINUSE, "no loopback address is free")


def _loader_of(program: str) -> str:
    """Return what loads a program; the program, where it is none that a spoke could be given."""
    try:
        (found,) = find_host_programs([program])
    except SandboxUnavailable:
        return program
    return str(found.loader or program)


def seen_from_inside(world: World, spec: SandboxSpec) -> World:
    """Return the world as an app of a spoke knows it."""
    strict = spec.level == STRICT
    return {
        **world,
        "inside": True,
        "own_network": strict,
        "app": str(APP_DIR if strict else spec.app_dir),
        "data": str(DATA_DIR if strict else spec.data_dir),
        "real_data": str(spec.data_dir),
        "sockets": str(SOCKET_DIR if strict else spec.socket_dir),
        "temporary": "/tmp",  # noqa: S108 - where an app would put it
        "log_fd": 1,
        # Until somebody ends it.
        "bomb": {**world["bomb"], "disk_mib": 1024},
    }
