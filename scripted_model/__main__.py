"""`python -m scripted_model SCRIPT`: serve a script until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from pathlib import Path

from rich.console import Console

from scripted_model import Obedient, ScriptedModel, ScriptInvalid, load_script


async def _serve(options: argparse.Namespace, console: Console) -> None:
    script = load_script(options.script)
    brain = Obedient(script) if options.obey else script
    async with ScriptedModel(brain, call_ms=options.call_ms, token_ms=options.token_ms, port=options.port) as model:
        obeys = ", and obeys whatever it reads" if options.obey else ""
        console.print(f"a scripted model, no real one, at {model.base_url}{obeys}", highlight=False)
        await asyncio.Event().wait()


def main() -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m scripted_model", description="Serve a model that plays a script.")
    parser.add_argument("script", type=Path, help="the script, as YAML")
    parser.add_argument("--port", type=int, default=0, help="where to listen on 127.0.0.1 (default: any free port)")
    parser.add_argument("--call-ms", type=float, default=0.0, help="milliseconds before the first byte of an answer")
    parser.add_argument("--token-ms", type=float, default=0.0, help="milliseconds per token of an answer")
    parser.add_argument("--obey", action="store_true", help="follow every instruction that it sees, whoever wrote it")
    console = Console()
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_serve(parser.parse_args(), console))
    except ScriptInvalid as error:
        console.print(str(error), markup=False)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
