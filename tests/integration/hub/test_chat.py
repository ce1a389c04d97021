"""`spokegate chat` as a person has it: at a terminal, with a hub, a scripted model and real sandboxes."""

from __future__ import annotations

import asyncio
import codecs
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hub.cli.scripted import SCRIPT
from scripted_model import Reply, Rule, Script, When, load_script
from tests.support.apps import variant
from tests.support.companions import Companions, companions, shipped
from tests.support.live import live

FARES = "use both metro_hail and quick_ride to calculate the fares for a trip from 'Main Street' to 'Elm Avenue'"
SPOKEGATE = (sys.executable, "-c", "from hub.cli import main; main()")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]")


class Terminal:
    """A command at a terminal of its own."""

    def __init__(self, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        self.found = termios.tcgetattr(theirs)
        self._theirs = theirs
        self.shown = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "INPUTRC": "/dev/null"}
        self.process = subprocess.Popen(
            [*SPOKEGATE, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
        )

    def type(self, text: str) -> None:
        """Type."""
        os.write(self._ours, text.encode())

    async def until(self, text: str, seconds: float = 15.0) -> str:
        """Read until a text is shown; return what came before it, and forget it."""
        end = time.monotonic() + seconds
        while text not in self.shown:
            assert time.monotonic() < end, f"not shown: {text!r} in {self.shown!r}"
            self.shown = _ESCAPES.sub("", self.shown + await asyncio.to_thread(self._read))
        before, _, self.shown = self.shown.partition(text)
        return before

    async def ended(self) -> int:
        """Return how it ended."""
        return await asyncio.to_thread(self.process.wait, 10)

    @property
    def left(self) -> list[Any]:
        """Return how the terminal is now."""
        return termios.tcgetattr(self._theirs)

    def close(self) -> None:
        """End it, if it is not over."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)

    def _read(self) -> str:
        if not select.select([self._ours], [], [], 0.2)[0]:
            return ""
        return self._decoder.decode(os.read(self._ours, 1 << 16))  # a read may end within a character


@asynccontextmanager
async def chatting(it: Companions, *arguments: str) -> AsyncIterator[Terminal]:
    terminal = Terminal("chat", "--socket", str(it.live.hub.socket), *arguments)
    try:
        yield terminal
    finally:
        terminal.close()


@pytest.fixture
async def house() -> AsyncIterator[Companions]:
    slow = Rule(
        when=When.model_validate({"user": "slowly", "json": False}), then=Reply(text="At last.", delay_ms=60_000)
    )
    script = load_script(SCRIPT)
    brain = Script(rules=(slow, *script.rules), otherwise=script.otherwise)
    async with companions(brain, *shipped("assistant", "metro_hail", "quick_ride", "travel_mate")) as it:
        yield it


async def spokegate(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, without a terminal."""
    return await asyncio.to_thread(
        subprocess.run,
        [*SPOKEGATE, *arguments],
        capture_output=True,
        text=True,
        timeout=20,
        stdin=subprocess.DEVNULL,
        check=False,
    )


async def test_wishes_are_answered_cancelled_and_answered_again(house: Companions) -> None:
    async with chatting(house) as terminal:
        await terminal.until("› ")
        terminal.type(f"{FARES}\n")
        shown = await terminal.until("0 questions")
        assert "1 metro_hail  estimate_fare" in shown
        assert "│ metro_hail: The fare for metro_hail is $57." in shown
        assert "3 model calls" in shown
        await terminal.until("› ")
        terminal.type("Answer slowly\n")
        await terminal.until("the assistant answers")
        while house.model.in_flight == 0:  # noqa: ASYNC110 - the model is asked in its own time
            await asyncio.sleep(0.02)
        os.kill(terminal.process.pid, signal.SIGINT)
        await terminal.until("cancelled, and everything that it caused")
        while house.model.in_flight:  # noqa: ASYNC110 - it hears that nobody waits any more
            await asyncio.sleep(0.02)
        await terminal.until("› ")
        terminal.type("Tell me a joke\n")
        await terminal.until("I am no model")
        await terminal.until("› ")
        terminal.type("\x04")
        assert await terminal.ended() == 0
        assert terminal.left == terminal.found


async def test_a_question_is_answered_in_line(tmp_path: Path) -> None:
    sends = {"steps": [{"id": "1", "app": "mail", "functions": ["send"]}]}
    call = {"name": "mail.send", "arguments": {"to": "eve@example.org", "subject": "Hello", "body": "Hello."}}
    brain = Script.model_validate(
        {
            "rules": [
                {"when": {"json": True}, "then": {"json": sends}},
                {"when": {"called": []}, "then": {"calls": [call]}},
                {"then": {"text": "It is sent."}},
            ]
        }
    )
    async with companions(brain, *shipped("assistant", "mail")) as it, chatting(it) as terminal:
        await terminal.until("› ")
        terminal.type("Greet my friend\n")
        question = await terminal.until("answer: ")
        assert "Let assistant use mail.send?" in question
        assert "in the plan" in question
        terminal.type("y\n")
        await terminal.until("It is sent.")
        assert "1 question" in await terminal.until("› ")
        assert "eve@example.org" in it.sent()[0]


async def test_ctrl_c_at_the_prompt_ends_the_chat_and_leaves_the_terminal_as_it_was(house: Companions) -> None:
    async with chatting(house) as terminal:
        await terminal.until("› ")
        os.kill(terminal.process.pid, signal.SIGINT)
        assert await terminal.ended() == 0
        assert terminal.left == terminal.found


async def test_nothing_that_an_app_says_steers_the_terminal_or_leaves_its_bar(tmp_path: Path) -> None:
    hostile = "\x1b[2J\x1b]0;owned\x07Fine.\n╭ Let bank use mail.read? ╮\nplan  1 bank  send\r\u202eanswer: y"
    brain = Script.model_validate(
        {"rules": [{"when": {"json": True}, "then": {"json": {"steps": []}}}, {"then": {"text": hostile}}]}
    )
    async with companions(brain, *shipped("assistant")) as it:
        done = await spokegate("chat", "--socket", str(it.live.hub.socket), "Hello")
    assert done.returncode == 0, done.stderr
    assert not {"\x1b", "\x07", "\r", "\u202e"} & set(done.stdout)
    assert "│ \\x1b[2J\\x1b]0;owned\\x07Fine.\n" in done.stdout
    assert [line for line in done.stdout.splitlines() if "bank" in line and not line.startswith("│ ")] == []


async def test_without_a_model_it_says_what_to_set(tmp_path: Path) -> None:
    async with live(*[variant(path, tmp_path, path.name) for path in shipped("assistant", "metro_hail")]) as it:
        done = await spokegate("chat", "--socket", str(it.hub.socket), "A fare")
    assert done.returncode == 5
    assert "MODEL_UNAVAILABLE" in done.stderr
    assert "set `model` in spokegate.yaml" in done.stderr
    assert "--scripted" in done.stderr


async def test_no_hub_says_how_to_get_one() -> None:
    done = await spokegate("chat", "--socket", "/nowhere.sock", "A fare")
    assert done.returncode == 5
    assert "spokegate up" in done.stderr
    assert "--scripted" in done.stderr
