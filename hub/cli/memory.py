"""The commands on memory: what apps, and the hub, remember of you."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.padding import Padding
from rich.text import Text
from spokegate.v1 import hub_pb2

from hub.cli.output import Exit, Format, FormatOption, SocketOption, cell, err, out, print_json, run
from hub.client import HubClient

app = typer.Typer(no_args_is_help=True, help="Export and forget what is remembered of you.")

AppArgument = Annotated[str, typer.Argument(metavar="[APP]", help="Whose memory; `hub` for the hub's own.")]


@app.command()
def export(app: AppArgument = "", socket: SocketOption = None, form: FormatOption = Format.TEXT) -> None:
    """Give what is remembered: all of it, or what one app remembers."""

    async def work() -> None:
        async with HubClient(socket) as client:
            found = [item async for item in client.export_memory(app)]
        if form is Format.JSON:
            print_json([_as_json(item) for item in found])
            return
        of = ""
        for item in found:
            if item.app != of:
                out.print(cell(of := item.app, "bold"))
            out.print(_in_words(item), soft_wrap=False)

    run(work(), form)


@app.command()
def forget(
    app: AppArgument = "",
    key: Annotated[str, typer.Option("--key", help="Only the entry under this key.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="What every app and the hub remember.")] = False,
    socket: SocketOption = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Forget what one app remembers, one entry of it, or everything."""
    if everything == bool(app) or (everything and key):
        err.print(Text("name an app, or say --all to forget what every app and the hub remember", style="red"))
        raise typer.Exit(Exit.USAGE)

    async def work() -> None:
        async with HubClient(socket) as client:
            forgotten = await client.forget_memory(app, key)
        if form is Format.JSON:
            print_json({"forgotten": forgotten})
        else:
            out.print(Text(f"{forgotten} forgotten"))

    run(work(), form)


def _as_json(item: hub_pb2.ExportMemoryResponse) -> dict[str, Any]:
    what: dict[str, Any] = {
        "entry": {"key": item.entry.key, "value": json.loads(item.entry.value_json or "null")},
        "turn": {"role": item.turn.role, "text": item.turn.text},
        "summary": item.summary,
    }
    kind = item.WhichOneof("what") or "summary"
    labels = {"confidentiality": list(item.labels.confidentiality), "integrity": list(item.labels.integrity)}
    return {"app": item.app, kind: what[kind], "labels": labels, "stored": item.store_time.ToJsonString()}


def _in_words(item: hub_pb2.ExportMemoryResponse) -> Padding:
    match item.WhichOneof("what"):
        case "entry":
            name, text = item.entry.key, item.entry.value_json
        case "turn":
            name, text = item.turn.role, item.turn.text
        case _:
            name, text = "summary", item.summary
    labels = [*item.labels.confidentiality, *item.labels.integrity]
    line = Text.assemble(
        (f"{item.store_time.ToDatetime():%Y-%m-%d %H:%M} ", "dim"), cell(name, "cyan"), "  ", cell(text)
    )
    return Padding(Group(line, *([cell(", ".join(labels), "yellow")] if labels else [])), (0, 0, 0, 2))
