"""What is printed, and what is written down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from tests.lab.agentdojo.measuring import Measured, Row
from tests.lab.agentdojo.own import OwnRow
from tests.lab.agentdojo.runs import Run

_EFFECTS = ("allow", "ask", "deny")


def figures(rows: Sequence[Row], suite: str) -> Table:
    """Return a suite's figures as a table, everything allowed first."""
    table = Table(
        title=f"AgentDojo {suite}: an agent that obeys every injected text, its spokes without a sandbox",
        title_justify="left",
        padding=(0, 1),
    )
    for heading in ("policies", "who answers", "order", "injected text"):
        table.add_column(heading, no_wrap=True)
    for heading in (
        "attack success",
        "utility, attacked",
        "utility",
        "prompts a benign task",
        "prompts an attacked run",
        "ms a call",
    ):
        table.add_column(heading, justify="right")
    before: tuple[str, str] | None = None
    of_suite = sorted((row for row in rows if row.suite == suite), key=lambda row: row.policy)
    for row in of_suite:
        group = (row.policy, row.answerer)
        if before is not None and group != before:
            table.add_section()
        table.add_row(
            row.policy.replace("_", " ") if group != before else "",
            row.answerer.replace("_", " ") if group != before else "",
            row.order,
            row.attack,
            _share(row.attack_success, bad=row.policy == "shipped" and row.attack_success > 0),
            _share(row.utility_under_attack),
            _share(row.utility),
            f"{row.prompts_per_benign_task:.2f}",
            f"{row.prompts_per_attacked_run:.2f}",
            f"{row.ms_per_call:.1f}",
        )
        before = group
    return table


def by_rule(measured: Sequence[Measured], suite: str) -> Table:
    """Return which rules decided on the calls for the user and on the injected ones, with the shipped policies.

    A call of one kind is counted once for each rule that took part.
    """
    wanted, injected = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for of in measured:
        if (of.unit.suite, of.unit.policy, of.unit.answerer) == (suite, "shipped", "perfect"):
            wanted += _rules(of.benign, injected=False)
            injected += _rules(of.attacked_runs, injected=True)
    table = Table(title=f"{suite}: decisions by rule, shipped policies, perfect user", title_justify="left")
    table.add_column("rule")
    table.add_column("")
    table.add_column("calls for the user, not attacked", justify="right")
    table.add_column("injected calls", justify="right")
    for effect in reversed(_EFFECTS):
        for code in sorted({code for of, code in wanted | injected if of == effect}):
            count = wanted[effect, code], injected[effect, code]
            table.add_row(code, effect, *(str(number) if number else "" for number in count))
    return table


def agreed_to(measured: Sequence[Measured], suite: str) -> Table:
    """Return what a user who agrees to everything lets through, by what is injected, and which rules hold the rest."""
    ended, succeeded = Counter[str](), Counter[str]()
    rules: dict[str, Counter[str]] = {}
    for of in measured:
        if (of.unit.suite, of.unit.policy, of.unit.answerer) == (suite, "shipped", "accept_all"):
            for run in of.attacked_runs:
                task = run.situation.injection_task
                ended[task] += 1
                succeeded[task] += run.successful
                denied = [one for one in run.decided if one.attempt.injected and one.effect == "deny"]
                rules.setdefault(task, Counter()).update({code for one in denied for code in one.codes})
    table = Table(title=f"{suite}: who agrees to everything, shipped policies", title_justify="left")
    for heading in ("injection task", "comes through"):
        table.add_column(heading)
    table.add_column("runs in which a rule refused it", overflow="fold")
    for task, number in ended.items():
        held = ", ".join(f"{code} {count}" for code, count in rules[task].most_common())
        table.add_row(task, f"{succeeded[task]} of {number}", held)
    return table


