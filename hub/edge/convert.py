"""From the hub's own types to messages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from spokegate.v1 import decision_pb2, error_pb2, hub_pb2, memory_pb2

from hub.errors import RequestInvalid
from hub.mediation import describe, schema
from hub.mediation.consent import Ended, Notice, Outcome, Shown, Yes
from hub.mediation.explain import Explanation, FiredRule
from hub.mediation.labels import Labels
from hub.mediation.request import GrantScope
from hub.spokes.registry import RegisteredApp, RegisteredFunction
from hub.store.audit import Recorded
from hub.store.grants import Grant
from hub.store.memory import Entry, Remembered, Turn
from hub.store.user_data import Attribute

SCOPES: dict[GrantScope, decision_pb2.GrantScope.ValueType] = {
    "once": decision_pb2.GRANT_SCOPE_ONCE,
    "session": decision_pb2.GRANT_SCOPE_SESSION,
    "until": decision_pb2.GRANT_SCOPE_UNTIL,
    "always": decision_pb2.GRANT_SCOPE_ALWAYS,
}
_SCOPES_BACK = {value: scope for scope, value in SCOPES.items()}

_DECIDED_BY = {
    "rule": decision_pb2.DECIDED_BY_RULE,
    "grant": decision_pb2.DECIDED_BY_GRANT,
    "person": decision_pb2.DECIDED_BY_PERSON,
    "default": decision_pb2.DECIDED_BY_DEFAULT,
    "error": decision_pb2.DECIDED_BY_ERROR,
}

_OUTCOMES = {
    Outcome.APPROVED: hub_pb2.PROMPT_OUTCOME_APPROVED,
    Outcome.REFUSED: hub_pb2.PROMPT_OUTCOME_REFUSED,
    Outcome.EXPIRED: hub_pb2.PROMPT_OUTCOME_EXPIRED,
    Outcome.WITHDRAWN: hub_pb2.PROMPT_OUTCOME_WITHDRAWN,
    Outcome.UNWATCHED: hub_pb2.PROMPT_OUTCOME_EXPIRED,
}


def app_info(app: RegisteredApp) -> hub_pb2.AppInfo:
    """Return an app as a client sees it."""
    return hub_pb2.AppInfo(
        name=app.name,
        version=app.manifest.version,
        description=app.manifest.description,
        trust=app.trust,
        clearance=app.clearance,
        digest=app.digest,
        functions=[_function_info(function) for function in app.functions.values()],
        egress=app.egress,
    )


def labels(of: Labels) -> decision_pb2.Labels:
    """Return labels."""
    return labels_of_json(of.to_json())


def labels_of_json(of: Mapping[str, list[str]]) -> decision_pb2.Labels:
    """Return labels that are stored as JSON."""
    return decision_pb2.Labels(confidentiality=of.get("confidentiality"), integrity=of.get("integrity"))


def prompt_event(event: Shown) -> hub_pb2.WatchPromptsResponse:
    """Return a change to the questions that wait, or a notice."""
    if isinstance(event, Notice):
        notice = hub_pb2.Notice(
            decision_id=event.decision_id,
            session_id=event.session,
            function=event.function,
            caller=event.caller,
            message=event.message,
        )
        return hub_pb2.WatchPromptsResponse(notice=notice)
    if isinstance(event, Ended):
        end = hub_pb2.PromptEnd(prompt_id=event.prompt_id, outcome=_OUTCOMES[event.outcome])
        return hub_pb2.WatchPromptsResponse(ended=end)
    return hub_pb2.WatchPromptsResponse(
        waiting=hub_pb2.Prompt(
            prompt_id=event.id,
            decision_id=event.decision_id,
            session_id=event.session,
            caller=event.caller,
            chain=event.chain,
            function=event.function,
            function_effect=event.function_effect,
            arguments_json=event.arguments_json,
            untrusted_pointers=event.untrusted_pointers,
            planned=event.planned,
            labels=labels(event.labels),
            title=event.title,
            detail=event.detail,
            reasons=[decision_pb2.Reason(code=r.code, message=r.message, rule=r.rule) for r in event.reasons],
            scopes=[
                hub_pb2.PromptScope(
                    scope=SCOPES[offer.scope],
                    covers=offer.covers,
                    expire_time=_timestamp(offer.latest) if offer.latest is not None else None,
                )
                for offer in event.offers
            ],
            expire_time=_timestamp(event.expires),
            prompts_before=event.prompts_before,
            control_arguments=event.control_arguments,
        )
    )


def yes(request: hub_pb2.AnswerPromptRequest) -> Yes | None:
    """Return a person's answer: None is a no.

    Raises:
        RequestInvalid: It approves with no scope that there is, or its parts are not of their kind.
    """
    if request.WhichOneof("answer") != "approve":
        return None
    scope = _SCOPES_BACK.get(request.approve)
    if scope is None:
        raise RequestInvalid("approve: name a scope that the prompt offers")
    edited = schema.parse(request.arguments_json, what="arguments_json") if request.arguments_json else None
    if edited is not None and not isinstance(edited, dict):
        raise RequestInvalid("arguments_json: not a JSON object")
    return Yes(
        scope=scope,
        expires=_seconds(request.expire_time) if request.HasField("expire_time") else None,
        uses=request.uses if request.HasField("uses") else None,
        exact=request.exact,
        edited=edited,
    )


def grant(of: Grant) -> decision_pb2.Grant:
    """Return a grant."""
    return decision_pb2.Grant(
        grant_id=of.id,
        scope=SCOPES[of.scope],
        session_id=of.session,
        caller=of.caller,
        function=of.function,
        arguments_digest=of.arguments_digest or "",
        constraint_json={pointer: json.dumps(value) for pointer, value in (of.constraint or {}).items()},
        labels=labels_of_json(of.labels),
        create_time=_timestamp(of.created),
        end_time=_timestamp(of.ended) if of.ended is not None else None,
        expire_time=_timestamp(of.expires) if of.expires is not None else None,
        uses_left=of.uses_left,
        caller_digest=of.caller_digest or "",
        target_digest=of.target_digest or "",
        decision_id=of.decision_id,
        covers=describe.covers(of),
        end_reason=of.end_reason or "",
    )


def record(of: Recorded) -> decision_pb2.DecisionRecord:
    """Return a decision as the audit log holds it."""
    row, body = of.decision, of.decision.body
    error = body["error"] or _error_of(of)
    return decision_pb2.DecisionRecord(
        decision=_decision(row.decision_id, body),
        time=_timestamp(row.time),
        session_id=row.session,
        user=row.user,
        caller=body["caller"],
        chain=body["chain"],
        action=body["action"],
        function=body["function"],
        decided_by=_DECIDED_BY.get(body["decided_by"], decision_pb2.DECIDED_BY_UNSPECIFIED),
        error_reason=error_pb2.ErrorReason.Value(f"ERROR_REASON_{error}")
        if error
        else error_pb2.ERROR_REASON_UNSPECIFIED,
        policy_revision=body["policy_revision"],
        input_digest=body["input_digest"],
        arguments_digest=body["arguments_digest"],
        decision_latency=_duration(body["latency_seconds"]),
        outcome=_outcome_of(of),
        total_latency=_duration(of.outcome.body["total_seconds"]) if of.outcome is not None else None,
        parent_decision_id=body["parent"],
        grant_id=body["grant"] or "",
        labels=labels_of_json(body["labels"]),
    )


def explanation(of: Explanation) -> hub_pb2.ExplainDecisionResponse:
    """Return a decision explained."""
    document = of.recorded.decision.body["input"]
    asked = of.asked
    return hub_pb2.ExplainDecisionResponse(
        record=record(of.recorded),
        input_json=json.dumps(document) if document else "",
        sentence=of.sentence,
        rules=[_fired_rule(rule) for rule in of.rules],
        inputs=[
            hub_pb2.InputFact(pointer=fact.pointer, value_json=json.dumps(fact.value) if fact.known else "")
            for fact in of.inputs
        ],
        asked_again=hub_pb2.AskedAgain(
            why_not=asked.why_not,
            policy_revision=asked.policy_revision,
            now=decision_pb2.Decision(**_settled(asked.now.model_dump(exclude_unset=True)))
            if asked.now is not None
            else None,
            changes=[
                hub_pb2.DecisiveChange(words=flip.change.words, pointer=flip.change.pointer, effect=flip.effect)
                for flip in asked.flips
            ],
            untried=asked.untried,
        ),
        no_words=of.no_words,
    )


def _fired_rule(rule: FiredRule) -> hub_pb2.FiredRule:
    reason = decision_pb2.Reason(code=rule.code, message=rule.message)
    if rule.note is None:
        return hub_pb2.FiredRule(reason=reason, shadow=rule.shadow)
    return hub_pb2.FiredRule(
        reason=reason,
        shadow=rule.shadow,
        title=rule.note.title,
        description=rule.note.description,
        file=rule.note.file,
        line=rule.note.line,
    )


def _function_info(function: RegisteredFunction) -> hub_pb2.FunctionInfo:
    return hub_pb2.FunctionInfo(
        name=function.id,
        description=function.spec.description,
        effect=function.effect,
        egress=function.egress,
        control_arguments=function.control_arguments,
        labels=decision_pb2.Labels(
            confidentiality=function.labels.confidentiality, integrity=function.labels.integrity
        ),
        arguments_schema_json=function.arguments_schema_json,
        result_schema_json=function.result_schema_json,
    )


def _decision(decision_id: str, body: dict[str, Any]) -> decision_pb2.Decision:
    shadow = body.get("shadow")  # rows from before shadow mode lack it
    return decision_pb2.Decision(
        decision_id=decision_id,
        shadow=decision_pb2.Shadow(**_settled(shadow)) if shadow is not None else None,
        **_settled(body),
    )


def _settled(body: dict[str, Any]) -> dict[str, Any]:
    """Return what a decision and its shadow have in common."""
    effects: dict[str, dict[str, Any]] = {
        "allow": {"allow": decision_pb2.AllowEffect()},
        "ask": {"ask": decision_pb2.AskEffect()},
    }
    return {
        "reasons": [decision_pb2.Reason(**reason) for reason in body["reasons"]],
        "obligations": [_obligation(of) for of in body["obligations"]],
        "review_result": body["review_result"],
        **effects.get(body["effect"], {"deny": decision_pb2.DenyEffect(hidden=body.get("hidden", False))}),
    }


def _obligation(of: dict[str, Any]) -> decision_pb2.Obligation:
    return decision_pb2.Obligation(
        type=of["type"],
        on=of.get("on", "arguments"),
        pointer=of.get("pointer", ""),
        value=of.get("value", 0),
        replacement_json=json.dumps(of["replacement"]) if "replacement" in of else "",
        labels=decision_pb2.Labels(confidentiality=of.get("confidentiality"), integrity=of.get("integrity"))
        if of["type"] == "relabel"
        else None,
        message=of.get("message", ""),
    )


def _outcome_of(of: Recorded) -> str:
    if of.outcome is not None:
        return str(of.outcome.body["outcome"])
    if of.decision.body["error"]:
        return str(of.decision.body["error"])
    return "pending" if of.decision.body["effect"] != "deny" else "refused"


def _error_of(of: Recorded) -> str:
    outcome = _outcome_of(of)
    return "" if outcome in ("done", "approved", "decided again", "pending", "refused") else outcome


def attribute(of: Attribute) -> hub_pb2.UserAttribute:
    """Return an attribute of the user."""
    return hub_pb2.UserAttribute(name=of.name, value_json=of.value_json, confidentiality=of.confidentiality)


def remembered(of: Remembered) -> hub_pb2.ExportMemoryResponse:
    """Return one thing that is remembered."""
    labels, stored = labels_of_json(of.what.labels), _timestamp(of.what.stored)
    response = hub_pb2.ExportMemoryResponse(app=of.app, labels=labels, store_time=stored)
    match of.what:
        case Entry(key=key, value_json=value_json):
            response.entry.CopyFrom(memory_pb2.MemoryEntry(key=key, value_json=value_json))
        case Turn(role=role, text=text):
            response.turn.CopyFrom(memory_pb2.MemoryTurn(role=role, text=text))
        case summary:
            response.summary = summary.text
    return response


def _timestamp(seconds: float) -> Timestamp:
    return Timestamp(seconds=int(seconds), nanos=int(seconds % 1 * 1e9))


def _seconds(of: Timestamp) -> float:
    return of.seconds + of.nanos / 1e9


def _duration(seconds: float) -> Duration:
    return Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1e9))
