"""Make sure that what came from a spoke as its listener is one, before the hub's proxy accepts on it.

Tried and rejected:
    * `SO_NETNS_COOKIE`: it tells namespaces apart, and nothing outside says which cookie is the spoke's.
    * `SIOCGSKNS`: it names the namespace, but asks for a capability in it that not every hub has.

Invariants:
    * A listener is a TCP socket that the kernel lists, listening at the proxy's address, in the network namespace of
      the process that is the spoke; by its inode, which no two sockets have.
"""

from __future__ import annotations

import os
import select
import socket
from pathlib import Path
from typing import Final

from spoke_runner.sandbox.places import PROXY_HOST, PROXY_PORT

_LISTENING: Final = "0A"
# As /proc/net/tcp writes it: the address as a number of the machine's own byte order, both in hexadecimal.
_ADDRESS: Final = f"{int.from_bytes(socket.inet_aton(PROXY_HOST), 'little'):08X}:{PROXY_PORT:04X}"
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
        inode = os.fstat(listener.fileno()).st_ino
        with (Path("/proc") / str(pid) / "net" / "tcp").open() as file:
            table = file.read(_MAX_TABLE_BYTES)
    except OSError as error:
        return f"the egress listener cannot be looked at: {error}"
    if _ended(pidfd):
        return "the spoke ended while its egress listener was looked at"
    for line in table.splitlines()[1:]:
        words = line.split()
        if len(words) > 9 and words[9] == str(inode):
            if words[1] == _ADDRESS and words[3] == _LISTENING:
                return ""
            return f"the egress listener is at {words[1]} in state {words[3]}, not listening at {_ADDRESS}"
    return "the egress listener is no TCP socket of the spoke's network namespace"


def _ended(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))
