"""A decision in a sentence: who asked what of whom, what was decided, and by what."""

from __future__ import annotations

from typing import Any

from hub.store.audit import Recorded

_WANTED = {
    "invoke": "asked to call {function}",
    "return": "was to receive the result of {function}",
    "probe": "asked whether it may know of {function}",
    "connect": "asked to connect to {function}",
    "generate": "asked {function} for an answer",
    "remember": "asked to store into {function}",
    "recall": "asked to read {function}",
    "share": "was to be told {function}",
}


def sentence(of: Recorded) -> str:
    """Return it."""
    body, user = of.decision.body, of.decision.user
    wanted = _WANTED.get(body["action"], f"asked to {body['action']} {{function}}").format(function=body["function"])
    if body["caller"] == "user":
        who = user
    else:
        through = " > ".join(body["chain"][1:-1])
        who = f"{body['caller']}, for {user}" + (f" through {through}" if through else "") + ","
    return f"{who} {wanted}. {_decided(of, body, user)}"


def _decided(of: Recorded, body: dict[str, Any], user: str) -> str:
    outcome = of.outcome.body["outcome"] if of.outcome is not None else ""
    if body["error"]:
        return f"There was no decision: {_words(body['error'])}. It was refused."
    effect, by = body["effect"], body["decided_by"]
    if effect == "ask":
        why = "No rule decides it" if by == "default" else "The rules want a person to decide"
        return f"{why}, so {user} was asked, {_answer(outcome)}."
    if effect == "deny":
        hidden = ", as if there were no such function" if body["hidden"] else ""
        return f"The rules denied it{hidden}."
    said = {
        "grant": f"The grant {body['grant']} allowed it.",
        "person": f"{user} was asked and said yes, which is the grant {body['grant']}; with it the rules allowed it.",
    }.get(by, "The rules allowed it.")
    if outcome not in ("", "done"):
        said += f" It failed all the same: {_words(outcome)}."
    return said


def _answer(outcome: str) -> str:
    return {
        "approved": "and said yes; it was decided again with that",
        "CONSENT_REFUSED": "and said no",
        "CONSENT_REQUIRED": "and nobody answered in time",
        "": "and has not answered yet",
    }.get(outcome, f"and it ended without an answer ({_words(outcome)})")


def _words(reason: str) -> str:
    return reason.lower().replace("_", " ")
