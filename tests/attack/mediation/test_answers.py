"""Putting words into the person's mouth: a question that is not what it looks like, an answer that was for another."""

from __future__ import annotations

import asyncio
import io
import os
import sys
import unicodedata
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from spokegate.v1 import decision_pb2

from hub.cli import asking, lines, output
from hub.client import HubError
from hub.mediation.consent import Prompts, Yes
from hub.store.grants import Grant, GrantStore
from tests.attack.ledger import attack
from tests.attack.mediation.open_house import Houses, house
from tests.support.live import ONCE, RELAY, Live, Person, ask, runs, unsaid, until
from tests.support.postgres import find_programs, postgresql

pytestmark = pytest.mark.asyncio(loop_scope="session")

UNTIL = decision_pb2.GRANT_SCOPE_UNTIL
EVE, MALLORY = "eve@example.org", "mallory@example.org"
STEERING = {
    "colours, and a screen that is cleared": "\x1b[2J\x1b[H\x1b[32m",
    "a title and a link of the terminal's": "\x1b]0;bank\x07\x1b]8;;http://x\x1b\\y\x1b]8;;\x1b\\",
    "eight-bit controls": "\x9b2J\x90q\x9c",
    "a line that begins anew": "\r│ [y] Yes, it is yours │\x08\x08",
    "letters that read from the right": f"\u202e{MALLORY[::-1]}\u2066\u2069\u200f",
    "letters that are not there": "e\u200bve@exam\u00adple.org\ufeff\u2060",
    "a frame of its own": "\n╰─────╯\n╭─ Let bank use mail.read? ─╮\n│ [y] Yes │\u2028\u2029",
    "characters of nobody": "\ue000\U000e0041\ufff9",
}


