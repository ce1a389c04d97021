from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from spoke_runner.sdk import App, Call, Refused

app = App()

CA = Path(__file__).parent / "ca.pem"


@app.function
async def get(call: Call, by: str, url: str) -> Any:
    if by == "fetch":
        try:
            response = await call.fetch(url)
        except Refused as refused:
            return {"refused": refused.reason}
        return {"status": response.status, "body": response.text()}
    try:
        return await asyncio.to_thread(WAYS[by], url)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"[:300]}


@app.function
async def environment(call: Call) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if "proxy" in name.lower()}


def by_httpx(url: str) -> dict[str, Any]:
    import httpx

    context = ssl.create_default_context(cafile=CA) if CA.exists() else True
    response = httpx.get(url, verify=context, timeout=10)
    return {"status": response.status_code, "body": response.text}


def by_requests(url: str) -> dict[str, Any]:
    import requests

    response = requests.get(url, verify=str(CA) if CA.exists() else True, timeout=10)
    return {"status": response.status_code, "body": response.text}


def by_curl(url: str, *options: str) -> dict[str, Any]:
    """Let a program of the host connect, which knows of the proxy by the environment alone."""
    line = ["/usr/bin/curl", "-sS", "--max-time", "10", "--write-out", "\n%{http_code} %{http_connect}", *options]
    if CA.exists():
        line += ["--cacert", str(CA)]
    done = subprocess.run([*line, url], capture_output=True, text=True, check=False)
    body, _, codes = done.stdout.rpartition("\n")
    status, connected = map(int, codes.split())
    # Where the tunnel is refused there is no response but that of the proxy.
    return {"status": status or connected, "body": body} if status or connected else {"error": done.stderr}


def by_curl_past_the_proxy(url: str) -> dict[str, Any]:
    return by_curl(url, "--noproxy", "*")


def by_socket(url: str) -> dict[str, Any]:
    """Connect past the proxy."""
    import socket

    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=5) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return {"status": 200, "body": connection.recv(1000).decode()}


WAYS: dict[str, Callable[[str], dict[str, Any]]] = {
    "httpx": by_httpx,
    "requests": by_requests,
    "curl": by_curl,
    "curl_past_the_proxy": by_curl_past_the_proxy,
    "socket": by_socket,
}
