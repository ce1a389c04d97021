"""Reaches out by clients that know nothing of where they are, and runs programs."""

import asyncio
import os
import socket
import ssl
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

from spoke_runner.sdk import App, Call

app = App()
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


def by_requests(url: str) -> str:
    import requests

    return requests.get(url, timeout=5).text


def by_urllib(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - the test's own address
        return str(answer.read().decode())


def by_curl(url: str) -> str:
    return subprocess.run(
        ["/usr/bin/curl", "-sS", "--max-time", "5", url], capture_output=True, text=True, check=True
    ).stdout


CLIENTS = {"requests": by_requests, "urllib": by_urllib, "curl": by_curl}


@app.function
async def get(call: Call, client: str, url: str) -> dict[str, str]:
    try:
        return {"text": await asyncio.to_thread(CLIENTS[client], url)}
    except subprocess.CalledProcessError as error:
        return {"error": str(error.stderr)}
    except (OSError, RuntimeError) as error:
        return {"error": f"{type(error).__name__}: {error}"}


@app.function
async def connect(call: Call, host: str, port: int) -> dict[str, str]:
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError as error:
        return {"error": os.strerror(error.errno) if error.errno else str(error)}
    return {"error": ""}


@app.function
async def trusted(call: Call) -> dict[str, int]:
    return {"count": len(ssl.create_default_context(cafile=CERTIFICATES).get_ca_certs())}


def run_program(line: list[str]) -> dict[str, Any]:
    try:
        ended = subprocess.run(line, capture_output=True, text=True, timeout=10, check=False)
    except OSError as error:
        return {"error": os.strerror(error.errno or 0)}
    return {"code": ended.returncode, "out": ended.stdout, "err": ended.stderr}


@app.function
async def run(call: Call, line: list[str]) -> dict[str, Any]:
    return await asyncio.to_thread(run_program, line)


@app.function
async def write_program(call: Call, content: str) -> dict[str, str]:
    path = Path("/data/program")
    path.write_text(content)
    path.chmod(0o700)
    return {"path": str(path)}
