"""How the demo speaks: headings, decisions as the audit log holds them, prompts and what came of them."""

from __future__ import annotations

from rich.console import Console
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text
from spokegate.v1 import decision_pb2

from hub.cli.output import safe

_MARKS = {"allow": ("✓ allowed", "bold green"), "deny": ("✗ denied", "bold red"), "ask": ("? asked", "bold yellow")}
_INDENT = 12
_LABEL = 18


class Narrator:
    """Prints the story.

    Args:
        console: Where to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console

    def chapter(self, number: int, title: str, text: str) -> None:
        """Begin a chapter."""
        self._console.print()
        self._console.print(Rule(Text(f" {number}  {title} ", style="bold"), align="left", style="dim"))
        self._console.print(Text(text))

    def say(self, text: str, style: str = "") -> None:
        """Say a sentence."""
        self._console.print(Padding(Text(text, style=style), (0, 0, 0, 2)))

    def beside(self, label: str, text: str, style: str = "") -> None:
        """Say a sentence beside a label."""
        grid = Table.grid(padding=(0, 2))
        grid.add_column(width=_LABEL)
        grid.add_column(ratio=1)
        grid.add_row(Text(label, style="bold"), Text(text, style=style))
        self._console.print(Padding(grid, (0, 0, 0, 2)))

    def decision(self, record: decision_pb2.DecisionRecord) -> None:
        """Show one decision: who wanted what, what was decided, by which rule, and how long all of it took."""
        mark, style = _MARKS[record.decision.WhichOneof("effect") or "deny"]
        subject = safe(" → ".join(record.chain))
        line = Text("  ").append(f"{mark:<{_INDENT - 2}}", style=style)
        if record.action == "return":
            line.append(f"{subject} gets the result of {safe(record.function)}")
        else:
            line.append(f"{subject} → ").append(safe(record.function), style="bold")
        self._console.print(line)
        for reason in record.decision.reasons:
            self._below(Text.assemble((reason.code, "cyan"), f"  {safe(reason.message)}"))
        self._footer(record)

    def attempt(self, what: str, inside: str, outside: str, record: decision_pb2.DecisionRecord) -> None:
        """Show what the sandbox answered to an attempt, beside what the same act does outside it."""
        self._console.print(Text.assemble("  snoop tries to ", (what, "bold")))
        self._below(Text.assemble("in the sandbox: ", (inside, "green"), f"   outside it: {outside}"))
        self._footer(record)

    def _footer(self, record: decision_pb2.DecisionRecord) -> None:
        took = record.total_latency.ToTimedelta().total_seconds() * 1000
        latency = record.decision_latency.ToTimedelta().total_seconds() * 1000
        ending = f"{self._outcome(record)}  {took:.1f} ms, policy {latency:.1f} ms"
        self._below(Text(f"{record.decision.decision_id}  {ending}", "dim"))

    @staticmethod
    def _outcome(record: decision_pb2.DecisionRecord) -> str:
        if record.decided_by == decision_pb2.DECIDED_BY_PERSON:
            return f"{record.outcome}, because a person agreed"
        return record.outcome

    def _below(self, text: Text) -> None:
        self._console.print(Padding(text, (0, 0, 0, _INDENT)))
