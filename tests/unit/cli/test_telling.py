"""What a person reads of a wish: every line of an answer behind its bar, however it comes in and whatever is in it."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from spokegate.v1 import error_pb2, hub_pb2

from hub.cli.telling import Answer, Teller

WIDTH = 40


def a_console(width: int = WIDTH) -> tuple[Console, io.StringIO]:
    shown = io.StringIO()
    return Console(file=shown, width=width, highlight=False, force_terminal=False), shown


def answered(*pieces: str) -> list[str]:
    console, shown = a_console()
    answer = Answer(console)
    for piece in pieces:
        answer.add(piece)
    answer.end()
    return shown.getvalue().split("\n")


def told(*events: hub_pb2.ConverseResponse, wish: str = "a wish") -> str:
    console, shown = a_console(width=100)
    teller = Teller(console, wish)
    for event in events:
        teller.tell(event)
    return shown.getvalue()


def step(state: hub_pb2.StepState.ValueType, **fields: object) -> hub_pb2.ConverseResponse:
    return hub_pb2.ConverseResponse(step=hub_pb2.StepChange(step_id="1", state=state, **fields))  # type: ignore[arg-type]


def test_pieces_make_words_and_words_make_lines() -> None:
    assert answered("The fa", "re is $5", "7.", "\n", "\nGood", " bye") == [
        "│ The fare is $57.",
        "│ ",
        "│ Good bye",
        "",
    ]


def test_long_lines_are_wrapped_at_words_and_long_words_anywhere() -> None:
    *lines, last = answered("word " * 30 + "x" * 100 + " 全角文字" * 20)
    assert last == ""
    assert all(line.startswith("│ ") and cell_len(line) <= WIDTH for line in lines)
    assert "".join(line[2:] for line in lines).replace(" ", "").count("word") == 30


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(max_size=60), max_size=6))
def test_no_text_leaves_its_bar_or_its_width(pieces: list[str]) -> None:
    *lines, last = answered(*pieces)
    assert last == ""
    for line in lines:
        assert line.startswith("│ ")
        assert cell_len(line) <= WIDTH + 1  # a space that ends a line may stand beyond it
        assert not {"\x1b", "\r", "\x07", "\u202e", "\x00", "\x9b"} & set(line)


@pytest.mark.parametrize("nothing", [(), ("",), ("", "")])
def test_nothing_is_shown_of_nothing(nothing: tuple[str, ...]) -> None:
    assert answered(*nothing) == [""]


def test_a_plan_says_what_is_done_with_what_and_after_what() -> None:
    steps = [
        hub_pb2.PlanStep(step_id="1", app="mail", task="a wish", functions=["mail.search", "mail.read"]),
        hub_pb2.PlanStep(step_id="2", app="travel_mate", task="wish", functions=["travel_mate.respond"], needs=["1"]),
    ]
    shown = told(hub_pb2.ConverseResponse(plan=hub_pb2.Plan(steps=steps)))
    assert [line.split() for line in shown.splitlines()] == [
        ["plan", "1", "mail", "search,", "read"],
        ["2", "travel_mate", "“wish”", "after", "1"],
    ]


def test_no_plan_says_who_answers() -> None:
    assert "the assistant answers" in told(hub_pb2.ConverseResponse(plan=hub_pb2.Plan()))


def test_a_refused_step_says_so_with_its_decision() -> None:
    plan = hub_pb2.Plan(steps=[hub_pb2.PlanStep(step_id="1", app="mail", functions=["mail.send"])])
    refused = step(
        hub_pb2.STEP_STATE_REFUSED, reason=error_pb2.ErrorReason.ERROR_REASON_POLICY_DENIED, decision_id="d-1"
    )
    shown = told(hub_pb2.ConverseResponse(plan=plan), step(hub_pb2.STEP_STATE_BEGUN), refused)
    assert "✗ 1 mail" in shown
    assert "POLICY_DENIED  d-1" in shown.replace("\n", " ")


def test_hostile_names_and_tasks_steer_nothing() -> None:
    hostile = "\x1b[2J[bold]x\n\u202e"
    plan = hub_pb2.Plan(
        steps=[hub_pb2.PlanStep(step_id=hostile, app=hostile, task=hostile, functions=[hostile], needs=[hostile])]
    )
    end = hub_pb2.ConverseEnd(text=hostile)
    end.labels.integrity.append(hostile)
    shown = told(hub_pb2.ConverseResponse(plan=plan), hub_pb2.ConverseResponse(final=end))
    assert not {"\x1b", "\u202e"} & set(shown)
    assert "[bold]" in shown.replace("\n", "")


def test_an_answer_that_came_in_pieces_is_not_said_again() -> None:
    shown = told(
        hub_pb2.ConverseResponse(text="Hello "),
        hub_pb2.ConverseResponse(text="you"),
        hub_pb2.ConverseResponse(final=hub_pb2.ConverseEnd(text="Hello you", model_calls=1, tokens=1234)),
    )
    assert shown.count("Hello you") == 1
    assert "1 model call · 1,234 tokens · 0 questions" in shown.replace("\n", " ")


def test_an_answer_that_came_in_no_pieces_is_said_in_the_end() -> None:
    assert "│ Hello you\n" in told(hub_pb2.ConverseResponse(final=hub_pb2.ConverseEnd(text="Hello you")))
