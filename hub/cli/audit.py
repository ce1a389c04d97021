"""The commands on the audit log: they read the database itself, whether or not a hub runs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from hub.cli.output import EFFECT_STYLES, ConfigOption, Exit, Format, FormatOption, err, out, print_json, safe

if TYPE_CHECKING:
    from hub.store.audit import Row

app = typer.Typer(no_args_is_help=True, help="Read and prove the audit log.")


_POLL_SECONDS = 0.25


@app.command()
def verify(
    pin: Annotated[
        list[str] | None, typer.Option("--pin", help="SEQ:HASH, as an earlier run printed it; may be repeated.")
    ] = None,
    config: ConfigOption = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Check that no row was changed, removed or put in, and say which if one was.

    Keep the SEQ:HASH that is printed in another place, and give it as --pin later: whoever can write to the database
    could forge a whole new log, but not one with that row in it.
    """
    from hub.store import verify as proof

    try:
        pins = [proof.Pin.parse(text) for text in pin or []]
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    with _database(config) as engine:
        found = proof.verify(engine, pins)
    if form is Format.JSON:
        flaws = [{"seq": flaw.seq, "what": flaw.what} for flaw in found.flaws]
        print_json({"rows": found.rows, "head": str(found.head), "flaws": flaws})
    elif found.flaws:
        for flaw in found.flaws:
            err.print(Text(flaw.what, style="red"))
    else:
        out.print(Text.assemble(("whole", "bold green"), f"  {found.rows} rows"))
        out.print(Text(str(found.head), style="dim"))
    if found.flaws:
        raise typer.Exit(Exit.FAILED)


@app.command()
def export(
    since: Annotated[datetime | None, typer.Option("--since", help="Not those before (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option("--until", help="Not those from then on (UTC).")] = None,
    config: ConfigOption = None,
) -> None:
    """Write all decisions in the format of OPA's decision log, a JSON object on each line."""
    from hub.store.export import decision_log

    begin = since.replace(tzinfo=UTC).timestamp() if since else 0.0
    end = until.replace(tzinfo=UTC).timestamp() if until else None
    with _database(config) as engine:
        for event in decision_log(engine, since=begin, until=end):
            print(json.dumps(event, separators=(",", ":")))


@app.command()
def tail(
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, max=100_000, help="How many of the last.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is added, until Ctrl-C.")] = False,
    config: ConfigOption = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Print the last events: decisions, outcomes, grants, spokes, policies."""
    from hub.store.export import last_seq, rows

    with _database(config) as engine:
        seq = max(0, last_seq(engine) - lines)
        try:
            while True:
                for row in rows(engine, after=seq):
                    seq = row.seq
                    print(json.dumps(_as_dict(row))) if form is Format.JSON else out.print(_line(row))
                if not follow:
                    return
                sys.stdout.flush()
                time.sleep(_POLL_SECONDS)
        except KeyboardInterrupt:
            return


@contextmanager
def _database(path: Path | None) -> Iterator[Any]:
    """Open the configured database, to read it."""
    from hub.config import ConfigInvalid, find_config, load_config
    from hub.errors import AuditUnavailable
    from hub.store.database import reading

    try:
        with reading(load_config(find_config(path)).database_location) as engine:
            yield engine
    except (ConfigInvalid, AuditUnavailable) as error:
        err.print(Text(safe(str(error)), style="red"))
        raise typer.Exit(Exit.UNAVAILABLE) from None


def _as_dict(row: Row) -> dict[str, Any]:
    return {
        "seq": row.seq,
        "time": datetime.fromtimestamp(row.time, UTC).isoformat(),
        "hub": row.hub,
        "kind": row.kind,
        "decision_id": row.decision_id,
        "session": row.session,
        "user": row.user,
        **row.body,
    }


def _line(row: Row) -> Text:
    body = row.body
    match row.kind:
        case "decision":
            codes = ", ".join(reason["code"] for reason in body["reasons"]) or body["error"]
            action = "" if body["action"] == "invoke" else f"{body['action']} "
            what = f"{' > '.join(body['chain'])}  {action}{body['function']}  {codes}"
            head = (f"{body['effect']:<9}", EFFECT_STYLES[body["effect"]])
        case "outcome":
            what, head = body["outcome"], ("outcome  ", "dim")
        case "grant":
            what, head = (
                f"{body['what']}  {body['scope']}  {body['caller']} > {body['function']}",
                ("grant    ", "cyan"),
            )
        case _:
            subject = f"{body['app']}  " if "app" in body else ""
            what, head = f"{subject}{body.get('what', '')}", (f"{row.kind:<9}", "magenta")
    when = datetime.fromtimestamp(row.time, UTC)
    line = Text.assemble((f"{row.seq:>6} {when:%H:%M:%S} ", "dim"), head, safe(what))
    return line.append(f"  {row.decision_id}" if row.decision_id else "", style="dim")
