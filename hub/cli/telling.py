"""What happens to a wish, as a person reads it: the plan, how each step ends, the answer piece by piece, what it took.

All of it may be an app's words. They are escaped, and every line of an answer stands behind a bar that the hub draws:
so no app can draw a plan, a question or an end of its own.
"""

from __future__ import annotations

import re
import time

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text
from spokegate.v1 import error_pb2, hub_pb2

from hub.cli.output import cell, safe

_BAR = "│ "
_MIN_WIDTH = 20
_PIECE = re.compile(r"\n|[^\S\n]+|[^\s]+")
_BY_WORDS = "respond"  # how an app is asked that answers in words; no news to a person
_MARKS = {
    hub_pb2.STEP_STATE_DONE: ("✓", "green"),
    hub_pb2.STEP_STATE_REFUSED: ("✗", "red"),
    hub_pb2.STEP_STATE_FAILED: ("!", "yellow"),
}


class Teller:
    """Tells one wish, event by event.

    Args:
        console: Where.
        wish: The wish; a step that is for all of it need not repeat it.
    """

    def __init__(self, console: Console, wish: str) -> None:
        self._console = console
        self._wish = " ".join(wish.split())
        self._answer = Answer(console)
        self._begun = time.perf_counter()
        self._steps: dict[str, tuple[str, float]] = {}

    def tell(self, event: hub_pb2.ConverseResponse) -> None:
        """Tell one event."""
        match event.WhichOneof("event"):
            case "plan":
                self._answer.end()
                self._plan(event.plan)
            case "step":
                self._step(event.step)
            case "text":
                self._answer.add(event.text)
            case "final":
                self._final(event.final)

    def cancelled(self) -> None:
        """Tell that the person wants it no more."""
        self._answer.end()
        self._console.print(Text("cancelled, and everything that it caused", style="yellow"))

    def _plan(self, plan: hub_pb2.Plan) -> None:
        self._steps = {step.step_id: (step.app, time.perf_counter()) for step in plan.steps}
        if not plan.steps:
            self._console.print(Text("no app is needed: the assistant answers", style="dim"))
            return
        made = Table.grid(padding=(0, 2))
        made.add_column(style="dim", no_wrap=True)
        made.add_column(no_wrap=True)
        made.add_column(overflow="fold")
        made.add_column(style="dim", overflow="fold")
        for number, step in enumerate(plan.steps):
            names = [name.removeprefix(f"{step.app}.") for name in step.functions]
            functions = ", ".join(name for name in names if name != _BY_WORDS)
            needs = f" after {', '.join(step.needs)}" if step.needs else ""
            task = "" if step.task == self._wish or step.task.endswith("…") else f"“{step.task}”"
            head = "plan" if number == 0 else ""
            made.add_row(head, cell(f"{step.step_id} {step.app}", "bold"), cell(functions), cell(f"{task}{needs}"))
        self._console.print(made)

    def _step(self, change: hub_pb2.StepChange) -> None:
        app, begun = self._steps.get(change.step_id, ("", time.perf_counter()))
        if change.state == hub_pb2.STEP_STATE_BEGUN:
            self._steps[change.step_id] = (app, time.perf_counter())
            return
        self._answer.end()
        mark, style = _MARKS.get(change.state, ("?", "dim"))
        line = Text.assemble((f"  {mark} ", style), (safe(f"{change.step_id} {app}"), "bold"))
        line.append(f"  {time.perf_counter() - begun:.1f} s", style="dim")
        if change.state != hub_pb2.STEP_STATE_DONE:
            reason = error_pb2.ErrorReason.Name(change.reason).removeprefix("ERROR_REASON_")
            line.append(f"  {reason}", style=style).append(f"  {safe(change.decision_id)}", style="dim")
        self._console.print(line)

    def _final(self, final: hub_pb2.ConverseEnd) -> None:
        if not self._answer.told:
            self._answer.add(final.text)
        self._answer.end()
        parts = [
            _counted(final.model_calls, "model call"),
            _counted(final.tokens, "token"),
            _counted(final.prompts, "question"),
            f"{time.perf_counter() - self._begun:.1f} s",
        ]
        line = Text("  " + " · ".join(parts), style="dim")
        if labels := [*final.labels.confidentiality, *final.labels.integrity]:
            line.append(f" · {', '.join(map(safe, labels))}", style="yellow")
        self._console.print(line.append("\n"))


class Answer:
    """Prints an answer as it comes in: word by word, wrapped, each line behind a bar.

    Args:
        console: Where.
    """

    def __init__(self, console: Console) -> None:
        self.told = False
        self._console = console
        self._column = 0
        self._open = False
        self._word = ""

    def add(self, text: str) -> None:
        """Print what is whole of a piece of text; a word that may go on is kept until it ends."""
        if not text:
            return
        self.told = True
        *whole, last = _PIECE.findall(self._word + text) or [""]
        self._word = ""
        for piece in whole:
            self._print(piece)
        if last.isspace() or last == "":
            self._print(last)
        else:
            self._word = last

    def end(self) -> None:
        """Print what is left, and end the line."""
        if self._word:
            word, self._word = self._word, ""
            self._print(word)
        if self._open:
            self._write("\n")
            self._open, self._column = False, 0

    def _print(self, piece: str) -> None:
        if piece == "\n":
            self._bar()
            self._write("\n")
            self._open, self._column = False, 0
            return
        shown = " " * min(len(piece), 8) if piece.isspace() else safe(piece)
        width = max(_MIN_WIDTH, self._console.width) - len(_BAR)
        for part in _fitting(shown, width):
            if self._column and self._column + cell_len(part) > width:
                self._write("\n")
                self._open, self._column = False, 0
                if part.isspace():
                    continue
            self._bar()
            self._write(part)
            self._column += cell_len(part)

    def _bar(self) -> None:
        if not self._open:
            self._console.print(Text(_BAR, style="cyan"), end="", soft_wrap=True)
            self._open = True

    def _write(self, text: str) -> None:
        self._console.print(Text(text), end="", soft_wrap=True)


def _fitting(word: str, width: int) -> list[str]:
    """Return a word in parts that each fit on a line."""
    if cell_len(word) <= width:
        return [word]
    parts, part = [], ""
    for character in word:
        if cell_len(part) + cell_len(character) > width:
            parts.append(part)
            part = ""
        part += character
    return [*parts, part]


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("s" if count != 1 else "")
