"""A hub in a process of its own, which a test may kill."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hub.config import PROJECT_ROOT


@dataclass(frozen=True, slots=True)
class Running:
    """A hub in a process of its own."""

    socket: Path
    process: asyncio.subprocess.Process


def written(directory: Path, *apps: Path, **more: Any) -> Path:
    """Write the configuration of a hub with these apps, of alice, that keeps all in the directory; return its path."""
    document = {
        "state_dir": "state",
        "runtime_dir": "run",
        "policies": [str(PROJECT_ROOT / "policies")],
        "apps": [{"path": str(app), "trust": "reviewed"} for app in apps],
        "clients": [{"user": "alice"}],
        **more,
    }
    path = directory / "spokegate.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


@asynccontextmanager
async def running(config: Path) -> AsyncIterator[Running]:
    """Run a hub in a process of its own while the context is open."""
    process = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("spokegate")), "up", "--config", str(config), "--format", "json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            ready = json.loads(await process.stdout.readline())
        yield Running(Path(ready["sockets"][0]), process)
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(20):
            await process.wait()
