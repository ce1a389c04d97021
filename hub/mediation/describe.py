"""Step 3, and what else is said about a call: the access request, the question to a person, the grant of a yes."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from hub.mediation import schema
from hub.mediation.call import Call
from hub.mediation.caller import new_id
from hub.mediation.consent import Question, ScopeOffer, Yes
from hub.mediation.labels import NONE, Labels
from hub.mediation.narrowing import value_at
from hub.mediation.provenance import Reading
from hub.mediation.request import (
    VERSION,
    AccessRequest,
    Action,
    AppFact,
    Context,
    Counts,
    FunctionFact,
    GrantFact,
    GrantScope,
    LabelsFact,
    Resource,
    Subject,
)
from hub.spokes.registry import RegisteredApp, RegisteredFunction
from hub.store.grants import Grant, binding_of

_ABSENT = object()
_BINDS_NOTHING = binding_of(None, {})


def access_request(call: Call, grants: Sequence[Grant]) -> AccessRequest:
    """Return the whole of what a decision about a call is made on."""
    session = call.caller.session
    session_minute, function_minute = session.within_a_minute(call.function)
    return AccessRequest(
        version=VERSION,
        subject=Subject(
            type=call.caller.type,
            id=call.caller.id,
            user=session.user,
            roles=list(session.roles),
            app=_app_fact(call.caller.app) if call.caller.app is not None else None,
        ),
        action=Action(name=call.action),
        resource=_resource(call),
        arguments=call.arguments,
        result=call.result,
        context=Context(
            session=session.id,
            time=_rfc3339(time.time()),
            planned=session.plan is not None and call.function in session.plan,
            plan=sorted(session.plan) if session.plan is not None else None,
            chain=list(call.caller.chain),
            hop=call.caller.hop,
            labels=_labels_fact(call.labels),
            called_for=call.target is not None and session.evidence.calls_for(call.target.name),
            provenance=session.evidence.of(call.arguments),
            arguments_digest=schema.digest(call.arguments_json),
            counts=Counts(
                session=session.calls,
                function=session.calls_by_function[call.function],
                session_minute=session_minute,
                function_minute=function_minute,
                prompts=session.prompts,
                approved=session.approved,
                declined=session.declined[question_of(call)],
                session_tokens=session.spending.of_session,
                app_tokens=session.spending.of_app(call.caller.id),
                user_tokens=session.spending.of_user,
            ),
        ),
        grants=[_grant_fact(grant) for grant in grants],
    )


def _resource(call: Call) -> Resource:
    if call.errand is not None:
        return call.errand.resource
    return Resource(
        type="function",
        id=call.function,
        app=_app_fact(call.target.app) if call.target is not None else None,
        function=_function_fact(call.target, call.result_labels) if call.target is not None else None,
    )


def function_labels(function: RegisteredFunction) -> Labels:
    """Return the labels that a function's result carries."""
    return Labels.of(function.labels.confidentiality, function.labels.integrity)


def result_labels(call: Call) -> Labels:
    """Return what the result of a call carries: its function's labels, and what else its app's spoke may know by now.

    What the caller had been given itself when it asked is no news to it. What it may merely know, after a call that
    failed or was refused, is: else asking twice would get what asking once does not.
    """
    if call.errand is not None:
        return call.errand.labels
    if call.target is None:
        return NONE
    known = call.caller.session.labels_of(call.target.app.name)
    return (function_labels(call.target) | known.without(call.given)).without(call.taken_off)


def add_to_evidence(call: Call) -> None:
    """Put what a call returned, and what it wrote, into the evidence of its session."""
    evidence, target = call.caller.session.evidence, call.target
    if target is None:
        return
    reads = target.effect == "read"
    if not reads and call.caller.app is not None:
        evidence.add_written(call.arguments)
    reading = Reading(
        call.function,
        labels=function_labels(target),
        named=reads and _named(call),
        identifiers=target.identifiers if reads and target.app.trust != "unreviewed" else (),
    )
    evidence.add_result(reading, call.result, call.arguments)


