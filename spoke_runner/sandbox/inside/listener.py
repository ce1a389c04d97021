"""The door to the hub's proxy: a listener in the spoke's own network namespace, which the spoke only opens.

A socket stays in the namespace that it was made in, whoever holds it. So the hub, to which the descriptor goes, accepts
inside the spoke's namespace: no program in between, no file in the sandbox, and no question which spoke connects.

Invariants:
    * It is opened and handed over before the seal, when no app code has run, and this process keeps no descriptor of
      it; the canaries look.
    * Nothing else can listen on its port while the hub holds it: it shares the port with nobody.
"""

from __future__ import annotations

import os
import socket
from typing import Final

from spoke_runner.sandbox.inside.kernel import LayerMissing
from spoke_runner.sandbox.places import LISTENER, PROXY_HOST

_BACKLOG: Final = 32
"""How many connections the kernel keeps that the hub has not accepted yet."""


def hand_over(report_fd: int, port: int) -> None:
    """Open the listener and send its descriptor to the launcher.

    Raises:
        LayerMissing: The network namespace has no loopback, or somebody listens there already.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        try:
            listener.bind((PROXY_HOST, port))
            listener.listen(_BACKLOG)
        except OSError as error:
            raise LayerMissing(
                "egress",
                f"no listener on {PROXY_HOST}:{port} in the network namespace: {error.strerror}",
                "update bubblewrap: it should bring the loopback up",
            ) from error
        with socket.socket(fileno=os.dup(report_fd)) as report:
            socket.send_fds(report, [LISTENER], [listener.fileno()])
