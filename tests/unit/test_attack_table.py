"""The table of the attacks says what happened; an attack whose control fails is as bad as one that comes through."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.attack import ledger


@pytest.fixture(autouse=True)
def own_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ledger, "ATTACKS", {})
    monkeypatch.setattr(ledger, "TABLE", tmp_path / "build" / "table.json")


async def tried(*came_through: tuple[bool, bool | None]) -> list[str]:
    """Try an attack so often, with the defence or without, and return what failed of it."""
    answers = [answer for _, answer in came_through]

    @ledger.attack("a", stopped_by="b", replays="c")
    async def attempt(defended: bool) -> bool:
        answer = answers.pop(0)
        if answer is None:
            raise RuntimeError("it broke")
        return answer

    failures = []
    for defended, _ in came_through:
        try:
            await attempt(defended=defended)
        except (AssertionError, RuntimeError) as error:
            failures.append(str(error).partition(":")[0].partition(",")[0])
    return failures


def row() -> tuple[str, str]:
    [found] = json.loads(ledger.TABLE.read_text())
    assert (found["attack"], found["stopped_by"], found["replays"]) == ("a", "b", "c")
    return found["with_defence"], found["control"]


async def test_an_attack_that_is_blocked_and_whose_control_succeeds_is_as_it_should_be() -> None:
    assert await tried((True, False), (False, True)) == []
    assert ledger.write_table()[-1] == "1 attacks: 1 blocked with the defence, 1 succeeded without it"
    assert row() == ("blocked", "succeeded")


@pytest.mark.parametrize(
    ("came_through", "failure", "outcomes"),
    [
        ([(True, True)], "the attack came through", ("succeeded", "not tried")),
        ([(False, False)], "the control did not come through", ("not tried", "blocked")),
        ([(True, None)], "it broke", ("failed", "not tried")),
        ([(False, True), (False, None)], "it broke", ("not tried", "failed")),
        ([(True, False), (True, True)], "the attack came through", ("MIXED", "not tried")),
    ],
)
async def test_anything_else_fails_and_is_in_the_table(
    came_through: list[tuple[bool, bool | None]], failure: str, outcomes: tuple[str, str]
) -> None:
    assert await tried(*came_through) == [failure]
    ledger.write_table()
    assert row() == outcomes


def test_where_nothing_was_tried_there_is_no_table() -> None:
    assert ledger.write_table() == []
    assert not ledger.TABLE.exists()
