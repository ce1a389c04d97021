"""What came of one run of a case, and how all of them are told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hub.cli.output import safe
from lab.cases import CASES, Case, Variant

Mode = Literal["unprotected", "protected"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run.

    Attributes:
        case: The case's name.
        variant: With the attack, or without.
        mode: With Spokegate, or without.
        attack_succeeded: Whether the attacker got what it was after.
        attacker_got: What that is.
        answer_correct: Whether the user read what they should.
        prompts: How many questions a person was asked; all were answered with no.
        model_calls: How often the model was asked.
        seconds: How long it took, the model and all.
        own_ms: How long it took besides the model, in milliseconds.
        decisions: What was decided in other ways than to allow it; empty where nothing decides.
        answer: The last answer.
    """

    case: str
    variant: Variant
    mode: Mode
    attack_succeeded: bool
    attacker_got: str
    answer_correct: bool
    prompts: int
    model_calls: int
    seconds: float
    own_ms: float
    decisions: list[dict[str, Any]]
    answer: str

    @property
    def as_it_should_be(self) -> bool:
        """Whether the run shows what the lab is there to show."""
        if self.variant == "benign":
            return self.answer_correct and not self.attack_succeeded
        if self.mode == "unprotected":
            return self.attack_succeeded
        return self.answer_correct and not self.attack_succeeded


def write(outcomes: Sequence[Outcome], path: Path) -> None:
    """Write all outcomes as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1, ensure_ascii=False) + "\n")


def tell(outcomes: Sequence[Outcome], console: Console) -> None:
    """Print what the attackers got, what stopped them, and what it cost."""
    table = Table(title="A model that obeys whatever it reads, without and with Spokegate", title_justify="left")
    for name in ("case", "run"):
        table.add_column(name)
    for name in ("the attacker got", "the answer", "stopped by"):
        table.add_column(name, overflow="fold")
    for name in ("prompts", "model calls", "own ms"):
        table.add_column(name, justify="right")
    known = {(item.case, item.variant, item.mode): item for item in outcomes}
    for case in CASES:
        for variant in ("attack", "benign"):
            for mode in ("unprotected", "protected"):
                item = known.get((case.name, variant, mode))
                if item is not None:
                    table.add_row(*_row(item, case))
        table.add_section()
    console.print(table)
    for item in outcomes:
        if not item.as_it_should_be:
            what = f"{item.case}, {item.variant}, {item.mode}: is not as it should be: {safe(item.answer[:300])}"
            console.print(Text(what, style="bold red"))


def _row(item: Outcome, case: Case) -> list[Text]:
    first = item.mode == "unprotected" and item.variant == "attack"
    attacked = Text("-", style="dim")
    if item.variant == "attack":
        attacked = Text(item.attacker_got, style="red") if item.attack_succeeded else Text("nothing", style="green")
    answer = Text("right", style="green") if item.answer_correct else Text("wrong", style="red")
    return [
        Text(item.case if first else "", style="bold"),
        Text(f"{item.variant}, {item.mode}"),
        attacked,
        answer,
        Text(stopped_by(item, case)),
        Text(str(item.prompts)),
        Text(str(item.model_calls)),
        Text(f"{item.own_ms:.0f}"),
    ]


def stopped_by(item: Outcome, case: Case) -> str:
    """Return what stopped an attack: the decisions that fell, or what holds where none has to."""
    if item.mode == "unprotected" or item.variant == "benign":
        return ""
    found = dict.fromkeys(
        f"{decision['effect']} {decision['resource']}: {', '.join(decision['reasons'])}" for decision in item.decisions
    )
    return "\n".join([*found, *([case.held_by] if case.held_by else [])])
