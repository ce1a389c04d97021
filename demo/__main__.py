"""Run the demo: a real hub, a real OPA and real sandboxed apps, in a directory of its own that is removed again."""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
import time
from pathlib import Path

import structlog
from rich.console import Console

from demo.narrator import Narrator
from demo.opening import open_with_attacks
from demo.story import Story
from hub.app import serve
from hub.client import HubClient
from hub.config import load_config
from hub.errors import SpokegateError
from hub.opa.binary import OpaBinaryError
from lab.environment import leave_credentials_behind

_CONFIG = Path(__file__).parent / "spokegate.yaml"


async def _tell(console: Console) -> None:
    began = time.perf_counter()
    await open_with_attacks(Narrator(console))
    with tempfile.TemporaryDirectory(prefix="spokegate-demo-") as scratch:
        directory = Path(scratch)
        config = load_config(_CONFIG).model_copy(
            update={"state_dir": directory / "state", "runtime_dir": directory / "run"}
        )
        starts = time.perf_counter()
        async with serve(config) as hub, HubClient(hub.socket) as client:
            up = time.perf_counter()
            console.print(f"\nA hub and its OPA are up ({(up - starts) * 1000:.0f} ms).", style="dim")
            await Story(hub, client, console).tell()
    console.print(f"\nThe whole story took {time.perf_counter() - began:.1f} s.", style="dim")


def main() -> None:
    """Run the demo."""
    leave_credentials_behind()
    # The apps fail on purpose here, and the story says so in its own words.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    console = Console(highlight=False, width=100)
    try:
        asyncio.run(_tell(console))
    except (SpokegateError, OpaBinaryError) as error:
        Console(stderr=True, highlight=False).print(str(error), style="red", markup=False)
        sys.exit(5)


if __name__ == "__main__":
    main()
