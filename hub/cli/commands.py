"""The commands."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import structlog
import typer
from rich.padding import Padding
from rich.text import Text
from spokegate.v1 import decision_pb2

from hub.cli import asking, audit, grants, me, memory
from hub.cli.output import (
    EFFECT_STYLES,
    ConfigOption,
    Exit,
    Format,
    FormatOption,
    SocketOption,
    as_dict,
    cell,
    err,
    out,
    print_json,
    run,
    safe,
)
from hub.client import HubClient

if TYPE_CHECKING:
    from hub.config import Config, OpaConfig

# What only one command needs is imported there: a call should not wait for the whole hub to load.

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Run LLM apps behind a hub."
)
app_commands = typer.Typer(no_args_is_help=True, help="Work on an app.")
app.add_typer(app_commands, name="app")
app.add_typer(grants.app, name="grants")
app.add_typer(audit.app, name="audit")
app.add_typer(me.app, name="me")
app.add_typer(memory.app, name="memory")


def main() -> None:
    """Run the command line."""
    app()


@app.command()
def up(
    config: ConfigOption = None,
    form: FormatOption = Format.TEXT,
    unsafe_no_sandbox: Annotated[
        bool, typer.Option("--unsafe-no-sandbox", help="Run apps without any walls: for the lab, never for real data.")
    ] = False,
    opa_url: Annotated[
        str, typer.Option("--opa-url", help="Ask the OPA that runs there for decisions, and start none.")
    ] = "",
    opa_token_file: Annotated[
        Path | None, typer.Option("--opa-token-file", help="The file with the bearer token that it takes.")
    ] = None,
) -> None:
    """Start the hub and, unless one runs elsewhere, OPA, until SIGINT or SIGTERM."""
    import uvloop

    from hub.app import Hub, run_until_signal
    from hub.config import find_config, load_config
    from hub.errors import SpokegateError
    from hub.opa.binary import OpaBinaryError

    _configure_log(form)

    def ready(hub: Hub) -> None:
        if form is Format.JSON:
            print(json.dumps({"ready": True, "sockets": [str(path) for path in hub.edge.sockets]}), flush=True)
            return
        for path in hub.edge.sockets:
            out.print(Text.assemble(("ready", "bold green"), f"  {path}"))
        out.print(Text(f"{hub.decider}   Ctrl-C stops", style="dim"))

    try:
        loaded = load_config(find_config(config))
        loaded = loaded.model_copy(update={"opa": _remote_opa(loaded.opa, opa_url, opa_token_file)})
        uvloop.run(run_until_signal(loaded, ready, unsafe_no_sandbox=unsafe_no_sandbox))
    except (SpokegateError, OpaBinaryError) as error:
        err.print(Text(str(error), style="red"))
        raise typer.Exit(Exit.UNAVAILABLE) from None


@app.command()
def call(
    function: Annotated[str, typer.Argument(help="APP.FUNCTION")],
    arg: Annotated[list[str] | None, typer.Option("--arg", help="name=text, or name:=JSON; may be repeated.")] = None,
    arguments: Annotated[str | None, typer.Option("--json", help="All arguments as one JSON object.")] = None,
    words: Annotated[str, typer.Option("--words", help="What you said that led to this call.")] = "",
    ask: Annotated[
        bool | None, typer.Option("--ask/--no-ask", help="Answer prompts here; by default at a terminal.")
    ] = None,
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, help="Deadline in seconds.")] = 120.0,
    socket: SocketOption = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Call one function as the user."""
    text = _arguments(arg or [], arguments)
    here = ask if ask is not None else sys.stdin.isatty() and sys.stdout.isatty() and form is Format.TEXT
    run(_call(function, text, words, here, timeout, socket, form), form)


