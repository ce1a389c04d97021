"""The first stage of a spoke: what runs inside the namespaces before, and around, the app.

It reads its set-up from stdin, seals itself, tries whether the seal holds, reports, and waits for the go of the
launcher, which looks at it from outside meanwhile. Only then is the app's code imported and served, or its program
executed in the place of this one.

Invariants:
    * No app code runs before the go, and the go cannot come from inside: it is a byte on a pipe that only the launcher
      can write to. A launcher that dies closes the pipe, which ends the spoke.
    * When the app's code runs, the only descriptors are stdin (empty), stdout and stderr (pipes to the hub) and the
      report pipe, which is closed once the spoke is ready. What an app may write to that pipe only concerns itself.
    * A program that is executed gets no report pipe, and of the environment what the set-up names.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any, Final, NoReturn

from spoke_runner.sandbox.inside.canaries import try_all
from spoke_runner.sandbox.inside.kernel import LayerMissing
from spoke_runner.sandbox.inside.reaper import stay_as_reaper
from spoke_runner.sandbox.inside.seal import REPORT_FD, arrive, seal

_MAX_SETUP_BYTES: Final = 65536
_NO_GO: Final = 3
_NO_PROGRAM: Final = 126


def main(*, pid: int = 1) -> None:
    """Run the stage; does not return before the app's server ends.

    Args:
        pid: The pid that this process has when it is where it should be.
    """
    setup = _read_setup()
    try:
        if setup["level"] == "none":
            arrive(setup)
        landlock_abi = seal(setup) if setup["level"] != "none" else 0
    except LayerMissing as missing:
        _report(setup, {"missing": {"layer": missing.layer, "why": missing.why, "mend": missing.mend}})
        sys.exit(_NO_GO)
    canaries = try_all(setup, landlock_abi=landlock_abi, pid=pid)
    _report(
        setup,
        {
            "landlock_abi": landlock_abi,
            "canaries": [{"name": name, "expected": expected, "answer": answer} for name, expected, answer in canaries],
        },
    )
    # The launcher judges; that a go came by mistake is the one thing that is judged here as well.
    if os.read(0, 1) != b"g" or not all(answer in expected for _, expected, answer in canaries):
        sys.exit(_NO_GO)
    nothing = os.open("/dev/null", os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    if setup["reaper"] and setup["level"] == "strict":
        # Elsewhere it would be no first process, and with it nothing would end.
        stay_as_reaper()
    if setup["command"] is not None:
        _execute(setup["command"])
    _serve(setup)


def _execute(command: dict[str, Any]) -> NoReturn:
    """Put the app's program in the place of this one."""
    os.set_inheritable(REPORT_FD, False)
    # What Python ignores would stay ignored.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    words = command["words"]
    try:
        os.execve(words[0], words, command["environment"])  # noqa: S606 - its words come from the launcher
    except OSError as error:
        print(f"{words[0]} cannot be executed: {error.strerror}", file=sys.stderr)
    sys.exit(_NO_PROGRAM)


def _serve(setup: dict[str, Any]) -> None:
    # Imported here because all of it, gRPC above all, is better loaded behind the seal than before it.
    import asyncio
    from pathlib import Path

    from spoke_runner.sandbox.places import READY, SOCKET_NAME
    from spoke_runner.sdk.server import serve

    def ready() -> None:
        os.write(REPORT_FD, READY)
        os.close(REPORT_FD)

    app_dir, data_dir, socket_dir = (Path(setup[name]) for name in ("app_dir", "data_dir", "socket_dir"))
    socket_path = socket_dir / SOCKET_NAME
    asyncio.run(
        serve(entry=setup["entry"], app_dir=app_dir, data_dir=data_dir, socket_path=socket_path, on_ready=ready)
    )


def _read_setup() -> dict[str, Any]:
    text = b""
    while not text.endswith(b"\n"):
        piece = os.read(0, _MAX_SETUP_BYTES)
        if not piece:
            sys.exit(_NO_GO)
        text += piece
    setup: dict[str, Any] = json.loads(text)
    return setup


def _report(setup: dict[str, Any], document: dict[str, Any]) -> None:
    os.write(int(setup["report_fd"]), json.dumps(document).encode() + b"\n")
