"""Prompts at the terminal: show one question, take one answer.

A line is an answer: a key, and what may go with it (`u 30m`, `s x3`). A line that cannot be understood is no answer at
all: the question goes on waiting, and says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import MessageToDict
from rich.cells import cell_len, set_cell_size
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from spokegate.v1 import decision_pb2, hub_pb2

from hub.cli.lines import Lines
from hub.cli.output import cell, out, safe
from hub.client import HubClient, HubError

_KEYS = {
    decision_pb2.GRANT_SCOPE_ONCE: "y",
    decision_pb2.GRANT_SCOPE_SESSION: "s",
    decision_pb2.GRANT_SCOPE_UNTIL: "u",
    decision_pb2.GRANT_SCOPE_ALWAYS: "a",
}
_SHOWN_LINES = 12
_SHOWN_CELLS = 56
_SECONDS = {"m": 60, "h": 3600}
_EFFECTS = {"read": "green", "write": "yellow", "irreversible": "bold red"}


@dataclass(frozen=True, slots=True)
class Reply:
    """What a person typed: a scope, or None for a no, and how far the yes goes."""

    scope: decision_pb2.GrantScope.ValueType | None
    expires: float | None = None
    uses: int | None = None
    exact: bool = False


class NotUnderstood(Exception):
    """What was typed is no answer; the text says why."""


def understand(prompt: hub_pb2.Prompt, line: str) -> Reply:
    """Return what a line means as an answer to a prompt.

    Raises:
        NotUnderstood: It is no answer.
    """
    key, *more = line.strip().lower().split() or [""]
    if key == "n" and not more:
        return Reply(None)
    offers = {_KEYS[offer.scope]: offer for offer in prompt.scopes if offer.scope in _KEYS}
    if key not in offers:
        raise NotUnderstood(f"type one of {', '.join([*offers, 'n'])}, or m for all of it")
    expires, uses, exact = None, None, False
    for word in more:
        if key == "u" and expires is None and (span := re.fullmatch(r"([1-9][0-9]{0,3})([mh])", word)):
            expires = time.time() + int(span[1]) * _SECONDS[span[2]]
        elif key != "y" and uses is None and (times := re.fullmatch(r"x([1-9][0-9]{0,5})", word)):
            uses = int(times[1])
        elif word == "exact" and key != "y":
            exact = True
        else:
            raise NotUnderstood(f"{safe(word)}: after s, u or a: x3 for three calls, exact; after u: 30m or 2h")
    return Reply(offers[key].scope, expires, uses, exact)


def show(prompt: hub_pb2.Prompt, *, whole: bool = False) -> None:
    """Print a question as a person reads it; whole: with nothing shortened."""
    out.print(rendered(prompt, whole=whole), soft_wrap=False)


def rendered(prompt: hub_pb2.Prompt, *, whole: bool = False) -> RenderableType:
    """Return a question as a person reads it: who wants what from whom, exactly, and why it is asked."""
    arguments, shortened = _arguments(prompt, whole=whole)
    parts: list[RenderableType] = [_who(prompt), Text(), arguments]
    if shortened:
        parts.append(Text("  … shortened: type m to see all of it", style="bold cyan"))
    parts += [Text(), _why(prompt), Text(), _choices(prompt)]
    left = max(0, int(prompt.expire_time.ToNanoseconds() / 1e9 - time.time()))
    return Panel(
        Group(*parts),
        title=Text(f" {safe(prompt.title)} ", style="bold"),
        title_align="left",
        subtitle=Text(f" question {prompt.prompts_before + 1} of this session · no answer in {left} s is a no "),
        subtitle_align="right",
        border_style="yellow",
        padding=(1, 1),
    )


def _who(prompt: hub_pb2.Prompt) -> Table:
    rows: list[tuple[str, Text]] = [
        ("who", Text(" > ").join(cell(name, "bold") for name in prompt.chain)),
        # Only functions have an effect that anyone declares.
        ("what", Text.assemble((safe(prompt.function), "bold"), "  ", _effect(prompt)))
        if prompt.function_effect
        else ("what" if "/" in prompt.function else "host", cell(prompt.function, "bold")),
        ("plan", Text("in the plan", "green") if prompt.planned else Text("not in a plan", "yellow")),
    ]
    if prompt.labels.integrity:
        rows.append(("influence", cell(", ".join(prompt.labels.integrity), "yellow")))
    if prompt.labels.confidentiality:
        rows.append(("knows", cell(", ".join(prompt.labels.confidentiality), "yellow")))
    made = _grid()
    for name, value in rows:
        made.add_row(name, value)
    return made


def _effect(prompt: hub_pb2.Prompt) -> Text:
    words = {"irreversible": "cannot be undone"}.get(prompt.function_effect, prompt.function_effect)
    return cell(words, _EFFECTS.get(prompt.function_effect, "bold red"))


def _arguments(prompt: hub_pb2.Prompt, *, whole: bool) -> tuple[Table, bool]:
    """Return the arguments, value by value, those that are not the user's words marked; and whether any is short."""
    untrusted, controls = set(prompt.untrusted_pointers), set(prompt.control_arguments)
    made = Table.grid(padding=(0, 1))
    made.add_column(width=1)
    made.add_column(style="dim", overflow="fold", max_width=22)
    made.add_column(overflow="fold", ratio=1)
    leaves = _leaves(json.loads(prompt.arguments_json))
    shown = leaves if whole else leaves[:_SHOWN_LINES]
    shortened = len(shown) < len(leaves)
    for pointer, value in shown:
        text = safe(json.dumps(value, ensure_ascii=False))
        if not whole and cell_len(text) > _SHOWN_CELLS:
            text, shortened = set_cell_size(text, _SHOWN_CELLS - 1) + "…", True
        marked = pointer in untrusted
        steers = any(pointer == control or pointer.startswith(f"{control}/") for control in controls)
        made.add_row(
            Text("!", "bold yellow") if marked else Text(),
            cell(pointer, "bold" if steers else ""),
            Text(text, "yellow" if marked else ""),
        )
    if not leaves:
        made.add_row("", "no arguments", "")
    legend = Text()
    if any(pointer in untrusted for pointer, _ in leaves):
        legend.append("! not in your own words", style="yellow")
    if controls:
        legend.append("   " if legend else "").append("bold", style="bold dim").append(" steers it", style="dim")
    if legend:
        made.add_row("", "", legend)
    return made, shortened


