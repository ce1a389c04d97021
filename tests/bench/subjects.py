"""What is measured, each in a process of its own: the hub, the same function without it, a spoke without its sandbox.

The module is also the program of the two baselines::

    python -m tests.bench.subjects direct SOCKET
    python -m tests.bench.subjects spoke SOCKET
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
from spokegate.v1 import hub_pb2

from spoke_runner.sdk.server import load_app, serve

PROJECT = Path(__file__).resolve().parents[2]
APP = PROJECT / "apps" / "metro_hail"
ENTRY = "metro_hail:app"
USER = "bench"

_START_SECONDS = 30.0
_STOP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Memory:
    """What a process takes, in MiB: resident, with its share of what others share, and what it shares with nobody."""

    resident: float
    proportional: float
    private: float


def memory_of(pid: int) -> Memory:
    """Read `/proc/PID/smaps_rollup`."""
    kibibytes = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        kibibytes[name] = int(rest.split()[0])
    return Memory(
        resident=kibibytes["Rss"] / 1024,
        proportional=kibibytes["Pss"] / 1024,
        private=(kibibytes["Private_Clean"] + kibibytes["Private_Dirty"]) / 1024,
    )


def write_config(directory: Path, *, apps: int = 1) -> Path:
    """Write the configuration of a hub with so many apps, the one that is called and copies, and return its path."""
    config = {
        "version": 1,
        "state_dir": str(directory / "state"),
        "runtime_dir": str(directory / "run"),
        "policies": [str(PROJECT / "policies"), str(unhurried(directory))],
        "apps": [{"path": str(path), "trust": "reviewed"} for path in (APP, *_copies(directory, apps - 1))],
        "clients": [{"user": USER}],
        # A busy machine must not end the run: what is late is measured, not refused.
        "limits": {"decision_seconds": 10},
    }
    path = directory / "spokegate.yaml"
    path.write_text(json.dumps(config))
    return path


def _copies(directory: Path, count: int) -> list[Path]:
    """Write copies of the app under other names, and return where."""
    manifest = (APP / "app.yaml").read_text()
    paths = [directory / "apps" / f"copy_{number}" for number in range(count)]
    for path in paths:
        shutil.copytree(APP, path)
        (path / "app.yaml").write_text(manifest.replace("name: metro_hail", f"name: {path.name}", 1))
    return paths


def unhurried(directory: Path) -> Path:
    """Write the settings of a site that lets one session call one function as fast as it can, and return where."""
    limits = {
        "budgets": {"max_function_calls": 1000},
        "rate": {"max_session_calls_per_minute": 1_000_000, "max_function_calls_per_minute": 1_000_000},
    }
    loosen = [f"{group}.{name}" for group, members in limits.items() for name in members]
    site = directory / "site"
    site.mkdir()
    (site / "settings.json").write_text(json.dumps({"site": {"settings": {**limits, "loosen": loosen}}}))
    return site


@contextlib.asynccontextmanager
async def hub(directory: Path, config: Path | None = None, *, apps: int = 1) -> AsyncIterator[int]:
    """Run `spokegate up`, and yield its pid once it serves on `<directory>/run/hub.sock`."""
    program = Path(sys.executable).with_name("spokegate")
    line = (str(program), "up", "--format", "json", "--config", str(config or write_config(directory, apps=apps)))
    async with _running(*line) as pid:
        yield pid


@contextlib.asynccontextmanager
async def direct(socket: Path) -> AsyncIterator[int]:
    """Run the app's function behind plain gRPC, and yield its pid once it serves on the socket."""
    async with _running(sys.executable, "-m", "tests.bench.subjects", "direct", str(socket)) as pid:
        yield pid


@contextlib.asynccontextmanager
async def plain_spoke(socket: Path) -> AsyncIterator[int]:
    """Run a spoke's server with nothing around it, by an interpreter that is started as a spoke's is."""
    path = [entry for entry in sys.path if entry.endswith("-packages")]
    code = f"import sys; sys.path += {[str(PROJECT), str(PROJECT / 'proto' / 'gen'), *path]!r}\n"
    code += "from tests.bench.subjects import main; main()"
    flags = ("-I", "-S", "-B", "-u", "-X", "utf8")
    async with _running(str(Path(sys.executable).resolve()), *flags, "-c", code, "spoke", str(socket)) as pid:
        yield pid


@contextlib.asynccontextmanager
async def _running(*line: str) -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(*line, stdout=asyncio.subprocess.PIPE, cwd=PROJECT)
    try:
        async with asyncio.timeout(_START_SECONDS):
            if process.stdout is None or not await process.stdout.readline():
                raise RuntimeError(f"ended before it was ready: {' '.join(line)}")
        yield process.pid
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _serve_direct(socket: Path) -> None:
    """Answer `Invoke` with the app's function and nothing else: same messages, no hub."""
    app = load_app(ENTRY, APP)

    async def invoke(request: hub_pb2.InvokeRequest, _context: object) -> hub_pb2.InvokeResponse:
        function = app.get(request.function.partition(".")[2])
        if function is None:
            raise LookupError(request.function)
        result = await function(None, **json.loads(request.arguments_json))
        return hub_pb2.InvokeResponse(result_json=json.dumps(result))

    handler = grpc.unary_unary_rpc_method_handler(
        invoke, hub_pb2.InvokeRequest.FromString, hub_pb2.InvokeResponse.SerializeToString
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("spokegate.v1.HubService", {"Invoke": handler}),)
    )
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    _say_ready()
    await server.wait_for_termination()


def _say_ready() -> None:
    print("ready", flush=True)


def main() -> None:
    """Serve a baseline until killed."""
    what, socket = sys.argv[1], Path(sys.argv[2])
    if what == "direct":
        asyncio.run(_serve_direct(socket))
    else:
        asyncio.run(serve(entry=ENTRY, app_dir=APP, data_dir=socket.parent, socket_path=socket, on_ready=_say_ready))


if __name__ == "__main__":
    main()
