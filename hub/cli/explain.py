"""`spokegate explain`: a decision told to a person."""

from __future__ import annotations

import json

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from spokegate.v1 import decision_pb2, hub_pb2

from hub.cli.output import EFFECT_STYLES, safe

_MAX_VALUE_CHARACTERS = 240
_MAX_WIDTH = 100
_SHOWN_DIGITS = 12


def show(console: Console, explained: hub_pb2.ExplainDecisionResponse) -> None:
    """Print it, no wider than a person reads."""
    console.print(as_text(explained), soft_wrap=False, width=min(console.width, _MAX_WIDTH))


def as_text(explained: hub_pb2.ExplainDecisionResponse) -> RenderableType:
    """Return what `show` prints."""
    record = explained.record
    parts: list[RenderableType] = [_head(record), Padding(Text(safe(explained.sentence)), (0, 0, 0, 0))]
    if record.decision.HasField("shadow"):
        would = _effect(record.decision.shadow)
        if would != _effect(record.decision):
            said = "With the packages in log-only mode it would have been "
            parts.append(Text.assemble(said, (would, f"bold {EFFECT_STYLES[would]}"), "."))
    for shadow, title in ((False, "Rules"), (True, "Rules in log-only mode")):
        rules = [rule for rule in explained.rules if rule.shadow is shadow]
        if rules:
            parts += [_title(title), *(_indented(_rule(rule, explained.no_words)) for rule in rules)]
    if explained.inputs:
        parts += [_title("What they read"), _indented(_facts(explained.inputs))]
    parts += [_title("What would have changed it"), _indented(_changes(record, explained.asked_again))]
    return Group(*parts)


def _head(record: decision_pb2.DecisionRecord) -> Text:
    effect = _effect(record.decision)
    return Text.assemble(
        (effect, f"bold {EFFECT_STYLES[effect]}"),
        (f"  {record.decision.decision_id}  {record.time.ToDatetime():%Y-%m-%d %H:%M:%S} UTC", "dim"),
    )


def _title(text: str) -> RenderableType:
    return Padding(Text(text, style="bold"), (1, 0, 0, 0))


def _indented(what: RenderableType) -> RenderableType:
    return Padding(what, (0, 0, 0, 2))


def _rule(rule: hub_pb2.FiredRule, no_words: str) -> RenderableType:
    code = rule.reason.code
    lines = [Text.assemble((safe(code), "cyan"), f"  {safe(rule.title)}" if rule.title else "")]
    lines.append(Text(safe(rule.reason.message)))
    unknown = safe(no_words) or "the policies that run now have no rule with this code"
    where = f"{rule.file}:{rule.line}" if rule.file else unknown
    lines.append(Text(safe(where), style="dim"))
    return Group(*lines)


def _facts(facts: object) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for fact in facts:  # type: ignore[attr-defined]  # a repeated field
        value = Text(_value(fact.value_json)) if fact.value_json else Text("kept as a digest", style="dim")
        table.add_row(Text(safe(fact.pointer)), value)
    return table


def _value(value_json: str) -> str:
    """Return a value as JSON that reads easily, cut where it is long."""
    value = json.loads(value_json)
    text = safe(value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _MAX_VALUE_CHARACTERS else f"{text[:_MAX_VALUE_CHARACTERS]} … ({len(text)} characters)"


def _changes(record: decision_pb2.DecisionRecord, asked: hub_pb2.AskedAgain) -> RenderableType:
    if asked.why_not:
        return Text(f"The policies could not be asked again: {safe(asked.why_not)}.")
    parts: list[RenderableType] = []
    now, then = _effect(asked.now), _effect(record.decision)
    codes = ", ".join(reason.code for reason in asked.now.reasons)
    if asked.policy_revision != record.policy_revision:
        same = "decide the same" if now == then else f"would decide {now} ({safe(codes)})"
        parts.append(
            Text(
                f"The policies have changed since, from {_short(record.policy_revision)} to "
                f"{_short(asked.policy_revision)}. Those that run now {same}; they were asked:",
            )
        )
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for change in asked.changes:
        table.add_row(Text(change.effect, style=EFFECT_STYLES.get(change.effect, "")), Text(safe(change.words)))
    if asked.changes:
        parts.append(table)
    else:
        stricter = "stricter" if now == "allow" else "less strict"
        parts.append(Text(f"No single change that was tried makes it {stricter}."))
    if asked.untried:
        parts.append(Text(f"{asked.untried} more changes could not be tried.", style="dim"))
    return Group(*parts)


def _effect(of: decision_pb2.Decision | decision_pb2.Shadow) -> str:
    return of.WhichOneof("effect") or "deny"


def _short(revision: str) -> str:
    return revision.removeprefix("sha256:")[:_SHOWN_DIGITS]
