"""The first process of a spoke that executes programs: it waits for what nobody else waits for, and does nothing else.

A process whose parent has ended becomes a child of the namespace's first. Without somebody there who waits for it, it
stays a zombie, and each zombie counts against the limit of processes.

Tried and rejected:
    * bubblewrap's own reaper: it is not filtered, and here signals can be sent.
    * `cat`, which holds the namespaces of a warm spoke: the same, and it reaps nobody.
    * Ignoring SIGCHLD in the app's process: the kernel reaps then, and nobody learns how a program ended.

Invariants:
    * It is sealed like the rest, because it is a fork from behind the seal, and no app code ever runs in it.
    * It ends with the app's process, and everything in the namespace with it.
"""

from __future__ import annotations

import os
import signal

from spoke_runner.sandbox.inside.seal import REPORT_FD


def stay_as_reaper() -> None:
    """Fork; return in the child, which goes on to be the app, and never in this process."""
    app = os.fork()
    if app == 0:
        return
    # The kernel keeps signals from inside away from the first process only where it has no handler for them.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.close(REPORT_FD)
    while True:
        pid, status = os.wait()
        if pid == app:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)
