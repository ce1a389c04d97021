"""The environment of the lab: unprotected apps run in its process, and must find no credential there."""

from __future__ import annotations

import os
import sys

from hub.lab.unprotected import credentials_in


def leave_credentials_behind() -> None:
    """Begin this program anew without the variables that hold credentials, if there are any.

    To delete them would not do: what a process was started with stays readable in it.
    """
    if found := credentials_in(os.environ):
        kept = {name: value for name, value in os.environ.items() if name not in found}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], kept)  # noqa: S606 - itself