def _named(call: Call) -> bool:
    """Return whether the user said what a call was to read, or a person agreed that it is read."""
    if call.decided_by in ("person", "grant"):
        return True
    provenance = call.document["context"]["provenance"]
    # What steers a function without control arguments is all of its arguments.
    pointers = _control_values(call) if call.target and call.target.control_arguments else provenance
    values = [provenance.get(pointer) for pointer in pointers]
    return bool(values) and all(value is not None and value["user"] for value in values)


def question(call: Call, *, timeout_seconds: float) -> Question:
    """Return what to ask a person about a call whose decision is `ask`."""
    if call.verdict is None or call.verdict.decision.prompt is None:
        raise RuntimeError("a question needs a decision that asks")
    decision, prompt = call.verdict.decision, call.verdict.decision.prompt
    provenance = call.document["context"]["provenance"]
    latest = time.time() + prompt.until_seconds
    return Question(
        id=new_id("p"),
        user=call.caller.session.user,
        decision_id=call.decision_id,
        session=call.caller.session.id,
        caller=call.caller.id,
        chain=call.caller.chain,
        function=call.function,
        function_effect=call.target.effect if call.target is not None else "",
        arguments_json=call.arguments_json.decode(),
        control_arguments=tuple(call.target.control_arguments) if call.target is not None else (),
        untrusted_pointers=tuple(
            sorted(p for p, found in provenance.items() if not found["user"] and not _own(call, p))
        ),
        planned=call.document["context"]["planned"],
        labels=call.labels,
        title=prompt.title,
        detail=prompt.detail,
        reasons=tuple(decision.reasons),
        offers=tuple(_offer(call, scope, latest) for scope in prompt.scopes),
        timeout_seconds=timeout_seconds,
        prompts_before=call.caller.session.prompts,
    )


def _own(call: Call, pointer: str) -> bool:
    """Return whether what stands there is what the user says of themselves."""
    own = call.errand.from_user if call.errand is not None else None
    return own is not None and (pointer == own or pointer.startswith(f"{own}/"))


def grant(call: Call, yes: Yes, offers: Sequence[ScopeOffer]) -> Grant:
    """Return the grant that a person's yes to a call makes, bound to what the person saw, or made of it."""
    caller, session = call.caller, call.caller.session
    # Whoever agrees to an errand agrees to what it brings: to a connection, and to hear from the host.
    labels = call.labels | call.errand.labels if call.errand is not None else call.labels
    exact = yes.exact or _binds_exactly(call, yes.scope)
    [latest] = [offer.latest for offer in offers if offer.scope == yes.scope]
    return Grant(
        id=new_id("g"),
        scope=yes.scope,
        user=session.user,
        session=session.id,
        caller=caller.id,
        function=call.function,
        arguments_digest=schema.digest(call.arguments_json) if exact else None,
        constraint=None if exact else _control_values(call),
        labels=labels.to_json(),
        created=time.time(),
        decision_id=call.decision_id,
        caller_digest=caller.app.digest if caller.app is not None else None,
        target_digest=call.target.app.digest if call.target is not None else None,
        expires=yes.expires or latest,
        uses_left=yes.uses,
        chain=list(caller.chain),
    )


def question_of(call: Call) -> tuple[str, str, str]:
    """Return what makes a question the same one, to the person: who asks, for what, with which arguments."""
    return call.caller.id, call.function, schema.digest(call.arguments_json)


def bindings(call: Call) -> set[str]:
    """Return each binding of a grant that could cover a call: its arguments, its control arguments, or nothing."""
    control = _control_values(call)
    found = {schema.digest(call.arguments_json), _BINDS_NOTHING}
    return found | {binding_of(None, control)} if control else found


