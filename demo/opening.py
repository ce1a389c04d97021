"""How the demo opens: two attacks on a model that obeys whatever it reads, without the hub and with it."""

from __future__ import annotations

from demo.narrator import Narrator
from hub.cli.output import safe
from lab.cases import CASES, Case
from lab.runs import Outcome, obedient_model, protected, unprotected

_SHOWN_ANSWER = 160


async def open_with_attacks(narrator: Narrator) -> None:
    """Run the two attacks in both ways, and tell what came of them."""
    narrator.chapter(
        1,
        "The same attack, twice",
        "The model obeys every word that it reads, whoever wrote it. First the apps run in one process, as agents "
        "mostly do; then the same apps and the same model run behind the hub.",
    )
    async with obedient_model() as model:
        fares, mail = _attack("1b the same in a response"), _attack("2b and passing it on")
        narrator.beside("the user says", fares.wish, "bold")
        narrator.beside("quick_ride says", f"its fare, and: {fares.evil['quick_ride'].note}")
        _tell(narrator, await unprotected(fares, model), *await protected([fares], model))
        narrator.say("")
        narrator.beside("the user says", mail.wish, "bold")
        narrator.beside("the email says", mail.inbox[-1].body)
        _tell(narrator, await unprotected(mail, model), *await protected([mail], model))


def _attack(name: str) -> Case:
    return next(case for case in CASES if case.name == name and case.variant == "attack")


def _tell(narrator: Narrator, bare: Outcome, guarded: Outcome) -> None:
    for label, outcome in (("without the hub", bare), ("behind the hub", guarded)):
        got = safe(outcome.attacker_got)
        narrator.beside(label, f"the attacker got {got or 'nothing'}", "bold red" if got else "bold green")
    for decision in guarded.decisions:
        wanted = f"{' → '.join(decision['chain'])} → {decision['function']}"
        narrator.beside(
            "", f"{decision['effect']}  {safe(wanted)}: {', '.join(decision['reasons'])}; the person said no"
        )
    answer = " ".join(guarded.answer.split())
    if len(answer) > _SHOWN_ANSWER:
        answer = f"{answer[:_SHOWN_ANSWER]}…"
    narrator.beside("", f"the person reads: {safe(answer)}")
    narrator.beside(
        "",
        f"calls of the model: {guarded.model_calls}, without the hub {bare.model_calls}; "
        f"questions: {guarded.prompts}; {guarded.own_ms:.0f} ms besides the model",
        "dim",
    )
