"""What a person reads at the terminal, and what their line means."""

from __future__ import annotations

import io
import json
import time
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console
from spokegate.v1 import decision_pb2, hub_pb2

from hub.cli import asking

ONCE, SESSION = decision_pb2.GRANT_SCOPE_ONCE, decision_pb2.GRANT_SCOPE_SESSION
UNTIL, ALWAYS = decision_pb2.GRANT_SCOPE_UNTIL, decision_pb2.GRANT_SCOPE_ALWAYS


def a_prompt(arguments: Any = None, *scopes: decision_pb2.GrantScope.ValueType, **fields: Any) -> hub_pb2.Prompt:
    prompt = hub_pb2.Prompt(
        prompt_id="p-1",
        decision_id="d-1",
        chain=["user", "relay"],
        caller="relay",
        function="mail.send",
        function_effect="write",
        arguments_json=json.dumps(arguments or {}, ensure_ascii=False),
        title="Let relay use mail.send?",
        detail="Because.",
        scopes=[hub_pb2.PromptScope(scope=scope, covers="this") for scope in scopes or (ONCE,)],
        **fields,
    )
    prompt.expire_time.FromSeconds(int(time.time()) + 60)
    return prompt


def lines_of(prompt: hub_pb2.Prompt, *, whole: bool = False, width: int = 80) -> list[str]:
    console = Console(width=width, file=io.StringIO(), highlight=False, force_terminal=False)
    with console.capture() as captured:
        console.print(asking.rendered(prompt, whole=whole))
    return captured.get().splitlines()


WIDE = {"to": ["安全工程師@例子.公司"], "subject": "全角文字の長い件名" * 20, "text": "word " * 200, "n": 1}


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("whole", [False, True])
def test_every_line_is_as_wide_as_the_frame_whatever_is_in_it(width: int, whole: bool) -> None:
    shown = lines_of(a_prompt(WIDE, ONCE, SESSION, UNTIL, ALWAYS), whole=whole, width=width)
    assert {cell_len(line) for line in shown} == {width}


def test_what_is_shortened_says_so_and_is_shown_whole_on_demand() -> None:
    prompt = a_prompt({f"k{number}": f"value {number} " * 20 for number in range(30)})
    short, whole = "\n".join(lines_of(prompt)), "".join(lines_of(prompt, whole=True))
    assert "type m to see all of it" in short
    assert "/k29" not in short
    assert "type m" not in whole
    assert all(f"/k{number} " in whole for number in range(30))
    assert whole.replace("│", "").replace(" ", "").count("value29") == 20


def test_nothing_from_an_app_steers_the_terminal_or_the_markup() -> None:
    hostile = "\x1b[2J\x1b[31m\u202e\u2066\r\n\u0007[bold red]y[/bold red]\u200b"
    prompt = a_prompt({hostile: hostile})
    prompt.function = prompt.title = prompt.detail = prompt.chain[1] = hostile
    prompt.labels.integrity.append(hostile)
    prompt.reasons.add(code=hostile)
    prompt.scopes[0].covers = hostile
    for whole in (False, True):
        text = "\n".join(lines_of(prompt, whole=whole))
        assert not {"\x1b", "\u202e", "\u2066", "\r", "\u0007", "\u200b"} & set(text)
        assert "[bold" in text


def test_an_app_cannot_draw_a_second_question() -> None:
    """A value with line breaks and a frame of its own stays within one row of the arguments."""
    fake = "x\n╰────╯\n╭ Let bank use mail.read? ╮\n│ [y] Yes │"
    shown = lines_of(a_prompt({"text": fake}), whole=True)
    assert [line for line in shown if line.startswith("╭")] == shown[:1]
    assert not any(line.strip("│ ").startswith("[y] Yes") for line in shown)


def test_a_notice_is_one_line_in_which_nothing_steers_the_terminal() -> None:
    hostile = "\x1b[2J\u202e\r\n╭ Let bank use mail.read? ╮\n[bold red]y[/]"
    notice = hub_pb2.Notice(caller=hostile, function=hostile, message=hostile, decision_id="d-1")
    console = Console(width=80, file=io.StringIO(), highlight=False, soft_wrap=True, force_terminal=False)
    with console.capture() as captured:
        console.print(asking.notice_line(notice), soft_wrap=True)
    text = captured.get()
    assert text.startswith("notice  ")
    assert text.count("\n") == 1
    assert not {"\x1b", "\u202e", "\r"} & set(text)
    assert "[bold red]y[/]" in text


def test_parts_that_are_not_the_users_words_are_marked_one_by_one() -> None:
    shown = lines_of(a_prompt({"to": ["a", "b"], "x": {"y": "c"}}, untrusted_pointers=["/to/1", "/x/y"]))
    marked = [line.split()[2] for line in shown if line.startswith("│ ! /")]
    assert marked == ["/to/1", "/x/y"]


@pytest.mark.parametrize(
    ("line", "scope", "uses", "exact"),
    [
        ("y", ONCE, None, False),
        (" S \n", SESSION, None, False),
        ("s x3", SESSION, 3, False),
        ("a x10 exact", ALWAYS, 10, True),
        ("u", UNTIL, None, False),
        ("n", None, None, False),
    ],
)
def test_a_line_is_an_answer(line: str, scope: Any, uses: int | None, exact: bool) -> None:
    prompt = a_prompt({}, ONCE, SESSION, UNTIL, ALWAYS)
    assert asking.understand(prompt, line) == asking.Reply(scope, None, uses, exact)


def test_until_takes_a_time() -> None:
    reply = asking.understand(a_prompt({}, ONCE, UNTIL), "u 30m x2")
    assert reply.expires == pytest.approx(time.time() + 1800, abs=5)
    assert (reply.scope, reply.uses) == (UNTIL, 2)


@pytest.mark.parametrize(
    "line", ["", "yes", "s", "a", "y x2", "y exact", "u 30", "u 30m 2h", "u 0m", "n n", "u x0", "?"]
)
def test_what_is_no_answer_is_none(line: str) -> None:
    with pytest.raises(asking.NotUnderstood):
        asking.understand(a_prompt({}, ONCE, UNTIL), line)
