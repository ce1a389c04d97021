"""Acts that only begin where TCP sockets can be made: around the one port, and through what is near TCP."""

from __future__ import annotations

import errno
import os
import socket
import stat

from spoke_runner.sandbox.escape.kit import World, act
from spoke_runner.sandbox.places import PROXY_HOST, PROXY_PORT

IPPROTO_SCTP, IPPROTO_SMC, IPPROTO_MPTCP = 132, 256, 262
TCP_ULP = 31
MSG_FASTOPEN = 0x2000_0000
SO_REUSEPORT = 15


@act()
def connect_to_the_proxys_port_elsewhere(world: World) -> None:
    """Landlock knows ports and no addresses."""
    socket.create_connection((world["elsewhere"], PROXY_PORT), timeout=2).close()


@act()
def connect_by_its_first_data(world: World) -> None:
    """Open a connection without ever calling `connect`."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as end:
        end.sendto(b"x", MSG_FASTOPEN, ("127.0.0.1", world["tcp"]))


def connect_over(world: World, protocol: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol) as end:
        end.settimeout(2)
        end.connect(("127.0.0.1", world["tcp"]))


@act(control="not every kernel has it")
def connect_by_multipath_tcp(world: World) -> None:
    """What landlock does not take for TCP."""
    connect_over(world, IPPROTO_MPTCP)


@act(control="not every kernel has it")
def connect_by_shared_memory_tcp(world: World) -> None:
    connect_over(world, IPPROTO_SMC)


@act(control="not every kernel has it")
def connect_by_sctp(world: World) -> None:
    connect_over(world, IPPROTO_SCTP)


@act(control="not every kernel has it")
def put_a_protocol_onto_tcp(world: World) -> None:
    with socket.create_connection(("127.0.0.1", world["tcp"]), timeout=2) as end:
        end.setsockopt(socket.IPPROTO_TCP, TCP_ULP, b"tls")


@act(control="not every kernel has it")
def put_a_protocol_onto_a_new_socket(world: World) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as end:
        end.setsockopt(socket.IPPROTO_TCP, TCP_ULP, b"tls")


@act()
def listen_where_the_kernel_chooses(world: World) -> None:
    """Without a `bind`, which landlock would see; somebody has to reach it to make it worth something."""
    with socket.socket() as end, socket.socket() as visitor:
        end.listen()
        visitor.settimeout(2)
        visitor.connect(("127.0.0.1", end.getsockname()[1]))
        end.accept()[0].close()


@act(control="another program may listen there")
def listen_at_the_proxys_port(world: World) -> None:
    """Be the proxy for whatever else runs in this spoke, or get what was meant for the hub."""
    with socket.socket() as end:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        end.setsockopt(socket.SOL_SOCKET, SO_REUSEPORT, 1)
        end.bind((PROXY_HOST, PROXY_PORT))
        end.listen()


@act()
def find_the_listener(world: World) -> None:
    """Accept, in the hub's place, or hand it on."""
    planted = None if world["inside"] else socket.create_server(("127.0.0.1", 0))
    try:
        for number in range(1024):
            try:
                if not stat.S_ISSOCK(os.fstat(number).st_mode):
                    continue
            except OSError:
                continue
            with socket.socket(fileno=os.dup(number)) as end:
                of_the_internet = end.family in (socket.AF_INET, socket.AF_INET6)
                if of_the_internet and end.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    return
        raise OSError(errno.ENOENT, "no descriptor of it is left")
    finally:
        if planted is not None:
            planted.close()


@act()
def broadcast(world: World) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        end.sendto(b"x", ("127.255.255.255", world["udp"]))


@act()
def connect_by_unix_from_a_socket_of_ones_own_name(world: World) -> None:
    """As a server tells its clients apart: by where they come from."""
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(world["sockets"] + f"/own-{os.getpid()}.sock")
        try:
            end.connect(world["hub_socket"])
        finally:
            os.unlink(world["sockets"] + f"/own-{os.getpid()}.sock")
