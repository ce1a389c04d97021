"""An app that looks where it should not, and reports what the sandbox answered."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

from spoke_runner.sdk import App, Call

app = App()


@app.function
async def read_path(call: Call, path: str) -> dict[str, object]:
    """Try to read a file."""
    return _attempt(lambda: _read(path))


@app.function
async def list_path(call: Call, path: str) -> dict[str, object]:
    """Try to list a directory."""
    return _attempt(lambda: os.listdir(path))  # noqa: PTH208 -- what an intruder would call


@app.function
async def open_socket(call: Call, host: str, port: int) -> dict[str, object]:
    """Try to connect to a host."""
    return _attempt(lambda: _connect(host, port))


def _read(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(1)


def _connect(host: str, port: int) -> None:
    # A socket of its own first, so that the answer is about sockets and not about looking up names.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
        connection.settimeout(2)
        connection.connect((host, port))


def _attempt(act: Callable[[], object]) -> dict[str, object]:
    try:
        act()
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, type(error).__name__)
        return {"ok": False, "error": f"{name} {error.strerror or ''}".strip()[:300]}
    except ValueError as error:  # a path with NUL
        return {"ok": False, "error": str(error)[:300]}
    return {"ok": True, "error": ""}
