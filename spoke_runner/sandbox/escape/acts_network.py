"""Acts on the network, and on the sockets of this host."""

from __future__ import annotations

import errno
import os
import socket
import struct

from spoke_runner.sandbox.escape.kit import ROOT, World, act, syscall

AF_VSOCK, AF_NETLINK, AF_PACKET = 40, 16, 17


@act()
def connect_tcp(world: World) -> None:
    socket.create_connection(("127.0.0.1", world["tcp"]), timeout=2).close()


@act()
def send_udp(world: World) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.sendto(b"x", ("127.0.0.1", world["udp"]))


@act()
def connect_unix(world: World) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        end.connect(world["unix"])


@act()
def connect_abstract(world: World) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        end.connect("\0" + world["abstract"])


@act()
def send_unix_datagram(world: World) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.sendto(b"x", world["unix_datagram"])


@act()
def send_datagram_by_socketpair(world: World) -> None:
    first, second = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with first, second:
        first.sendto(b"x", world["unix_datagram"])


@act()
def socket_with_high_bits(world: World) -> None:
    os.close(syscall("socket", AF_NETLINK | (1 << 40), socket.SOCK_RAW, 0))


@act(control=ROOT)
def raw_socket(world: World) -> None:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()


@act(control=ROOT)
def packet_socket(world: World) -> None:
    socket.socket(AF_PACKET, socket.SOCK_RAW).close()


@act()
def netlink_socket(world: World) -> None:
    socket.socket(AF_NETLINK, socket.SOCK_RAW).close()


@act(control="not every kernel has it")
def vsock_socket(world: World) -> None:
    socket.socket(AF_VSOCK, socket.SOCK_STREAM).close()


@act()
def listen_on_tcp(world: World) -> None:
    with socket.socket() as end:
        end.bind(("127.0.0.1", 0))
        end.listen()


@act()
def connect_tcp_by_ipv6(world: World) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as end:
        end.settimeout(2)
        end.connect(("::ffff:127.0.0.1", world["tcp"]))


@act()
def ask_a_name_server(world: World) -> None:
    """Smuggle words out as a name to be looked up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.connect(("127.0.0.1", world["udp"]))
        end.send(struct.pack(">6H", 1, 0x0100, 1, 0, 0, 0) + b"\x06secret\x07example\x00\x00\x01\x00\x01")


@act()
def look_a_name_up(world: World) -> None:
    """As a program does it: the C library reads its files and asks."""
    try:
        socket.getaddrinfo("localhost", 80)
    except socket.gaierror as error:
        raise OSError(errno.EPERM, "no resolver") from error


@act(open_at=("no-userns",))
def squat_on_abstract_name(world: World) -> None:
    """Take a name in the abstract space of the host, where another program would look for a friend."""
    with socket.socket(socket.AF_UNIX) as end:
        end.bind("\0" + world["abstract"] + ".free")
        if world["inside"] and world["own_network"]:
            raise OSError(errno.ENOENT, "the name lies in the spoke's own network namespace")


@act()
def send_descriptor_to_other(world: World) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        end.connect(world["unix"])
        socket.send_fds(end, [b"x"], [0])


@act()
def ask_for_descriptor_of_other(world: World) -> None:
    """A helper outside would hand a descriptor in; it can be reached only by its name."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as end:
        end.connect(world["unix_packets"])


@act()
def reach_socket_of_other_spoke(world: World) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        end.connect(world["other_socket"])


@act()
def reach_socket_of_the_hub(world: World) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        end.connect(world["hub_socket"])


@act()
def replace_socket_of_other_spoke(world: World) -> None:
    os.rename(world["other_socket"], world["other_socket"] + "x")
    os.rename(world["other_socket"] + "x", world["other_socket"])


@act(control="not every kernel has it")
def bluetooth_socket(world: World) -> None:
    socket.socket(31, socket.SOCK_RAW, 1).close()


@act(control="not every kernel has it")
def crypto_socket(world: World) -> None:
    socket.socket(38, socket.SOCK_SEQPACKET).close()
