"""Unmodified HTTP clients on the way out: whatever they do to reach a proxy, this one understands."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import trustme

from tests.support.egress import HOST, Names, Site, WayOut, way_out

Client = Callable[[str, str, str, bytes], tuple[int, bytes]]


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve requests with or without a body of known length, on a kept connection."""
    while head := (await reader.readuntil(b"\r\n\r\n")).lower():
        length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0] or b"0")
        body = b""
        while len(body) < length:
            body += await reader.read(65536)
        said = head.split(b" ")[0] + b" " + body[-10:]
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said))
        await writer.drain()


def by_httpx(proxy: str, url: str, ca: str, body: bytes) -> tuple[int, bytes]:
    with httpx.Client(proxy=proxy, verify=ssl.create_default_context(cafile=ca), trust_env=False) as client:
        replies = [client.post(url, content=body) for _ in range(2)]
    return replies[-1].status_code, replies[-1].content


def by_requests(proxy: str, url: str, ca: str, body: bytes) -> tuple[int, bytes]:
    with requests.Session() as client:
        client.trust_env = False
        client.proxies = {"http": proxy, "https": proxy}
        replies = [client.post(url, data=body, verify=ca, timeout=10) for _ in range(2)]
    return replies[-1].status_code, replies[-1].content


def by_curl(proxy: str, url: str, ca: str, body: bytes) -> tuple[int, bytes]:
    line = ["curl", "-sS", "--max-time", "10", "-x", proxy, "--cacert", ca, "--data-binary", "@-", "-w", "%{http_code}"]
    done = subprocess.run([*line, url, url], input=body, capture_output=True, check=False)
    half = done.stdout[: len(done.stdout) // 2]
    if done.returncode:  # a CONNECT that is refused
        return int(done.stderr.split(b"response ")[1][:3]), b""
    return int(half[-3:]), half[:-3]


@asynccontextmanager
async def outside(root: Path, *, tls: bool) -> AsyncIterator[tuple[WayOut, str, str, Site]]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(root / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if tls else None
    if context is not None:
        authority.issue_cert(HOST).configure_cert(context)
    async with Site(answer).open(ssl=context) as site:
        host = f"{HOST}:{site.port}"
        names = Names(api__example__org=[["127.0.0.1"]], other__example__org=[["127.0.0.1"]])
        async with way_out(root, host, names=names, private=[("127.0.0.1", site.port)]) as out:
            yield out, f"{'https' if tls else 'http'}://{host}/a", str(root / "ca.pem"), site


@pytest.mark.parametrize("size", [5, 300_000])
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("client", [by_httpx, by_requests, by_curl])
async def test_a_client_reaches_a_declared_host(tmp_path: Path, client: Client, tls: bool, size: int) -> None:
    async with outside(tmp_path, tls=tls) as (out, url, ca, site):
        proxy = f"http://127.0.0.1:{out.port}"
        got: Any = await asyncio.to_thread(client, proxy, url, ca, b"x" * size)
        decided = await out.decisions()
    assert got == (200, b"post " + b"x" * min(size, 10))
    # A tunnel carries as many requests as a client likes; plain requests are decided on one by one.
    assert len(decided) == (1 if tls else 2)
    assert site.reached == len(decided)


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("client", [by_httpx, by_requests, by_curl])
async def test_a_client_is_told_that_it_may_not(tmp_path: Path, client: Client, tls: bool) -> None:
    async with outside(tmp_path, tls=tls) as (out, url, ca, site):
        proxy = f"http://127.0.0.1:{out.port}"
        try:
            status, _ = await asyncio.to_thread(client, proxy, url.replace(HOST, "other.example.org"), ca, b"x")
        except (httpx.ProxyError, requests.exceptions.ProxyError) as error:
            status = int("403" in str(error)) * 403
    assert (status, site.reached, out.names.asked) == (403, 0, [])
