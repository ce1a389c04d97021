"""Try acts with some of the layers, or none: the control of the escape suite, and how it knows which layer stops what.

Its text is given to an interpreter as `-c`, so it runs wherever the command line puts it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from spoke_runner.sandbox.escape import ACTS, DONE, attempt
from spoke_runner.sandbox.inside import landlock
from spoke_runner.sandbox.inside.kernel import PR_SET_NO_NEW_PRIVS, prctl
from spoke_runner.sandbox.inside.seal import load_filter, own_process_only

ACT_SECONDS = 30


def forked(name: str, world: dict[str, object]) -> str:
    """Try an act in a child, which it may turn into another program or kill."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(ACT_SECONDS)
        os.write(write_end, attempt(name, world).encode())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as file:
        answer = file.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if answer:
        return answer
    # Nothing was said: it became another program, or it was killed.
    return DONE if status >= 0 else signal.Signals(-status).name


def main() -> None:
    order = json.loads(sys.stdin.readline())
    layers, setup, world = order["layers"], order["setup"], order["world"]
    if "seccomp" in layers or "landlock" in layers:
        program = Path(setup["filter"]).read_bytes()
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        if "landlock" in layers:
            landlock.restrict(setup["grants"], port=setup["port"])
        if "seccomp" in layers:
            if setup["level"] == "no-userns":
                load_filter(own_process_only(os.getpid(), os.uname().machine))
            load_filter(program)
    answers = {}
    for name in order["acts"]:
        # Behind a filter without children there are none, and no act that ends the process.
        alone = "seccomp" in layers and "programs" not in setup["profile"]
        answers[name] = attempt(name, world) if alone else forked(name, world)
    print(json.dumps({"answers": answers, "known": sorted(ACTS)}))


main()
