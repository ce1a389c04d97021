"""The commands on user data: what apps may be told of you, where the policies let them."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer
from rich.text import Text

from hub.cli.output import Format, FormatOption, SocketOption, cell, out, print_json, run, table
from hub.client import HubClient

app = typer.Typer(no_args_is_help=True, help="Set, list and delete what apps may be told of you.")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The attribute, such as email or birth_date.")]


@app.command(name="set")
def set_attribute(
    name: NameArgument,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="The value, as text; - reads it from stdin.")],
    tag: Annotated[
        list[str] | None, typer.Option("--tag", help="Who may know it, such as contact or health; may be repeated.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The value is JSON, not text.")] = False,
    socket: SocketOption = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Set an attribute. An app learns it only where its tags are among what the app is cleared for."""
    text = sys.stdin.read().removesuffix("\n") if value == "-" else value
    try:
        held = json.loads(text) if as_json else text
    except json.JSONDecodeError as error:
        raise typer.BadParameter(f"--json: not JSON: {error}") from None

    async def work() -> None:
        async with HubClient(socket) as client:
            await client.set_user_data(name, held, tag or [])
        if form is Format.JSON:
            print_json({"name": name})
        else:
            out.print(Text.assemble(cell(name, "bold"), (" set", "dim")))

    run(work(), form)


@app.command(name="list")
def list_attributes(socket: SocketOption = None, form: FormatOption = Format.TEXT) -> None:
    """List your attributes."""

    async def work() -> None:
        async with HubClient(socket) as client:
            found = await client.user_data()
        if form is Format.JSON:
            print_json(
                [
                    {"name": of.name, "value": json.loads(of.value_json), "confidentiality": list(of.confidentiality)}
                    for of in found
                ]
            )
            return
        listed = table("name", "value", "tags")
        for of in found:
            listed.add_row(cell(of.name, "bold"), cell(of.value_json), cell(", ".join(of.confidentiality), "yellow"))
        if found:
            out.print(listed, soft_wrap=False)

    run(work(), form)


@app.command(name="delete")
def delete_attribute(name: NameArgument, socket: SocketOption = None, form: FormatOption = Format.TEXT) -> None:
    """Delete an attribute. What an app was told already, it knows."""

    async def work() -> None:
        async with HubClient(socket) as client:
            await client.delete_user_data(name)
        if form is Format.JSON:
            print_json({"name": name})
        else:
            out.print(Text.assemble(cell(name, "bold"), (" deleted", "dim")))

    run(work(), form)
