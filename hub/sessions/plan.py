"""A plan: what is going to be done for a wish, made from the user's words and the catalogue alone.

What a model writes is only ever a choice among what there is. Apps and functions are looked up; a step's task is a
quotation of the wish, or the wish; arguments are taken where the user said every value in them. So a plan carries no
word of anybody but the user, and whoever is handed one learns nothing that the user did not say.
"""

from __future__ import annotations

import graphlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hub.errors import QuotaExceeded, RequestInvalid
from hub.mediation import schema
from hub.mediation.provenance import Evidence
from hub.sessions.catalogue import names_any
from hub.spokes.kinds import RESPOND
from hub.spokes.registry import RegisteredApp, RegisteredFunction

MAX_STEPS = 12
MAX_ANSWER_BYTES = 64 << 10
MAX_TASK_CHARACTERS = 300

_MAX_FUNCTIONS = 16
_MAX_STEPS_IN_ALL = 16

_IN_WORDS = frozenset({"agent", "annotation"})
_FENCED = re.compile(r"\A\s*```[a-z]*\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)
_REFUSING = re.compile(r"\b(but|without|except|excluding|not|never|no|avoid|skip|instead\s+of|\w+n['’]t)\b")
_CLAUSE_END = re.compile(r"[.;:!?,\n]")

_Offered = Mapping[str, RegisteredFunction]


class PlanDefect(Exception):
    """What a model wrote is no plan; the text says what is wrong, in words that may be shown to the model."""


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A call whose arguments the user said, word by word."""

    function: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """What one app is to do.

    Attributes:
        id: "1", "2", …
        app: The app.
        task: What it is to do, in the user's words.
        functions: What is expected to be called for it: `app.function`.
        needs: The steps whose outcome it needs.
        call: The call that does it, where the user's words settle it.
    """

    id: str
    app: RegisteredApp
    task: str
    functions: tuple[str, ...]
    needs: tuple[str, ...] = ()
    call: PlannedCall | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps, none of which needs a later one. Without steps, the assistant answers by itself."""

    steps: tuple[Step, ...] = ()

    @property
    def functions(self) -> frozenset[str]:
        """All functions that are expected to be called."""
        return frozenset(function for step in self.steps for function in step.functions)

    def parts(self) -> list[tuple[Step, ...]]:
        """Return the steps in groups that need nothing of one another, in the order of their first steps.

        What one app is to do is one group: it is told all of it at once.
        """
        part_of: dict[str, list[Step]] = {}
        first_of: dict[str, str] = {}
        for step in self.steps:
            part = [step]
            for joined in (*step.needs, first_of.setdefault(step.app.name, step.id)):
                if joined != step.id and part_of[joined] is not part:
                    part = [*part_of[joined], *part]
                    part_of.update((member.id, part) for member in part)
            part_of.update((member.id, part) for member in part)
        parts = {id(part): part for part in part_of.values()}.values()
        return [tuple(sorted(part, key=lambda step: int(step.id))) for part in parts]


def entry_of(app: RegisteredApp) -> RegisteredFunction | None:
    """Return the function by which an app answers in words, if it is one that does."""
    return app.functions.get(RESPOND) if app.manifest.kind in _IN_WORDS else None


def read_plan(answer: str, wish: str, functions: Sequence[RegisteredFunction]) -> Plan:
    """Return the plan that a model wrote, less whatever there is not.

    Args:
        answer: The model's text.
        wish: The user's words.
        functions: What may be planned.

    Raises:
        PlanDefect: It is no plan.
    """
    items = _items_of(answer)
    known = _by_app(functions)
    chosen = {name: _functions_of(item, name, known.get(item["app"], {})) for name, item in items.items()}
    needs = {name: _needs_of(item, name, items) for name, item in items.items()}
    try:
        order = list(graphlib.TopologicalSorter(needs).static_order())
    except graphlib.CycleError:
        raise PlanDefect("its steps need one another in a circle") from None
    ids: dict[str, str] = {}
    for name in sorted((name for name in order if chosen[name]), key=order.index):
        ids[name] = str(len(ids) + 1)
    evidence = Evidence()
    evidence.add_user_text(wish)
    steps = []
    for name, id_ in ids.items():
        item, offered = items[name], known[items[name]["app"]]
        steps.append(
            Step(
                id=id_,
                app=next(iter(offered.values())).app,
                task=_task_of(item, wish),
                functions=chosen[name],
                needs=tuple(ids[needed] for needed in needs[name] if needed in ids),
                call=_call_of(item, chosen[name], offered, evidence),
            )
        )
    return Plan(tuple(steps))


def with_named_apps(plan: Plan, wish: str, functions: Sequence[RegisteredFunction]) -> Plan:
    """Return the plan with a step for every app that the user names and the plan leaves out.

    No description can talk a model into leaving out what the user asked for by name. A name of one word is as likely
    the word, and a name behind a "not" or a "without" is left to the model.
    """
    steps = list(plan.steps)
    planned = {step.app.name for step in steps}
    for name, offered in _by_app(functions).items():
        if "_" not in name or name in planned or not _asks_for(wish, name) or len(steps) >= _MAX_STEPS_IN_ALL:
            continue
        app = next(iter(offered.values())).app
        entry = entry_of(app)
        ids = (entry.id,) if entry is not None else tuple(function.id for function in offered.values())
        steps.append(Step(str(len(steps) + 1), app, cut(wish), ids[:_MAX_FUNCTIONS]))
    return Plan(tuple(steps))


def cut(text: str) -> str:
    """Return a text of the user as a task: on one line, and no longer than one."""
    words = " ".join(text[: 4 * MAX_TASK_CHARACTERS].split())
    return words if len(words) <= MAX_TASK_CHARACTERS else words[: MAX_TASK_CHARACTERS - 1] + "…"


def _items_of(answer: str) -> dict[str, dict[str, Any]]:
    """Return what a model wrote of each step, by the id that it gave."""
    fenced = _FENCED.match(answer[: 2 * MAX_ANSWER_BYTES])
    try:
        document = schema.parse(fenced[1] if fenced else answer, what="the plan", max_bytes=MAX_ANSWER_BYTES)
    except (RequestInvalid, QuotaExceeded) as error:
        raise PlanDefect(str(error)) from None
    steps = document.get("steps") if isinstance(document, dict) else None
    if not isinstance(steps, list):
        raise PlanDefect('it is no JSON object with a list "steps"')
    if len(steps) > MAX_STEPS:
        raise PlanDefect(f"it has more than {MAX_STEPS} steps")
    items: dict[str, dict[str, Any]] = {}
    for at, item in enumerate(steps, start=1):
        if not isinstance(item, dict) or not isinstance(item.get("app"), str):
            raise PlanDefect(f'step {at} is no object with an "app"')
        name = _id(item.get("id", at))
        if name is None or name in items:
            raise PlanDefect(f'step {at} has no "id" of its own')
        items[name] = item
    return items


def _by_app(functions: Iterable[RegisteredFunction]) -> dict[str, dict[str, RegisteredFunction]]:
    found: dict[str, dict[str, RegisteredFunction]] = {}
    for function in functions:
        found.setdefault(function.app.name, {})[function.name] = function
    return found


def _id(value: Any) -> str | None:
    return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else None


def _needs_of(item: Mapping[str, Any], name: str, items: Mapping[str, Any]) -> list[str]:
    needs = item.get("needs") or []
    names = [_id(need) for need in needs] if isinstance(needs, list) else [None]
    found = [need for need in names if need is not None and need in items]
    if len(found) < len(names):
        raise PlanDefect(f'step {name[:20]!r} has "needs" that are no list of ids of steps')
    return list(dict.fromkeys(found))


def _functions_of(item: Mapping[str, Any], name: str, offered: _Offered) -> tuple[str, ...]:
    """Return those functions of the step's own app that it names; no other app's come into it by being named."""
    functions = item.get("functions") or []
    if not isinstance(functions, list) or not all(isinstance(function, str) for function in functions):
        raise PlanDefect(f'step {name[:20]!r} has "functions" that are no list of names')
    found = [offered.get(function.removeprefix(f"{item['app']}.")) for function in functions]
    chosen = [function.id for function in found if function is not None]
    entry = entry_of(next(iter(offered.values())).app) if offered else None
    if entry is not None and entry.name in offered:
        chosen.insert(0, entry.id)
    return tuple(dict.fromkeys(chosen))[:_MAX_FUNCTIONS]


def _call_of(
    item: Mapping[str, Any], chosen: Sequence[str], offered: _Offered, evidence: Evidence
) -> PlannedCall | None:
    """Return the call that the model gave whole, if it fits its schema and the user said every value in it."""
    call = item.get("call")
    if not isinstance(call, dict) or not isinstance(call.get("arguments"), dict):
        return None
    function = offered.get(str(call.get("function")).removeprefix(f"{item['app']}."))
    if function is None or function.id not in chosen or not function.arguments_validator.is_valid(call["arguments"]):
        return None
    # What is empty says nothing that the user could have said.
    said = evidence.of({name: value for name, value in call["arguments"].items() if value != ""})
    if not all(value.user for value in said.values()):
        return None
    return PlannedCall(function.id, call["arguments"])


def _task_of(item: Mapping[str, Any], wish: str) -> str:
    """Return the words of the wish that the model quotes; all of them where it writes words of its own."""
    quoted = item.get("task")
    if isinstance(quoted, str) and (words := " ".join(quoted.split())) and words in " ".join(wish.split()):
        return cut(words)
    return cut(wish)


def _asks_for(wish: str, name: str) -> bool:
    """Return whether the user names an app, in a clause that does not say no to it."""
    return any(
        names_any(clause, [name]) and not _REFUSING.search(clause.casefold()) for clause in _CLAUSE_END.split(wish)
    )
