"""One request on its way through the ten steps, and how it stands in the audit log."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from hub.errors import FunctionNotFound, RequestInvalid, SpokegateError, reason_name
from hub.mediation import schema
from hub.mediation.caller import Caller
from hub.mediation.consent import Notice
from hub.mediation.errands.errand import Errand
from hub.mediation.labels import NONE, Labels
from hub.mediation.payloads import PAYLOAD
from hub.mediation.pdp import Verdict
from hub.mediation.request import ActionName
from hub.spokes.registry import RegisteredFunction
from hub.store.audit import Event
from hub.store.grants import Grant

DecidedBy = Literal["rule", "grant", "person", "default", "error"]


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a request brought its caller."""

    decision_id: str
    result_json: str
    labels: Labels


@dataclass(slots=True, eq=False)
class Call:
    """What is known of a request so far. Each step of the mediator adds to it."""

    caller: Caller
    labels: Labels  # what the caller could know when it asked; it may have learnt more since
    given: Labels  # what the caller had been given when it asked
    action: ActionName
    function: str
    decision_id: str
    started: float
    parent_decision_id: str = ""
    payload_in_log: bool = False  # whether the log keeps what was said, not only its digest
    target: RegisteredFunction | None = None
    errand: Errand | None = None  # what the hub itself would do, where that is asked for
    on_answer: Callable[[str], None] | None = None  # hears pieces of the result's text, where it may before it is whole
    arguments: dict[str, Any] = field(default_factory=dict)
    arguments_json: bytes = b"{}"
    document: dict[str, Any] = field(default_factory=dict)
    grants: dict[str, Grant] = field(default_factory=dict)  # those in the document, by id
    carried: Labels = NONE  # what the target could know when its function ended
    taken_off: Labels = NONE  # what the policies take off what the caller gets to know by the result
    result_labels: Labels = NONE  # what the decision was told that the result carries
    verdict: Verdict | None = None
    decided_by: DecidedBy = "error"
    recorded: bool = False
    probed: bool = False  # whether it was found out first if the caller may know of the function at all
    result: Any = None
    result_json: bytes = b"{}"

    def known_target(self) -> RegisteredFunction:
        """Return the function that is asked for.

        Raises:
            FunctionNotFound: There is none of this name.
        """
        if self.target is None:
            raise FunctionNotFound(self.function)
        return self.target

    @property
    def ahead(self) -> Callable[[str], None] | None:
        """Who hears pieces of the answer: a user alone, and where the decision does nothing with the result."""
        if self.verdict is None or self.caller.type != "user":
            return None
        decision = self.verdict.decision
        checked = decision.review_result or any(item.on == "result" for item in decision.obligations)
        return None if checked else self.on_answer

    def as_decision(self, *, error: str = "") -> Event:
        """Return the decision as an event; with an error when it failed before or instead of one."""
        decision = self.verdict.decision if self.verdict is not None and not error else None
        return self._event(
            "decision",
            {
                "action": self.action,
                "function": self.function,
                "caller": self.caller.id,
                "chain": self.caller.chain,
                "effect": decision.effect if decision is not None else "deny",
                "hidden": decision.hidden if decision is not None else False,
                "reasons": [r.model_dump() for r in decision.reasons] if decision is not None else [],
                "obligations": [o.model_dump(exclude_unset=True) for o in decision.obligations]
                if decision is not None
                else [],
                "review_result": decision.review_result if decision is not None else False,
                "shadow": decision.shadow.model_dump(exclude_unset=True)
                if decision is not None and decision.shadow is not None
                else None,
                "diverges": decision.diverges if decision is not None else False,
                "decided_by": self.decided_by,
                "grant": decision.grant if decision is not None else None,
                "error": error,
                "policy_revision": self.verdict.policy_revision if self.verdict is not None else "",
                "input_digest": digest_of(self.document) if self.document else "",
                "arguments_digest": schema.digest(self.arguments_json),
                "labels": self.labels.to_json(),
                "latency_seconds": self.verdict.latency_seconds if self.verdict is not None else 0.0,
                "parent": self.parent_decision_id,
                "input": {
                    key: value for key, value in self.document.items() if self.payload_in_log or key not in PAYLOAD
                },
            },
        )

    def as_outcome(self, outcome: str) -> Event:
        """Return what became of the request as an event: `done`, `approved`, or a reason's name."""
        return self._event(
            "outcome",
            {
                "outcome": outcome,
                "total_seconds": time.perf_counter() - self.started,
                "delivered_digest": schema.digest(self.arguments_json),
                **(self.errand.account if self.errand is not None else {}),
            },
        )

    def as_ending(self, error: SpokegateError) -> Event:
        """Return how a call that fails goes on record: as the outcome of its decision, or in the place of one."""
        if self.recorded:
            return self.as_outcome(reason_name(error))
        self.decided_by = "error"
        return self.as_decision(error=reason_name(error))

    def notice(self, message: str) -> Notice:
        """Return what the policies want the user to be told of the request."""
        session = self.caller.session
        return Notice(session.user, self.decision_id, session.id, self.function, self.caller.id, message)

    def as_notice(self, notice: Notice) -> Event:
        """Return it as an event."""
        return self._event("notice", {"message": notice.message, "function": notice.function, "caller": notice.caller})

    def edit(self, arguments: dict[str, Any] | None) -> None:
        """Put what a person made of the arguments, if anything, in their place: from here on there are no others.

        Raises:
            RequestInvalid: They do not fit the function's schema, or it is no function that is asked for.
        """
        if arguments is None:
            return
        if self.target is None:
            raise RequestInvalid("edited arguments: what is asked for is no function")
        schema.check(arguments, self.target.arguments_validator, what="edited arguments")
        self.arguments_json = schema.canonical(arguments, what="edited arguments")
        self.arguments = arguments

    def _event(self, kind: str, body: dict[str, Any]) -> Event:
        session = self.caller.session
        return Event(kind=kind, body=body, decision_id=self.decision_id, session=session.id, user=session.user)


def digest_of(document: dict[str, Any]) -> str:
    """Return the digest of an access request, by which it is on record."""
    return schema.digest(_compact(document))


def _compact(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode(
        "utf-8", "surrogatepass"
    )
