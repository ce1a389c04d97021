"""The commands on grants: what you have agreed to."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from spokegate.v1 import decision_pb2

from hub.cli.output import Format, FormatOption, SocketOption, as_dict, cell, out, print_json, run
from hub.client import HubClient

app = typer.Typer(no_args_is_help=True, help="List, show and revoke what you have agreed to.")

GrantArgument = Annotated[str, typer.Argument(metavar="ID", help="The grant's id.")]


@app.command(name="list")
def list_grants(
    ended: Annotated[bool, typer.Option("--ended", help="List ended grants too.")] = False,
    session: Annotated[str, typer.Option("--session", help="Only those given in this session.")] = "",
    socket: SocketOption = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """List them, newest first."""

    async def work() -> None:
        async with HubClient(socket) as client:
            found = await client.grants(session_id=session, include_ended=ended)
        if form is Format.JSON:
            print_json([as_dict(grant) for grant in found])
            return
        for grant in found:
            out.print(_in_short(grant), soft_wrap=False)

    run(work(), form)


@app.command()
def show(grant: GrantArgument, socket: SocketOption = None, form: FormatOption = Format.TEXT) -> None:
    """Show one in full, whether it holds or not."""

    async def work() -> None:
        async with HubClient(socket) as client:
            found = await client.grant(grant)
        if form is Format.JSON:
            print_json(as_dict(found))
        else:
            out.print(_in_full(found), soft_wrap=False)

    run(work(), form)


@app.command()
def revoke(grant: GrantArgument, socket: SocketOption = None, form: FormatOption = Format.TEXT) -> None:
    """End one at once, in running sessions too."""

    async def work() -> None:
        async with HubClient(socket) as client:
            ended = await client.revoke(grant)
        if form is Format.JSON:
            print_json(as_dict(ended))
        else:
            out.print(Text.assemble(f"{ended.grant_id} ", (f"{ended.end_reason} {_time(ended.end_time)}", "dim")))

    run(work(), form)


def _in_short(grant: decision_pb2.Grant) -> Group:
    given = f"given {_time(grant.create_time)} after {grant.decision_id}"
    return Group(
        Text.assemble(cell(grant.grant_id, "bold"), "  ", _holds(grant)),
        Padding(cell(grant.covers), (0, 0, 0, 2)),
        Padding(cell(given, "dim"), (0, 0, 0, 2)),
    )


def _in_full(grant: decision_pb2.Grant) -> Table:
    constraint = ", ".join(f"{pointer} = {value}" for pointer, value in grant.constraint_json.items())
    labels = [*grant.labels.confidentiality, *grant.labels.integrity]
    rows: dict[str, str | Text] = {
        "grant": grant.grant_id,
        "holds": _holds(grant),
        "covers": grant.covers,
        "for": f"{grant.caller} > {grant.function}",
        "arguments": grant.arguments_digest or constraint or "any",
        "labels": ", ".join(labels) or "none; a request that carries any is not covered",
        "uses left": str(grant.uses_left) if grant.HasField("uses_left") else "any number",
        "given": f"{_time(grant.create_time)}, in session {grant.session_id}",
        "decision": grant.decision_id,
        "asking app": grant.caller_digest or "none: you",
        "serving app": grant.target_digest,
    }
    made = Table.grid(padding=(0, 2))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows.items():
        made.add_row(name, value if isinstance(value, Text) else cell(value))
    return made


def _holds(grant: decision_pb2.Grant) -> Text:
    scope = decision_pb2.GrantScope.Name(grant.scope).removeprefix("GRANT_SCOPE_").lower()
    if grant.HasField("end_time"):
        return Text(f"{grant.end_reason} {_time(grant.end_time)}", style="dim")
    words = f"{scope} {_time(grant.expire_time)}" if grant.HasField("expire_time") else scope
    if grant.HasField("uses_left") and grant.scope != decision_pb2.GRANT_SCOPE_ONCE:
        words += f", {json.dumps(grant.uses_left)} uses left"
    return Text(words, style="green")


def _time(of: Timestamp) -> str:
    return f"{of.ToDatetime():%Y-%m-%d %H:%M} UTC"