def _leaves(value: Any, at: str = "") -> list[tuple[str, Any]]:
    """Return every value that holds no other, by its RFC 6901 pointer, in order."""
    if isinstance(value, dict) and value:
        steps = [(key.replace("~", "~0").replace("/", "~1"), item) for key, item in value.items()]
    elif isinstance(value, list) and value:
        steps = [(str(index), item) for index, item in enumerate(value)]
    else:
        return [(at, value)] if at else []
    return [leaf for step, item in steps for leaf in _leaves(item, f"{at}/{step}")]


def _why(prompt: hub_pb2.Prompt) -> Table:
    made = _grid()
    made.add_row("why", cell(prompt.detail))
    made.add_row("rule", cell(", ".join(reason.code for reason in prompt.reasons), "dim"))
    made.add_row("decision", cell(prompt.decision_id, "dim"))
    return made


def _choices(prompt: hub_pb2.Prompt) -> Table:
    made = Table.grid(padding=(0, 1))
    made.add_column(no_wrap=True)
    made.add_column(overflow="fold", ratio=1)
    for offer in prompt.scopes:
        style = "bold yellow" if offer.scope == decision_pb2.GRANT_SCOPE_ALWAYS else "bold green"
        made.add_row(Text(f"[{_KEYS.get(offer.scope, '?')}]", style), cell(offer.covers))
    made.add_row(Text("[n]", "bold red"), Text("No."))
    hints = ["e to edit, to less"] if prompt.function_effect else []
    if len(prompt.scopes) > 1:
        hints.append("s x3 for three calls")
    if any(offer.scope == decision_pb2.GRANT_SCOPE_UNTIL for offer in prompt.scopes):
        hints.append("u 30m for half an hour")
    made.add_row("", Text(" · ".join(hints), "dim"))
    return made