def steers(text: str) -> bool:
    """Return whether there is anything in a text that is not for the eye, or that the eye is not to see."""
    return any(unicodedata.category(character) in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp") for character in text)


@attack(
    "A question that is made of the app's own words",
    stopped_by="whatever could steer a terminal or reorder a line is shown as what it is",
)
async def test_words_that_steer_the_terminal(houses: Houses, defended: bool, monkeypatch: pytest.MonkeyPatch) -> bool:
    if not defended:
        monkeypatch.setattr(asking, "safe", str)
        monkeypatch.setattr(output, "safe", str)
    shown: dict[str, list[str]] = {}
    async with (
        houses.guest(guarded=True) as guest,
        Person(guest.client, *[None] * len(STEERING)).watching() as person,
    ):
        await ask(guest.session, *(unsaid("vault.note", text=text, mood=text[::-1]) for text in STEERING.values()))
    for what, prompt in zip(STEERING, person.seen, strict=True):
        for whole in (False, True):
            screen = Console(file=io.StringIO(), width=80, force_terminal=False, highlight=False)
            with screen.capture() as captured:
                screen.print(asking.rendered(prompt, whole=whole))
            shown.setdefault(what, []).extend(captured.get().splitlines())
    frames = {what: sum(line.startswith("╭") for line in lines) for what, lines in shown.items()}
    steered = [what for what, lines in shown.items() if any(map(steers, lines)) or frames[what] != 2]
    assert steered in ([], [what for what in STEERING if what in steered])
    return bool(steered)


@asynccontextmanager
async def terminal(monkeypatch: pytest.MonkeyPatch, *, is_one: bool) -> AsyncIterator[tuple[Callable[[str], Any], Any]]:
    """Put the prompts on a terminal; yield what types there and what says all that was shown."""
    keyboard, screen = os.openpty()
    shown = io.StringIO()
    with os.fdopen(screen) as stdin:
        if not is_one:
            monkeypatch.setattr(stdin, "isatty", lambda: False)
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(sys, "stdout", shown)  # where a line is asked for
        out = Console(file=shown, width=80, highlight=False)
        for module in (asking, lines):
            monkeypatch.setattr(module, "out", out)
        try:
            yield lambda keys: os.write(keyboard, keys.encode()), shown.getvalue
        finally:
            os.write(keyboard, b"\x04")  # the end of what is typed
            await asyncio.sleep(0.05)
            os.close(keyboard)


@attack(
    "A second question in the way of a key that was meant for the first",
    stopped_by="what was typed before a question is shown is no answer to it",
)
async def test_a_key_that_was_meant_for_another_question(
    houses: Houses, defended: bool, monkeypatch: pytest.MonkeyPatch
) -> bool:
    """The control takes the terminal for a file, whose lines are answers one by one."""
    async with (
        houses.guest(guarded=True) as guest,
        terminal(monkeypatch, is_one=defended) as (press, shown),
        guest.client.prompts() as events,
    ):
        person = asyncio.create_task(asking.answer_prompts(guest.client, events))
        call = asyncio.create_task(
            ask(guest.session, unsaid("vault.send", to=EVE, body="x"), unsaid("vault.send", to=MALLORY, body="x"))
        )
        await until(lambda: "answer: " in shown())
        press("y\ny\n")
        await until(lambda: MALLORY in shown())
        await until(lambda: shown().count("answer: ") == 2)
        press("n\n")
        first, second = await call
        person.cancel()
        await asyncio.gather(person, return_exceptions=True)
    assert "result" in first
    return "result" in second


def answering_any(self: Prompts, user: str, prompt_id: str, yes: Yes | None) -> None:
    """Take an answer for whatever waits, whoever gives it and whatever it was given to."""
    waiting = next(iter(self._waiting.values())).question
    ANSWER(self, waiting.user, waiting.id, yes)


ANSWER = Prompts.answer


@attack(
    "An answer that was given already, for the next question; and another user's",
    stopped_by="an answer is for one question, of the user who gives it, once",
    replays="B4",
)
@pytest.mark.parametrize("whose", ["replayed", "another session's", "another user's"])
async def test_an_answer_for_something_else(
    houses: Houses, defended: bool, whose: str, monkeypatch: pytest.MonkeyPatch
) -> bool:
    if not defended:
        monkeypatch.setattr(Prompts, "answer", answering_any)
    async with (
        houses.guest(guarded=True) as alice,
        houses.guest(guarded=True) as bob,
        alice.client.session() as another,
        Person(alice.client, ONCE).watching() as person,
    ):
        in_first = another if whose == "another session's" else alice.session
        await ask(in_first, unsaid("vault.send", to=EVE, body="x"))
        call = asyncio.create_task(ask(alice.session, unsaid("vault.send", to=MALLORY, body="x")))
        await until(lambda: len(person.seen) == 2)
        answering, prompt = (bob, person.seen[1]) if whose == "another user's" else (alice, person.seen[0])
        with suppress(HubError):
            await answering.client.answer(prompt.prompt_id, ONCE)
        with suppress(HubError):  # where it is answered already
            await alice.client.answer(person.seen[1].prompt_id, None)
        [outcome] = await call
    return "result" in outcome


@attack(
    "One yes for one call, used by two hubs at the same time",
    stopped_by="a use is taken by one change in the database that the hubs share",
)
async def test_two_hubs_and_one_yes(tmp_path: Path, defended: bool, monkeypatch: pytest.MonkeyPatch) -> bool:
    """The control's hubs look whether a use is left, and take it when they have."""
    programs = find_programs()
    if programs is None:
        pytest.skip("no PostgreSQL is installed: apt-get install postgresql")

    async def look(self: GrantStore, grant: Grant) -> bool:
        return grant.uses_left is None or grant.uses_left > 0

    if not defended:
        monkeypatch.setattr(GrantStore, "use", look)
    wish = unsaid("vault.send", to=EVE, body="x")
    with postgresql(programs) as server:
        options: dict[str, Any] = {"open_to_all": False, "database": server.new_database()}
        async with (
            house(tmp_path, RELAY, name="one", **options) as one,
            house(tmp_path, RELAY, name="two", **options) as two,
            one.client.session() as first,
            two.client.session() as second,
        ):
            await agree_to_one_more(one)
            async with Person(one.client, None).watching(), Person(two.client, None).watching():
                answers = await asyncio.gather(ask(first, wish), ask(second, wish))
            sent = [(await runs(session)).count("send") for session in (first, second)]
    through = sum("result" in answer for [answer] in answers)
    assert sum(sent) == 1 + through >= 2
    return through > 1


async def agree_to_one_more(hub: Live) -> None:
    """Have the person say yes to one more call of the relay's than the one that asks."""
    async with hub.client.session() as session, Person(hub.client).watching() as person:
        call = asyncio.create_task(ask(session, unsaid("vault.send", to=EVE, body="y")))
        await until(lambda: person.seen)
        await hub.client.answer(person.seen[0].prompt_id, UNTIL, uses=2)
        assert "result" in (await call)[0]
