"""A decision point that a test plays."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from typing import Any

from hub.mediation.pdp import Decision, Verdict

REVISION = "sha256:of-the-test"

Rule = Callable[[dict[str, Any]], Decision | Exception | Awaitable[Decision]]


def decision(effect: str = "allow", **changes: Any) -> Decision:
    """Return a decision of the contract, with some fields changed."""
    fields: dict[str, Any] = {
        "effect": effect,
        "decided_by": "rule",
        "grant": None,
        "hidden": False,
        "reasons": [{"code": "test.rule", "message": "As the test wants it.", "rule": "test"}],
        "obligations": [],
        "prompt": {"title": "May it?", "detail": "Nobody knows.", "scopes": ["once", "session"], "until_seconds": 3600}
        if effect == "ask"
        else None,
        "review_result": False,
    }
    return Decision.model_validate({**fields, **changes})


def by_grant(document: dict[str, Any]) -> Decision:
    """Allow by the first grant in the document; ask without one."""
    grants = document["grants"]
    return decision(decided_by="grant", grant=grants[0]["id"]) if grants else decision("ask")


class FakePdp:
    """Answers each access request by a rule of the test, and remembers what it was asked.

    Args:
        rule: What it answers; a decision, or what gives one, raises, or waits.
    """

    def __init__(self, rule: Rule | Decision | None = None) -> None:
        self.rule: Rule | Decision = rule or decision()
        self.asked: list[dict[str, Any]] = []

    async def decide(self, document: dict[str, Any]) -> Verdict:
        self.asked.append(copy.deepcopy(document))
        answer = self.rule if isinstance(self.rule, Decision) else self.rule(document)
        if isinstance(answer, Exception):
            raise answer
        if not isinstance(answer, Decision):
            answer = await answer
        return Verdict(decision=answer, policy_revision=REVISION, latency_seconds=0.001)

    def asked_for(self, action: str) -> list[dict[str, Any]]:
        """Return the access requests with an action."""
        return [document for document in self.asked if document["action"]["name"] == action]
