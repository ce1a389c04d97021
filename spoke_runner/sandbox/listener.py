"""Make sure that what came from a spoke as its listener is one, before the hub's proxy accepts on it.

Tried and rejected:
    * `SO_NETNS_COOKIE`: it tells namespaces apart, and nothing outside says which cookie is the spoke's.
    * `/proc/PID/net/tcp` alone: to read it the kernel walks the connections of the whole host, which takes longer than
      all the rest of the judgement.

Invariants:
    * A listener is a TCP socket that listens at the proxy's address in the network namespace of the process that is the
      spoke; the kernel says each of it, and nobody inside.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
from pathlib import Path
from typing import Final

from spoke_runner.sandbox.places import PROXY_HOST, PROXY_PORT

_SIOCGSKNS: Final = 0x894C
_FACTS: Final = {
    "domain": (socket.SO_DOMAIN, socket.AF_INET),
    "type": (socket.SO_TYPE, socket.SOCK_STREAM),
    "protocol": (socket.SO_PROTOCOL, socket.IPPROTO_TCP),
    "listening": (socket.SO_ACCEPTCONN, 1),
}
_MAX_TABLE_BYTES: Final = 1 << 20


def fault(listener: socket.socket | None, *, pid: int, pidfd: int) -> str:
    """Return what is wrong with a spoke's listener; nothing when it is what it should be.

    Args:
        listener: What came.
        pid: The spoke, which does not run yet.
        pidfd: The same, held.
    """
    if listener is None:
        return "the egress listener did not come"
    try:
        for name, (option, wanted) in _FACTS.items():
            if (found := listener.getsockopt(socket.SOL_SOCKET, option)) != wanted:
                return f"the egress listener is no listening TCP socket: its {name} is {found}, not {wanted}"
        try:
            own = made_in(listener, pid)
        except PermissionError:
            own = listed(listener, pid)
        address = listener.getsockname()
    except OSError as error:
        return f"the egress listener cannot be looked at: {error}"
    if _ended(pidfd):
        return "the spoke ended while its egress listener was looked at"
    if not own:
        return "the egress listener is not of the spoke's network namespace"
    if address != (PROXY_HOST, PROXY_PORT):
        return f"the egress listener is at {address[0]}:{address[1]}, not at {PROXY_HOST}:{PROXY_PORT}"
    return ""


def made_in(listener: socket.socket, pid: int) -> bool:
    """Return whether a socket is of the network namespace of a process.

    Raises:
        PermissionError: The kernel tells only who has CAP_NET_ADMIN there: root, and whoever made the namespace.
    """
    namespace = fcntl.ioctl(listener, _SIOCGSKNS)
    try:
        return os.path.samestat(os.fstat(namespace), (Path("/proc") / str(pid) / "ns" / "net").stat())
    finally:
        os.close(namespace)


def listed(listener: socket.socket, pid: int) -> bool:
    """Return the same, for a hub that is root without that capability: the namespace's table has the socket's inode."""
    inode = str(os.fstat(listener.fileno()).st_ino)
    with (Path("/proc") / str(pid) / "net" / "tcp").open() as file:
        table = file.read(_MAX_TABLE_BYTES)
    return any(line.split()[9:10] == [inode] for line in table.splitlines()[1:])


def _ended(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))
