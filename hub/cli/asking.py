"""Prompts at the terminal: show one question, take one answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
from collections.abc import AsyncIterator

from google.protobuf.json_format import MessageToDict
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from spokegate.v1 import decision_pb2, hub_pb2

from hub.cli.output import cell, out, safe
from hub.client import HubClient, HubError

_KEYS = {decision_pb2.GRANT_SCOPE_ONCE: "y", decision_pb2.GRANT_SCOPE_SESSION: "s"}


def show(prompt: hub_pb2.Prompt) -> None:
    """Print a question as a person reads it: who wants what from whom, exactly, and why it is asked."""
    untrusted = set(prompt.untrusted_pointers)
    body = Text()
    # A host has no effect that anyone declares.
    wants = "asks for" if prompt.function_effect else "connects to"
    body.append(f"{' > '.join(map(safe, prompt.chain))}  {wants}  ", style="dim")
    body.append(safe(prompt.function), style="bold")
    body.append(f"  ({safe(prompt.function_effect)})\n" if prompt.function_effect else "\n")
    for key, value in json.loads(prompt.arguments_json).items():
        pointer = "/" + key.replace("~", "~0").replace("/", "~1")
        marked = pointer in untrusted
        body.append(f"  {safe(key)}: ", style="dim")
        body.append(safe(json.dumps(value, ensure_ascii=False)), style="yellow" if marked else "")
        body.append("  (not your words)\n" if marked else "\n", style="yellow" if marked else "")
    for name, values in (
        ("untrusted influence", prompt.labels.integrity),
        ("knows", prompt.labels.confidentiality),
    ):
        if values:
            body.append(f"  {name}: ", style="dim")
            body.append(", ".join(map(safe, values)) + "\n", style="yellow")
    body.append(f"\n{safe(prompt.detail)}\n")
    body.append(", ".join(safe(reason.code) for reason in prompt.reasons) + "\n", style="dim")
    choices = Table.grid(padding=(0, 1))
    for scope in prompt.scopes:
        choices.add_row(Text(f"  [{_KEYS.get(scope.scope, '?')}]", "bold green"), cell(scope.covers))
    choices.add_row(Text("  [n]", "bold red"), cell(f"No.   ({prompt.decision_id})"))
    title = Text(safe(prompt.title))
    panel = Panel(Group(body, choices), title=title, title_align="left", border_style="yellow")
    out.print(panel, soft_wrap=False)


def scope_for(prompt: hub_pb2.Prompt, key: str) -> decision_pb2.GrantScope.ValueType | None:
    """Return the scope that a key stands for; None, a no, for anything else."""
    for scope in prompt.scopes:
        if _KEYS.get(scope.scope) == key.strip().lower():
            return scope.scope
    return None


async def answer_prompts(
    client: HubClient, events: AsyncIterator[hub_pb2.WatchPromptsResponse], *, session_id: str = ""
) -> None:
    """Show each waiting question and send the key that is typed; runs until the events end.

    Args:
        client: The hub.
        events: What waits.
        session_id: Only questions of this session; empty means of all.
    """
    ended: dict[str, asyncio.Event] = {}
    waiting: asyncio.Queue[hub_pb2.Prompt] = asyncio.Queue()
    lines = _stdin_lines()

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
            await asyncio.wait((taken, follower), return_when=asyncio.FIRST_COMPLETED)
            if not taken.done():
                taken.cancel()
                continue
            await _answer_one(client, taken.result(), ended[taken.result().prompt_id], lines)
        follower.result()
    finally:
        follower.cancel()


def as_json(event: hub_pb2.WatchPromptsResponse) -> str:
    """Return one event as one line of JSON."""
    return json.dumps(MessageToDict(event, preserving_proto_field_name=True))


async def _answer_one(
    client: HubClient, prompt: hub_pb2.Prompt, ended: asyncio.Event, lines: asyncio.Queue[str]
) -> None:
    if ended.is_set():
        return
    show(prompt)
    out.print(Text("answer: ", style="bold"), end="")
    typed = asyncio.create_task(lines.get())
    over = asyncio.create_task(ended.wait())
    try:
        await asyncio.wait((typed, over), return_when=asyncio.FIRST_COMPLETED)
        if not typed.done():
            out.print(Text("answered elsewhere, or too late", style="dim"))
            return
        try:
            await client.answer(prompt.prompt_id, scope_for(prompt, typed.result()))
        except HubError as error:
            out.print(Text(safe(str(error)), style="dim"))
    finally:
        typed.cancel()
        over.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await typed


def _stdin_lines() -> asyncio.Queue[str]:
    """Read stdin in a thread of its own, so that a question which lapses does not wait for a key."""
    lines: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line)

    threading.Thread(target=read, name="stdin", daemon=True).start()
    return lines