@app.command()
def chat(
    wish: Annotated[str | None, typer.Argument(help="What you want; without it, wishes are asked for.")] = None,
    user: Annotated[str, typer.Option("--user", help="Who you are: the user of one of the hub's sockets.")] = "",
    scripted: Annotated[
        bool, typer.Option("--scripted", help="With a hub of its own, and a model that plays a script: no real one.")
    ] = False,
    script: Annotated[Path | None, typer.Option("--script", help="The script to play, as YAML.")] = None,
    obey: Annotated[
        bool, typer.Option("--obey", help="Let the scripted model follow every instruction that it sees.")
    ] = False,
    unprotected: Annotated[
        bool, typer.Option("--unprotected", help="Without hub, sandbox and policy, for the lab: with --scripted alone.")
    ] = False,
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, help="Deadline of a wish in seconds.")] = 600.0,
    config: ConfigOption = None,
    socket: SocketOption = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Say what you want, and see which apps do it, what they are refused, and what comes of it."""
    from hub.cli import chat as chatting

    if (unprotected or obey or script) and not scripted:
        raise typer.BadParameter(
            "--unprotected, --obey and --script are for a model that plays a script: add --scripted"
        )
    if scripted:
        from hub.cli.scripted import run_scripted

        _configure_log(form, level=logging.ERROR)
        work = run_scripted(
            _loaded(config), user, wish, form, script, obey=obey, unprotected=unprotected, seconds=timeout
        )
        run(work, form, chatting.HINTS)
        return
    if user:
        socket = _socket_of(user, config, socket)
    run(chatting.chat(socket, wish, form, timeout_seconds=timeout), form, chatting.HINTS)


@app.command()
def apps(socket: SocketOption = None, form: FormatOption = Format.TEXT) -> None:
    """List the installed apps and their functions."""

    async def list_apps() -> None:
        async with HubClient(socket) as client:
            found = await client.apps()
        if form is Format.JSON:
            print_json([as_dict(item) for item in found])
            return
        for item in found:
            out.print(Text.assemble((safe(item.name), "bold"), (f"  {safe(item.version)}  {item.trust}", "dim")))
            if item.egress:
                out.print(Text("  connects to ").append(", ".join(map(safe, item.egress)), style="yellow"))
            for function in item.functions:
                labels = [*function.labels.confidentiality, *function.labels.integrity]
                effect = function.effect + (", egress" if function.egress else "")
                line = Text(f"  {safe(function.name.removeprefix(item.name + '.')):<20} {effect:<16}")
                out.print(line.append(", ".join(map(safe, labels)), style="yellow"))
                out.print(Padding(cell(function.description, "dim"), (0, 0, 0, 4)), soft_wrap=False)

    run(list_apps(), form)


@app.command()
def prompts(socket: SocketOption = None, form: FormatOption = Format.TEXT) -> None:
    """Watch the questions that wait for you, and answer them; see what the policies want you to be told."""

    async def watch() -> None:
        async with HubClient(socket) as client, client.prompts() as events:
            if form is Format.JSON:
                async for event in events:
                    print(asking.as_json(event), flush=True)
                return
            err.print(Text("watching; Ctrl-C stops", style="dim"))
            await asking.answer_prompts(client, events)

    run(watch(), form)


@app.command()
def decisions(
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many, newest first.")] = 20,
    session: Annotated[str, typer.Option("--session", help="Only of this session.")] = "",
    diverging: Annotated[
        bool, typer.Option("--diverging", help="Only those that the packages in log-only mode would change.")
    ] = False,
    socket: SocketOption = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """List what was decided, newest first."""

    async def list_decisions() -> None:
        async with HubClient(socket) as client:
            found = await client.decisions(session_id=session, limit=limit, diverging=diverging)
        if form is Format.JSON:
            print_json([as_dict(record) for record in found])
            return
        for record in found:
            out.print(_decision_lines(record))

    run(list_decisions(), form)


@app.command()
def explain(
    decision: Annotated[str, typer.Argument(help="The decision's id.")],
    socket: SocketOption = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Say why a decision was what it was, and what would have changed it."""
    from hub.cli import explain as telling

    async def tell() -> None:
        async with HubClient(socket) as client:
            explained = await client.explain(decision)
        if form is Format.JSON:
            print_json(as_dict(explained))
        else:
            telling.show(out, explained)

    run(tell(), form)


@app.command(name="doctor")
def doctor_command(config: ConfigOption = None, form: FormatOption = Format.TEXT) -> None:
    """Say what this host can do: sandbox layers, OPA, configuration."""
    from hub.cli import doctor
    from hub.config import find_config

    findings = doctor.examine(find_config(config))
    if form is Format.JSON:
        print_json([finding.to_json() for finding in findings])
    else:
        out.print(doctor.as_table(findings))
    if not all(finding.ok or not finding.required for finding in findings):
        raise typer.Exit(Exit.UNAVAILABLE)


@app_commands.command(name="check")
def app_check(
    directory: Annotated[Path, typer.Argument(help="The app's directory.")], form: FormatOption = Format.TEXT
) -> None:
    """Check an app's manifest, and say where it and the code disagree. The code is read, never run."""
    from hub.spokes.app_check import check_app

    problems = check_app(directory)
    if form is Format.JSON:
        print_json([{"file": str(p.file), "line": p.line, "message": p.message} for p in problems])
    else:
        for problem in problems:
            err.print(Text(safe(str(problem))))
        if not problems:
            out.print(Text(f"{directory}: the manifest and the code agree", style="green"))
    if problems:
        raise typer.Exit(Exit.USAGE)