def covers(given: Grant) -> str:
    """Return what a grant covers, for a person."""
    fixed = ", ".join(f"{pointer} = {json.dumps(value)}" for pointer, value in (given.constraint or {}).items())
    what = f"calls of {given.function} by {given.caller}{_behind(given.chain or ())}"
    if "/" in given.function:
        what = f"uses of {given.function} by {given.caller}"
    elif ":" in given.function:
        what = f"connections of {given.caller} to {given.function}"
    if given.arguments_digest is not None:
        what += " with exactly the arguments that it was given for"
    elif fixed:
        what += f" with {fixed}"
    carried = [label for labels in given.labels.values() for label in labels]
    return f"{what}; no other labels than {', '.join(carried)}" if carried else f"{what}; no labels"


def _offer(call: Call, scope: GrantScope, latest: float) -> ScopeOffer:
    function, caller = call.function, call.caller.id
    if call.errand is not None:
        return ScopeOffer(scope, call.errand.offer(scope, caller), latest if scope == "until" else None)
    if scope == "once":
        return ScopeOffer(scope, f"This one call of {function}, with exactly these arguments.")
    fixed = ", ".join(sorted(_control_values(call)))
    same = f" with the same {fixed}" if fixed else ""
    if _binds_exactly(call, scope):
        same = " with exactly these arguments"
    every = f"Every call of {function} by {caller}{_behind(call.caller.chain)}{same}"
    if scope == "session":
        return ScopeOffer(scope, f"{every}, until the session ends.")
    if scope == "until":
        when = datetime.fromtimestamp(latest, UTC).strftime("%Y-%m-%d %H:%M UTC")
        return ScopeOffer(scope, f"{every}, in any session, until {when} or earlier.", latest)
    return ScopeOffer(scope, f"{every}, in any session, until you revoke it or either app changes.")


def _behind(chain: Sequence[str]) -> str:
    """Return who is between the user and the caller, for a person: a grant is good for them and for nobody else."""
    return f" for {' > '.join(chain[1:-1])}" if len(chain) > len(("user", "caller")) else ""


def _binds_exactly(call: Call, scope: GrantScope) -> bool:
    """Return whether a grant is for the exact arguments.

    What steers a function without control arguments is all of its arguments: past the session, they must stay.
    """
    if scope == "once" or (call.errand is not None and call.errand.exact):
        return True
    return scope != "session" and not _control_values(call)


def _control_values(call: Call) -> dict[str, Any]:
    """Return the control arguments that the call has, by pointer."""
    pointers = call.target.control_arguments if call.target is not None else ()
    found = {pointer: value_at(call.arguments, pointer, _ABSENT) for pointer in pointers}
    return {pointer: value for pointer, value in found.items() if value is not _ABSENT}


def _grant_fact(given: Grant) -> GrantFact:
    return GrantFact(
        id=given.id,
        scope=given.scope,
        user=given.user,
        session=given.session,
        caller=given.caller,
        function=given.function,
        caller_digest=given.caller_digest,
        target_digest=given.target_digest,
        arguments_digest=given.arguments_digest,
        constraint=given.constraint,
        labels=LabelsFact(**given.labels),
        expires=_rfc3339(given.expires) if given.expires is not None else None,
        uses_left=given.uses_left,
        chain=given.chain,
    )


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _labels_fact(labels: Labels) -> LabelsFact:
    return LabelsFact(**labels.to_json())


@lru_cache(maxsize=4096)
def _app_fact(app: RegisteredApp) -> AppFact:
    return AppFact(
        name=app.name,
        trust=app.trust,
        clearance=list(app.clearance),
        digest=app.digest,
        asks=list(app.asks),
        egress=list(app.egress),
        asks_model=app.asks_model,
        remembers=app.remembers,
        user_data=[f"{function}.{item.name}" for item in app.manifest.user_data for function in item.functions],
    )


@lru_cache(maxsize=16384)
def _function_fact(function: RegisteredFunction, labels: Labels) -> FunctionFact:
    return FunctionFact(
        name=function.name,
        effect=function.effect,
        egress=function.egress,
        control_arguments=list(function.control_arguments),
        labels=_labels_fact(labels),
    )
