"""A real OPA server as somebody else runs it: over TCP, with a token and the policy of `docs/opa.md`."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from hub.config import PROJECT_ROOT, OpaConfig
from hub.opa.binary import find_opa
from hub.opa.bundle import run_opa
from tests.support.live import POLICIES

TOKEN = "hub-1-token"
CLOSED = ("--authentication=token", "--authorization=basic")


def authorization() -> str:
    """Return the policy that the documentation gives."""
    [policy] = re.findall(r"```rego\n(.*?)```", (PROJECT_ROOT / "docs" / "opa.md").read_text(), re.DOTALL)
    return str(policy)


@dataclass
class RemoteServer:
    """The server, and how a hub is told of it."""

    root: Path
    port: int
    scheme: str = "http"
    process: asyncio.subprocess.Process | None = None

    def config(self, *, token: str = TOKEN, ca_file: Path | None = None) -> OpaConfig:
        """Return a hub's configuration for it."""
        file = self.root / f"token-{hashlib.sha256(token.encode()).hexdigest()[:8]}"
        file.write_text(token + "\n")
        file.chmod(0o600)
        host = "localhost" if self.scheme == "https" else "127.0.0.1"
        return OpaConfig(url=f"{self.scheme}://{host}:{self.port}", token_file=file, ca_file=ca_file)

    async def load(self, *policies: Path, revision: str) -> None:
        """Give it policies; where it runs, it takes them by itself."""
        binary, fresh = find_opa(PROJECT_ROOT).path, self.root / "fresh.tar.gz"
        sources = map(str, (*(policies or (POLICIES,)), self.root / "remote"))
        options = ("--ignore", "*_test.rego", "--output", str(fresh), *(("--revision", revision) if revision else ()))
        await run_opa(binary, "build", *sources, *options, seconds=60)
        (self.root / "bundle").mkdir(exist_ok=True)
        fresh.replace(self.root / "bundle" / "bundle.tar.gz")

    async def start(self, *options: str) -> None:
        """Start it, and wait until it listens."""
        self.process = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "KILL", "--", str(find_opa(PROJECT_ROOT).path), "run", "--server"),
            *("--addr", f"127.0.0.1:{self.port}", "--log-level", "error", "--skip-version-check", "--watch"),
            *(*options, "--bundle", str(self.root / "bundle" / "bundle.tar.gz")),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(20):
            while True:
                assert self.process.returncode is None, "opa ended at its start"
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except ConnectionError:
                    await asyncio.sleep(0.02)
                    continue
                writer.close()
                return

    async def stop(self) -> None:
        """Kill it."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


@asynccontextmanager
async def remote_opa(
    root: Path, *options: str, revision: str = "r-1", policies: tuple[Path, ...] = (), tls: bool = False
) -> AsyncIterator[RemoteServer]:
    """Run one while the context is open; by default it takes the token and nothing else."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    server = RemoteServer(root, port, scheme="https" if tls else "http")
    (root / "remote").mkdir()
    (root / "remote" / "authz.rego").write_text(authorization())
    (root / "remote" / "data.json").write_text(json.dumps({"hubs": [hashlib.sha256(TOKEN.encode()).hexdigest()]}))
    await server.load(*policies, revision=revision)
    try:
        await server.start(*(options or CLOSED))
        yield server
    finally:
        await server.stop()