def _grid() -> Table:
    made = Table.grid(padding=(0, 2))
    made.add_column(style="dim", no_wrap=True, width=9)
    made.add_column(overflow="fold", ratio=1)
    return made


async def answer_prompts(
    client: HubClient,
    events: AsyncIterator[hub_pb2.WatchPromptsResponse],
    *,
    session_id: str = "",
    lines: Lines | None = None,
) -> None:
    """Show each waiting question and send the key that is typed; runs until the events end.

    Args:
        client: The hub.
        events: What waits.
        session_id: Only questions of this session; empty means of all.
        lines: Where answers are typed, if not here alone.
    """
    ended: dict[str, asyncio.Event] = {}
    waiting: asyncio.Queue[hub_pb2.Prompt] = asyncio.Queue()
    lines = lines or Lines()

    async def follow() -> None:
        async for event in events:
            if event.HasField("waiting") and (not session_id or event.waiting.session_id == session_id):
                ended[event.waiting.prompt_id] = asyncio.Event()
                waiting.put_nowait(event.waiting)
            elif event.HasField("ended") and event.ended.prompt_id in ended:
                ended[event.ended.prompt_id].set()

    follower = asyncio.create_task(follow())
    try:
        while not (follower.done() and waiting.empty()):
            taken = asyncio.create_task(waiting.get())
            try:
                await asyncio.wait((taken, follower), return_when=asyncio.FIRST_COMPLETED)
            finally:
                taken.cancel()
            if taken.done():
                await _answer_one(client, taken.result(), ended[taken.result().prompt_id], lines)
        follower.result()
    finally:
        follower.cancel()


def as_json(event: hub_pb2.WatchPromptsResponse) -> str:
    """Return one event as one line of JSON."""
    return json.dumps(MessageToDict(event, preserving_proto_field_name=True))


async def _answer_one(client: HubClient, prompt: hub_pb2.Prompt, ended: asyncio.Event, lines: Lines) -> None:
    """Show a question, and take lines until one of them is its answer or it is over."""
    if ended.is_set():
        return
    lines.discard()
    show(prompt)
    arguments: dict[str, Any] | None = None
    while (line := await _line(lines, ended, "answer: ")) is not None:
        try:
            if line.strip().lower() == "m":
                show(prompt, whole=True)
                continue
            if line.strip().lower() == "e":
                arguments = await _edited(lines, ended)
                continue
            reply = understand(prompt, line)
            await client.answer(
                prompt.prompt_id,
                reply.scope,
                expires=reply.expires,
                uses=reply.uses,
                exact=reply.exact,
                arguments=arguments if reply.scope is not None else None,
            )
        except NotUnderstood as error:
            out.print(Text(str(error), style="yellow"))
            continue
        except HubError as error:
            out.print(Text(safe(str(error)), style="dim"))
            if error.reason == "REQUEST_INVALID":
                continue
        return
    out.print(Text("\nanswered elsewhere, or too late", style="dim"))


async def _edited(lines: Lines, ended: asyncio.Event) -> dict[str, Any] | None:
    """Return the arguments that are typed in place of those that were asked for."""
    line = await _line(lines, ended, "arguments, as one JSON object, with less in it: ")
    try:
        edited = json.loads(line or "")
    except ValueError as error:
        raise NotUnderstood(f"not JSON: {error}; the arguments are as they were") from None
    if not isinstance(edited, dict):
        raise NotUnderstood("not a JSON object; the arguments are as they were")
    out.print(Text(f"a yes is now for: {safe(json.dumps(edited, ensure_ascii=False))}", style="cyan"))
    return edited


async def _line(lines: Lines, ended: asyncio.Event, prompt: str) -> str | None:
    """Return the next line that is typed, or None when the question is over before, or nothing more can be typed."""
    typed, over = asyncio.create_task(lines.next(prompt)), asyncio.create_task(ended.wait())
    try:
        await asyncio.wait((typed, over), return_when=asyncio.FIRST_COMPLETED)
        if typed.done() and typed.result() is None:
            await over
        return typed.result() if typed.done() else None
    finally:
        typed.cancel()
        over.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await typed