async def _call(
    function: str, arguments: str, words: str, ask: bool, timeout_seconds: float, socket: Path | None, form: Format
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(HubClient(socket, timeout_seconds=timeout_seconds))
        session = await stack.enter_async_context(client.session())
        if ask:
            events = await stack.enter_async_context(client.prompts(timeout_seconds=timeout_seconds))
            answering = asyncio.create_task(asking.answer_prompts(client, events, session_id=session.id))
            stack.callback(answering.cancel)
        answer = await session.invoke(function, arguments, user_text=words)
    labels = [*answer.confidentiality, *answer.integrity]
    if form is Format.JSON:
        print_json({"result": answer.result, "decision_id": answer.decision_id, "labels": labels})
        return
    out.print(Text(safe(json.dumps(answer.result, ensure_ascii=False))))
    err.print(Text("  ".join([answer.decision_id, *map(safe, labels)]), style="dim"))


def _remote_opa(configured: OpaConfig | None, url: str, token_file: Path | None) -> OpaConfig | None:
    """Return which OPA that runs elsewhere is to decide: what the command line says goes before the configuration."""
    from pydantic import ValidationError

    from hub.config import OpaConfig

    if not url and token_file is None:
        return configured
    fields = configured.model_dump() if configured is not None else {}
    fields |= {"url": url} if url else {}
    fields |= {"token_file": token_file.absolute()} if token_file is not None else {}
    try:
        return OpaConfig.model_validate(fields)
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise typer.BadParameter(f"--opa-url and --opa-token-file, or `opa` in the configuration: {said}") from None


def _socket_of(user: str, config: Path | None, socket: Path | None) -> Path:
    """Return the socket that stands for a user, by the hub's configuration."""
    if socket is not None:
        raise typer.BadParameter("give --user or --socket, not both")
    loaded = _loaded(config)
    found = [client.socket for client in loaded.clients if client.user == user]
    if not found:
        there_are = ", ".join(client.user for client in loaded.clients)
        raise typer.BadParameter(f"--user {user}: the hub has no socket for them; it has for {there_are}")
    return loaded.runtime_dir / found[0]


def _loaded(config: Path | None) -> Config:
    from hub.config import find_config, load_config
    from hub.errors import SpokegateError

    try:
        return load_config(find_config(config))
    except SpokegateError as error:
        err.print(Text(str(error), style="red"))
        raise typer.Exit(Exit.USAGE) from None


def _arguments(pairs: list[str], whole: str | None) -> str:
    if whole is not None:
        if pairs:
            raise typer.BadParameter("give --arg or --json, not both")
        return whole
    arguments: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        is_json = name.endswith(":")
        name = name.removesuffix(":")
        if not equals or not name:
            raise typer.BadParameter(f"--arg {pair!r}: write name=text or name:=JSON")
        if name in arguments:
            raise typer.BadParameter(f"--arg {name}: given twice")
        try:
            arguments[name] = json.loads(value) if is_json else value
        except json.JSONDecodeError as error:
            raise typer.BadParameter(f"--arg {pair!r}: not JSON: {error}") from None
    return json.dumps(arguments)


def _decision_lines(record: decision_pb2.DecisionRecord) -> Text:
    effect = record.decision.WhichOneof("effect") or "deny"
    shadow = record.decision.shadow.WhichOneof("effect") or "deny" if record.decision.HasField("shadow") else effect
    action = "" if record.action == "invoke" else f"{record.action} "
    by = decision_pb2.DecidedBy.Name(record.decided_by).removeprefix("DECIDED_BY_").lower()
    codes = ", ".join(reason.code for reason in record.decision.reasons)
    took = ""
    if record.HasField("total_latency"):
        took = f"{record.total_latency.ToTimedelta().total_seconds() * 1000:.1f} ms"
    return Text.assemble(
        (f"{record.time.ToDatetime():%H:%M:%S} ", "dim"),
        (f"{effect:<6}", EFFECT_STYLES[effect]),
        safe(" > ".join(record.chain)),
        (f"  {action}{safe(record.function)}", "bold"),
        (f"  {safe(record.outcome)}  {took}\n", "dim"),
        *_would_be(record.decision, effect, shadow),
        (f"         {record.decision.decision_id}  {by}  {safe(codes)}", "dim"),
    )


def _would_be(decision: decision_pb2.Decision, effect: str, shadow: str) -> list[tuple[str, str]]:
    if shadow == effect:
        return []
    codes = ", ".join(reason.code for reason in decision.shadow.reasons)
    return [("         would be ", "dim"), (shadow, EFFECT_STYLES[shadow]), (f"  {safe(codes)}\n", "dim")]


def _configure_log(form: Format, *, level: int = logging.INFO) -> None:
    renderer: Any = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    if form is Format.JSON:
        renderer = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
