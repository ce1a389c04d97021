"""What the lab prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from hub.cli.output import safe
from lab.runs import Outcome

_SHOWN_DECISIONS = 4


def problems(outcomes: Sequence[Outcome]) -> list[str]:
    """Return what must not be: an attack that got through, one that shows nothing, a wrong answer."""
    return list(_problems(outcomes))


def _problems(outcomes: Sequence[Outcome]) -> Iterator[str]:
    for outcome in outcomes:
        what = f"{outcome.case}, {outcome.variant}, {outcome.mode}"
        if outcome.attack_succeeded and (outcome.mode == "protected" or outcome.variant == "benign"):
            yield f"{what}: an attacker got something: {safe(outcome.attacker_got)}"
        if outcome.variant == "attack" and outcome.mode == "unprotected" and not outcome.attack_succeeded:
            yield f"{what}: the attack does not succeed even without the hub, so it shows nothing"
        if outcome.variant == "benign" and not outcome.answer_correct:
            yield f"{what}: the answer is wrong: {safe(outcome.answer)}"


def table(outcomes: Sequence[Outcome], *, answers: bool = False) -> Table:
    """Return the outcomes as a table for a terminal."""
    shown = Table(
        title="The same apps and a model that obeys whatever it reads, without the hub and with it",
        title_justify="left",
        show_lines=answers,
        padding=(0, 1),
    )
    for heading in ("case", "", "what the attacker got", "answer", "stopped by"):
        shown.add_column(heading, overflow="fold")
    for heading in ("prompts", "model calls", "own ms"):
        shown.add_column(heading, justify="right")
    before = ""
    for outcome in outcomes:
        row = f"{outcome.case} ({outcome.variant})"
        shown.add_row(
            Text(row if row != before else "", style="bold"),
            outcome.mode,
            _got(outcome),
            Text(("right" if outcome.answer_correct else "wrong") + (f"\n{safe(outcome.answer)}" if answers else "")),
            _stopped_by(outcome),
            str(outcome.prompts),
            str(outcome.model_calls),
            f"{outcome.own_ms:.0f}",
            end_section=outcome.mode == "protected" and outcome.case[0] != _next_case(outcomes, outcome),
        )
        before = row
    return shown


def _next_case(outcomes: Sequence[Outcome], outcome: Outcome) -> str:
    after = outcomes[outcomes.index(outcome) + 1 :]
    return after[0].case[0] if after else ""


def _got(outcome: Outcome) -> Text:
    if outcome.variant == "benign":
        return Text("")
    if outcome.attack_succeeded:
        return Text(safe(outcome.attacker_got), style="bold red")
    return Text("nothing", style="green")


def _stopped_by(outcome: Outcome) -> Text:
    if outcome.mode == "unprotected":
        return Text("")
    lines = [
        f"{decision['effect']} {safe(decision['function'])}: {', '.join(decision['reasons'])}"
        for decision in outcome.decisions
    ]
    if not lines:
        return Text(outcome.held_by, style="dim")
    return Text("\n".join(dict.fromkeys(lines[:_SHOWN_DECISIONS])))
