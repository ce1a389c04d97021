"""A spoke's way out for tests: real proxy, mediator, OPA and connector; hosts, names and the spoke are the test's."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from hub.config import PROJECT_ROOT
from hub.mediation.asks import SpokeAsks, SpokeConnects
from hub.mediation.caller import spoke_caller
from hub.mediation.pdp import OpaPdp, Pdp
from hub.opa.binary import find_opa
from hub.opa.bundle import PolicyBundle
from hub.opa.process import OpaProcess
from hub.spokes.egress.addresses import parse_address
from hub.spokes.egress.connector import EgressConnector
from hub.spokes.egress.exchange import EgressLimits
from hub.spokes.egress.proxy import EgressProxy
from hub.spokes.registry import Installed
from spoke_runner.sdk import App
from tests.support.apps import function, write_app
from tests.support.desk import Desk, desk
from tests.support.live import ALLOW_ALL, POLICIES, policies_of, workplace
from tests.support.pdp import FakePdp

HOST = "api.example.org"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request, without looking at its body."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Kept: yes\r\n\r\nhello")
    await writer.drain()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back whatever comes."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


class Site:
    """A host outside, on loopback: what it was sent is kept, connection by connection."""

    def __init__(self, handler: Handler) -> None:
        self.heads: list[bytes] = []
        self._handler = handler
        self.port = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def reached(self) -> int:
        """How many connections it has had."""
        return len(self.heads)

    def forget(self) -> None:
        """Count anew; what connections of before still bring is not looked at."""
        self.heads = []

    @asynccontextmanager
    async def open(self, address: str = "127.0.0.1", port: int = 0, **options: Any) -> AsyncIterator[Site]:
        server = await asyncio.start_server(self._serve, address, port, **options)
        self.port = int(server.sockets[0].getsockname()[1])
        try:
            yield self
        finally:
            server.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        heads, index = self.heads, len(self.heads)
        heads.append(b"")
        tee = _Tee(reader, lambda data: heads.__setitem__(index, heads[index] + data))
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._handler(cast(asyncio.StreamReader, tee), writer)
        writer.close()


class _Tee:
    def __init__(self, reader: asyncio.StreamReader, keep: Callable[[bytes], None]) -> None:
        self._reader = reader
        self._keep = keep

    async def read(self, count: int) -> bytes:
        data = await self._reader.read(count)
        self._keep(data)
        return data

    async def readuntil(self, separator: bytes) -> bytes:
        data = await self._reader.readuntil(separator)
        self._keep(data)
        return data


class Names:
    """Stands in for the resolver: each query is kept, and answered with the next of the name's answers."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self.asked: list[str] = []
        self._answers = {name.replace("__", "."): list(given) for name, given in answers.items()}

    def say(self, name: str, *answers: Sequence[str]) -> None:
        self._answers[name] = list(answers)

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        answers = self._answers.get(host, [])
        if not answers:
            raise OSError(f"no such name: {host}")
        return answers.pop(0) if len(answers) > 1 else answers[0]


@dataclass
class WayOut:
    """What a test works with."""

    desk: Desk
    names: Names
    port: int
    connects: SpokeConnects
    asks: SpokeAsks
    proxy: EgressProxy
    clients: list[asyncio.StreamWriter] = field(default_factory=list)

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect as the spoke does."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.clients.append(writer)
        return reader, writer

    async def say(self, data: bytes, *, seconds: float = 5.0) -> bytes:
        """Send this, and return all that comes back."""
        reader, writer = await self.open()
        writer.write(data)
        with suppress(ConnectionError):
            await writer.drain()
        return await all_of(reader, seconds)

    async def outcomes(self) -> list[dict[str, Any]]:
        """Return the outcomes on record."""
        return [body for _, _, body in await self.desk.rows("outcome")]

    async def decisions(self) -> list[dict[str, Any]]:
        """Return the decisions to connect on record."""
        return [body for _, _, body in await self.desk.rows("decision") if body["action"] == "connect"]


async def all_of(reader: asyncio.StreamReader, seconds: float = 5.0) -> bytes:
    """Return what comes until the end, or until it was reset."""
    found = bytearray()
    async with asyncio.timeout(seconds):
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                found += data
    return bytes(found)


def status_of(answer: bytes) -> int:
    """Return the status of an HTTP response."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def get(host: str, path: str = "/", *, header: str | None = None) -> bytes:
    """Return a request to a proxy for a plain http URL, after which the client closes."""
    return f"GET http://{host}{path} HTTP/1.1\r\nHost: {header or host}\r\nConnection: close\r\n\r\n".encode()


@asynccontextmanager
async def shipped_pdp(policies: Path = POLICIES) -> AsyncIterator[Pdp]:
    """Run a real OPA with these policies."""
    async with AsyncExitStack() as stack:
        root = await stack.enter_async_context(workplace())
        opa = find_opa(PROJECT_ROOT).path
        bundle = PolicyBundle(opa, (policies,), root / "bundle")
        await bundle.build()
        pdp = await stack.enter_async_context(OpaPdp(root / "opa.sock", timeout_seconds=5))
        await stack.enter_async_context(
            OpaProcess(
                opa=opa,
                bundle=bundle.path,
                socket_path=root / "opa.sock",
                healthy=pdp.healthy,
                on_event=lambda what: None,
            )
        )
        yield pdp


@asynccontextmanager
async def way_out(
    root: Path,
    *egress: str,
    names: Names | None = None,
    private: Sequence[tuple[str, int]] = (),
    pdp: Pdp | None = None,
    open_to_all: bool = False,
    limits: EgressLimits | None = None,
    trust: Any = "reviewed",
    clearance: tuple[str, ...] = (),
    connector: type[EgressConnector] = EgressConnector,
    ca_file: Path | None = None,
    code: Mapping[str, App] | None = None,
    **manifest: Any,
) -> AsyncIterator[WayOut]:
    """Open a proxy for the app `reach`, which declares this egress; by the shipped policies or ones that allow all."""
    async with AsyncExitStack() as stack:
        limits = limits or EgressLimits(refusal_seconds=0.02)
        names = names or Names()
        path = write_app(root / "apps", "reach", {"do": function()}, egress=list(egress), **manifest)
        if pdp is None:
            policies = policies_of(root / "open", ALLOW_ALL) if open_to_all else POLICIES
            pdp = await stack.enter_async_context(shipped_pdp(policies))
        door = connector(
            limits=limits,
            private_addresses=[(parse_address(address), port) for address, port in private],
            ca_file=ca_file,
            resolve=names.resolve,
        )
        installed = [Installed(path=path, trust=trust, clearance=clearance)]
        at = await stack.enter_async_context(desk(installed, code or {}, cast(FakePdp, pdp), door))
        app = at.registry.apps["reach"]
        connects = SpokeConnects(at.mediator, at.session, app)
        deadline = asyncio.get_running_loop().time() + 30
        asks = SpokeAsks(at.mediator, spoke_caller(at.session, app, deadline=deadline))
        listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        stack.callback(listener.close)
        listener.setblocking(False)
        proxy = EgressProxy(listener, connects, limits)
        stack.push_async_callback(proxy.close)
        out = WayOut(at, names, listener.getsockname()[1], connects, asks, proxy)
        yield out
        for client in out.clients:
            client.close()
