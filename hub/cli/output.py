"""What the command line prints: text for people, JSON for programs, and nothing from an app unescaped."""

from __future__ import annotations

import asyncio
import json
import unicodedata
from collections.abc import Coroutine, Mapping
from enum import IntEnum, StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import grpc
import typer
from google.protobuf.json_format import MessageToDict
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hub.client import HubError

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


class Format(StrEnum):
    """How to print."""

    TEXT = "text"
    JSON = "json"


EFFECT_STYLES = {"allow": "green", "deny": "red", "ask": "yellow"}

FormatOption = Annotated[Format, typer.Option("--format", help="text or json.")]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="The configuration; ./spokegate.yaml by default.")]
SocketOption = Annotated[Path | None, typer.Option("--socket", help="The hub's socket; it stands for the user.")]


class Exit(IntEnum):
    """Exit codes."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    DENIED = 3
    CONSENT_MISSING = 4
    UNAVAILABLE = 5


_EXITS = {
    grpc.StatusCode.INVALID_ARGUMENT: Exit.USAGE,
    grpc.StatusCode.NOT_FOUND: Exit.USAGE,
    grpc.StatusCode.PERMISSION_DENIED: Exit.DENIED,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Exit.DENIED,
    grpc.StatusCode.FAILED_PRECONDITION: Exit.CONSENT_MISSING,
    grpc.StatusCode.UNAVAILABLE: Exit.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: Exit.UNAVAILABLE,
}


def exit_of(error: HubError) -> Exit:
    """Return the exit code for an error of the hub."""
    return _EXITS.get(error.code, Exit.FAILED)


def safe(text: str) -> str:
    """Return text from anywhere with whatever could steer a terminal or reorder a line made visible."""
    return "".join(
        character
        if unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
        else character.encode("unicode_escape").decode()
        for character in text
    )


def print_json(value: Any) -> None:
    """Print a value as JSON, ASCII only, so that nothing in it reaches the terminal raw."""
    print(json.dumps(value, indent=2))


def print_error(error: HubError, *, hint: str, form: Format) -> None:
    """Print an error of the hub on stderr."""
    if form is Format.JSON:
        body = {
            "code": error.code.name,
            "reason": error.reason,
            "message": str(error),
            "decision_id": error.decision_id,
        }
        print_json({"error": body})
        return
    line = Text.assemble((f"{error.reason or error.code.name}", "bold red"), f"  {safe(str(error))}")
    if error.decision_id:
        line.append(f"  {error.decision_id}", style="dim")
    err.print(line)
    if hint:
        err.print(Text(hint, style="dim"))


def table(*columns: str) -> Table:
    """Return an empty table in the house style."""
    made = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def cell(text: str, style: str = "") -> Text:
    """Return text for a table cell: escaped, never markup."""
    return Text(safe(text), style=style)


def as_dict(message: Any) -> dict[str, Any]:
    """Return a message as what `print_json` prints."""
    return MessageToDict(message, preserving_proto_field_name=True)


def run(work: Coroutine[Any, Any, None], form: Format, hints: Mapping[str, str] = MappingProxyType({})) -> None:
    """Do the work of a command; an error of the hub is printed, and ends it with the exit code that it has.

    Args:
        work: The work.
        form: How to print.
        hints: What to say besides, by the error's reason; under "" where no hub answers.
    """
    try:
        asyncio.run(work)
    except HubError as error:
        unreachable = not error.reason and error.code.name == "UNAVAILABLE"
        hint = hints.get(error.reason, "")
        if unreachable:
            hint = hint or "is the hub up? start it with: spokegate up"
        print_error(error, hint=hint, form=form)
        raise typer.Exit(exit_of(error)) from None
    except KeyboardInterrupt:
        raise typer.Exit(Exit.DONE) from None