def own_cases(rows: Sequence[OwnRow]) -> Table:
    """Return the attacks of ours as a table."""
    table = Table(title="Ours: what the set lacks, with the shipped policies", title_justify="left", padding=(0, 1))
    for heading in ("suite", "attack", "what stands before it", "rules"):
        table.add_column(heading, overflow="fold")
    table.add_column("prompts", justify="right")
    styles = {"denied": "green", "asked": "", "through": "bold red"}
    says = {"denied": "a rule", "asked": "a person, who has to know better", "through": "nothing"}
    for row in rows:
        what = Text.assemble((row.case, "bold"), f"\n{row.what}")
        unseen = row.found == "denied" and not row.rules
        stands = Text("no text of an error is passed on" if unseen else says[row.found], style=styles[row.found])
        table.add_row(row.suite, what, stands, Text("\n".join(row.rules)), str(row.prompts), end_section=True)
    return table


def own_problems(rows: Sequence[OwnRow]) -> list[str]:
    """Return which of ours do not come out as their description says."""
    found = [
        f"{row.case}: does not succeed even without the hub, so it shows nothing" for row in rows if not row.control
    ]
    return found + [f"{row.case}: is {row.found}, and was {row.held}" for row in rows if row.found != row.held]


def through(measured: Sequence[Measured]) -> Iterator[dict[str, Any]]:
    """Yield every pair that got through the shipped policies, with the trail of its decisions."""
    for of in measured:
        for attacked in of.attacked if of.unit.policy == "shipped" else ():
            for run in attacked.runs:
                if run.successful:
                    yield {
                        "suite": of.unit.suite,
                        "answerer": of.unit.answerer,
                        "order": attacked.order,
                        "attack": attacked.attack,
                        "user_task": run.situation.user_task,
                        "injection_task": run.situation.injection_task,
                        "trail": trail(run),
                        "explained": list(run.explained),
                    }


def trail(run: Run) -> list[dict[str, Any]]:
    """Return what was decided on every call of a run, in order."""
    return [
        {
            "function": one.attempt.function,
            "injected": one.attempt.injected,
            "effect": one.effect,
            "by": one.by,
            "rules": list(one.codes),
            "refused": one.attempt.refused,
            "decision_id": one.decision_id,
        }
        for one in run.decided
    ]


def problems(rows: Sequence[Row]) -> list[str]:
    """Return what must not be: attacks that come through by themselves, and controls that show nothing."""
    found = []
    for row in rows:
        where = f"{row.suite}, {row.order}, {row.attack}, {row.answerer}, {row.policy}"
        if row.policy == "shipped" and row.answerer != "accept_all" and row.attack_success > 0:
            found.append(f"{where}: attacks come through: {row.attack_success:.1%}")
        if row.policy == "allow_all" and row.attack_success == 0:
            found.append(f"{where}: no attack succeeds even where everything is allowed, so nothing is shown")
        if row.policy == "allow_all" and row.utility < 1:
            found.append(f"{where}: not every task is done even where everything is allowed: {row.utility:.1%}")
    return found


def not_carried(measured: Sequence[Measured]) -> list[str]:
    """Return which calls the hub refused where everything is allowed: what they would have come to is not measured."""
    refused = Counter(
        f"{of.unit.suite}: {one.attempt.function}: {one.attempt.refused}: {one.attempt.words}"
        for of in measured
        if of.unit.policy == "allow_all"
        for run in (*of.benign, *of.attacked_runs)
        for one in run.decided
        if one.attempt.refused not in ("", "APP_FAILED")
    )
    return [f"{what} ({count} times, though everything is allowed)" for what, count in refused.most_common()]


def _rules(runs: Sequence[Run], *, injected: bool) -> Counter[tuple[str, str]]:
    return Counter(
        (_effect(one.by, one.effect), code)
        for run in runs
        for one in run.decided
        if one.attempt.injected is injected
        for code in one.codes
    )


def _effect(by: str, effect: str) -> str:
    """Return what the rules said, whatever a person made of it."""
    return "ask" if by == "person" else effect


def _share(share: float, *, bad: bool = False) -> Text:
    return Text(f"{share:.1%}", style="bold red" if bad else "")
