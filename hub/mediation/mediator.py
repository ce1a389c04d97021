"""The mediator: the only way through the hub, readable top to bottom.

`Mediator.mediate` is the ten steps of a call, in order. Every request takes them, whatever its action; a step that does
not apply to an action is skipped by the action's row in `ACTIONS`, not by another path.

Invariants:
    * Nothing is forwarded without a permit, and only step 8 issues one, after step 6 put an allow on record.
    * The canonical bytes that were decided on, with the decision's obligations met, are the bytes delivered.
    * Every way out of `mediate` but a delivery is a refusal that carries the decision id and is on record.
    * A person's yes becomes a grant, and the policies decide again with it: nobody overrules a deny.
    * Whatever entered a spoke is in its labels before it enters, even when the call fails later.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from hub.errors import (
    AppFailed,
    Cancelled,
    ConsentRequired,
    DeadlineExceeded,
    DecisionInvalid,
    FunctionNotFound,
    ObligationUnfulfilled,
    PolicyDenied,
    QuotaExceeded,
    Refused,
    RequestInvalid,
    SpokegateError,
)
from hub.mediation import describe, obligations, schema
from hub.mediation.actions import ACTIONS, Limits
from hub.mediation.asks import SpokeAsks, SpokeConnects
from hub.mediation.call import Call, Delivered
from hub.mediation.caller import Caller, OpenConnection, SessionState, new_id
from hub.mediation.consent import Outcome, Prompts, Question, Yes, refusal_of
from hub.mediation.errands.doors import Doors
from hub.mediation.errands.errand import Errand
from hub.mediation.kept import KeptLabels
from hub.mediation.labels import NONE
from hub.mediation.payloads import Payloads
from hub.mediation.pdp import Pdp, Verdict
from hub.mediation.remembering import shared
from hub.mediation.request import ActionName
from hub.spokes.forwarder import Delivery, Forwarder
from hub.spokes.registry import RegisteredApp, RegisteredFunction, Registry
from hub.spokes.supervisor import Supervisor
from hub.store.audit import AuditLog
from hub.store.grants import Grant, GrantStore

_MAX_NAME_CHARACTERS = 260
_UNKNOWN = ""
_DECISION_SECONDS = 30.0

_log = structlog.get_logger(__name__)


class Mediator:
    """Takes every request through the ten steps.

    Args:
        registry: The installed apps.
        pdp: Who decides.
        prompts: Where a person is asked.
        grants: What persons have agreed to.
        kept: The labels of the data that apps keep.
        audit: Where it is put on record.
        supervisor: Who starts spokes.
        forwarder: The door into them; its permits are issued here alone.
        doors: The doors of the hub's own errands; their permits are issued here alone.
        limits: What is bounded before the policies are asked.
        payloads: Where what was said in recent requests is held.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        pdp: Pdp,
        prompts: Prompts,
        grants: GrantStore,
        kept: KeptLabels,
        audit: AuditLog,
        supervisor: Supervisor,
        forwarder: Forwarder,
        doors: Doors,
        limits: Limits,
        payloads: Payloads | None = None,
    ) -> None:
        self._registry = registry
        self._pdp = pdp
        self._prompts = prompts
        self._grants = grants
        self._kept = kept
        self._audit = audit
        self._supervisor = supervisor
        self._forwarder = forwarder
        self._permits = forwarder.take_issuer()
        self.doors = doors
        self._errand_permits = doors.take_issuers()
        self._limits = limits
        self._payloads = payloads or Payloads()

    @property
    def longest_decision_seconds(self) -> float:
        """How long a request may wait for a person and for the log, before it is forwarded."""
        return self._limits.prompt_timeout_seconds + _DECISION_SECONDS

    async def mediate(
        self,
        caller: Caller,
        action: ActionName,
        function: str,
        arguments_json: str = "{}",
        *,
        reviewed: Call | None = None,
        errand: Errand | None = None,
        on_answer: Callable[[str], None] | None = None,
    ) -> Delivered:
        """Take one request through the ten steps.

        Args:
            caller: Who asks, by the stream that the request came in on.
            action: What it asks for.
            function: The function asked for, `app.function`; for an errand its resource's id.
            arguments_json: The arguments, as the caller wrote them.
            reviewed: Action `return` only: the call whose result is decided on.
            errand: What the hub itself is asked to do, where it is that; see `errand`.
            on_answer: Hears the pieces of an answer in words before it is whole, where the decision lets a user.

        Returns:
            What the caller gets, on record as allowed.

        Raises:
            SpokegateError: Any of them; the request is refused, and nothing more of it happens.
        """
        call = self._identify(caller, action, function, reviewed, errand)  # 1
        call.on_answer = on_answer
        try:
            async with asyncio.timeout_at(caller.deadline):
                await self._resolve(call, arguments_json)  # 2
                await self._describe(call)  # 3
                await self._decide(call)  # 4
                await self._consent(call)  # 5
                await self._record(call)  # 6
                self._oblige(call)  # 7
                await self._forward(call)  # 8
                await self._check_result(call)  # 9
                return self._learn(call)  # 10
        except TimeoutError as error:
            raise await self._refuse(call, DeadlineExceeded(f"{function}: the deadline passed")) from error
        except asyncio.CancelledError:
            self._audit.record_later(call.as_ending(Cancelled()))
            raise
        except SpokegateError as error:
            raise await self._refuse(call, error) from error
        except Exception as error:
            _log.exception("a call failed in the hub", decision_id=call.decision_id)
            raise await self._refuse(call, SpokegateError(f"{type(error).__name__}: {error}")) from error

    async def probe(self, caller: Caller, patterns: Sequence[str] = ()) -> list[RegisteredFunction]:
        """Return the functions, of those named if any are, that a caller may ask for, each by a decision of its own."""
        functions = self._registry.concerning(caller.app, patterns)
        answers = await asyncio.gather(
            *(self.mediate(caller, "probe", function.id) for function in functions), return_exceptions=True
        )
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, (PolicyDenied, FunctionNotFound)):
                raise answer
        return [f for f, answer in zip(functions, answers, strict=True) if isinstance(answer, Delivered)]

    async def errand(self, caller: Caller, errand: Errand) -> Delivered:
        """Take what the hub itself is asked to do through the ten steps; it is done when this returns.

        Raises:
            SpokegateError: See `mediate`.
        """
        with errand.counted(caller):
            return await self.mediate(caller, errand.action, errand.id, json.dumps(errand.arguments), errand=errand)

    # 1. identify

    def _identify(
        self, caller: Caller, action: ActionName, function: str, reviewed: Call | None, errand: Errand | None
    ) -> Call:
        # No function or other resource has a longer name; what is asked for in vain must not fill memory and log.
        function = function[:_MAX_NAME_CHARACTERS]
        if ACTIONS[action].forwards and errand is None:
            caller.session.count(function if self._registry.function(function) is not None else _UNKNOWN)
        return Call(
            caller=caller,
            labels=caller.labels,
            # A result is reviewed for who asked as it was when it asked.
            given=reviewed.given if reviewed is not None else caller.given,
            action=action,
            function=function,
            decision_id=new_id("d"),
            started=time.perf_counter(),
            payload_in_log=self._payloads.in_log,
            errand=errand,
            parent_decision_id=reviewed.decision_id if reviewed is not None else "",
            taken_off=reviewed.taken_off if reviewed is not None else NONE,
            result=reviewed.result if reviewed is not None else None,
            result_json=reviewed.result_json if reviewed is not None else b"",
        )

    # 2. resolve and validate

    async def _resolve(self, call: Call, arguments_json: str) -> None:
        if call.caller.hop > self._limits.max_hops:
            raise QuotaExceeded(f"more than {self._limits.max_hops} hops: {' > '.join(call.caller.chain)}")
        if call.errand is None:
            call.target = self._registry.function(call.function)
        elif call.errand.by_spokes_only and call.caller.app is None:
            raise RequestInvalid(f"only a spoke may {call.action}")
        try:
            call.arguments = schema.parse(arguments_json, what="arguments")
            if not isinstance(call.arguments, dict):
                raise RequestInvalid("arguments: not a JSON object")
            call.arguments_json = schema.canonical(call.arguments, what="arguments")
            if call.target is not None and ACTIONS[call.action].takes_arguments:
                schema.check(call.arguments, call.target.arguments_validator, what="arguments")
        except (RequestInvalid, QuotaExceeded):
            # What is wrong with the arguments says that the function exists: only who may discover it learns that.
            if call.errand is None:
                call.probed = True
                await self.mediate(call.caller, "probe", call.function)
            raise
        if call.caller.type == "user" and call.errand is None and call.caller.session.plan is None:
            call.caller.session.evidence.add_user_arguments(call.arguments)  # with a plan, the hub writes them

    # 3. describe

    async def _describe(self, call: Call) -> None:
        if call.errand is not None:
            await call.errand.look()
        grants = await self._grants.holding(
            user=call.caller.session.user,
            session=call.caller.session.id,
            caller=call.caller.id,
            function=call.function,
            bindings=describe.bindings(call),
        )
        call.result_labels = describe.result_labels(call)
        call.grants = {grant.id: grant for grant in grants}
        call.document = describe.access_request(call, grants).to_input()

    # 4. decide

    async def _decide(self, call: Call) -> None:
        verdict = await self._pdp.decide(call.document)
        while (grant := verdict.decision.grant) is not None:
            if grant not in call.grants:
                raise DecisionInvalid(f"the policies decide by the grant {grant}, which is not in the access request")
            if await self._grants.use(call.grants[grant]):
                break
            # Another request used the grant up, or a person revoked it, between the question and the answer.
            await self._describe(call)
            verdict = await self._pdp.decide(call.document)
        call.verdict = verdict
        call.decided_by = verdict.decision.decided_by

    # 5. consent

    async def _consent(self, call: Call) -> None:
        if not ACTIONS[call.action].may_prompt or (question := await self._question(call)) is None:
            return
        with self._prompts.ask(question) as asked:
            call.caller.session.prompts += asked.shown
            await self._put_on_record(call)
            answer = await asked.answer()
        if answer.outcome is not Outcome.APPROVED or answer.yes is None:
            call.caller.session.declined[describe.question_of(call)] += answer.outcome is Outcome.REFUSED
            raise refusal_of(answer)
        await self._audit.record(call.as_outcome("approved"))
        call.edit(answer.yes.edited)
        grant = await answer.grant(lambda yes: self._give(call, yes, asked.question))
        await self._decide_again(call, grant)

    async def _give(self, call: Call, yes: Yes, question: Question) -> Grant:
        call.caller.session.approved += 1
        return await self._grants.give(describe.grant(call, yes, question.offers))

    async def _question(self, call: Call) -> Question | None:
        """Return what to ask a person, if anything, by a decision that knows of all they were asked in the session."""
        session = call.caller.session
        while _verdict_of(call).decision.effect == "ask":
            question = describe.question(call, timeout_seconds=self._limits.prompt_timeout_seconds)
            known = call.document["context"]["counts"]["prompts"]
            if known == session.prompts or not self._prompts.would_show(question):
                return question
            await self._describe(call)
            await self._decide(call)
        return None

    async def _decide_again(self, call: Call, grant: Grant) -> None:
        call.parent_decision_id, call.decision_id = call.decision_id, new_id("d")
        call.recorded = False
        await self._describe(call)
        await self._decide(call)
        decision = _verdict_of(call).decision
        if decision.grant == grant.id:
            call.decided_by = "person"
        elif decision.effect == "ask" and grant.id not in call.grants:
            raise ConsentRequired("the person's yes is used up: others waited for the same answer")
        elif decision.effect == "ask":
            raise PolicyDenied(f"the policies do not honour the grant {grant.id}")

    # 6. record

    async def _record(self, call: Call) -> None:
        decision = _verdict_of(call).decision
        await self._put_on_record(call)
        if decision.effect == "deny":
            raise FunctionNotFound(call.function) if decision.hidden else PolicyDenied(_codes(call))
        if decision.effect != "allow":
            raise ConsentRequired(f"{call.action}: the policies ask, and this action cannot be asked about")

    async def _put_on_record(self, call: Call) -> None:
        # From the moment that it is submitted: a caller that goes away while it is written does not take it back.
        call.recorded = True
        self._payloads.hold(call.decision_id, call.document, len(call.arguments_json) + len(call.result_json))
        try:
            await self._audit.record(call.as_decision())
        except SpokegateError:
            call.recorded = False
            raise

    # 7. oblige

    def _oblige(self, call: Call) -> None:
        decision = _verdict_of(call).decision
        obligations.require_known(decision.obligations)
        for notice in map(call.notice, obligations.notices(decision.obligations)):
            self._audit.record_later(call.as_notice(notice))
            self._prompts.notify(notice)
        if call.errand is not None:
            if decision.review_result:
                raise ObligationUnfulfilled(f"what comes of {call.action} is no function's result to review")
            call.errand.meet(decision.obligations)
            return
        taken_off = obligations.taken_off(decision.obligations)
        if not ACTIONS[call.action].forwards and not call.taken_off >= taken_off:
            raise ObligationUnfulfilled("relabel: what labels a result has is settled before its function is called")
        call.taken_off |= taken_off
        delivered = obligations.apply(decision.obligations, call.arguments, on="arguments")
        if delivered is not call.arguments and call.target is not None:
            try:
                schema.check(delivered, call.target.arguments_validator, what="arguments")
                call.arguments_json = schema.canonical(delivered, what="arguments")
            except RequestInvalid as error:
                raise ObligationUnfulfilled(f"the obligations break the schema: {error}") from error
            call.arguments = delivered
        obligations.require_size(decision.obligations, call.arguments_json, on="arguments")

    # 8. forward

    async def _forward(self, call: Call) -> None:
        if not ACTIONS[call.action].forwards:
            return None
        if call.errand is not None:
            return await self._run(call, call.errand)
        target, session = call.known_target(), call.caller.session
        spoke = await self._supervisor.acquire(
            target.app, user=session.user, session=session.id, connects=SpokeConnects(self, session, target.app)
        )
        session.give(target.app.name, call.labels | describe.function_labels(target))
        await self._keep(session, target.app)
        callee = call.caller.calling(target.app, now=asyncio.get_running_loop().time())
        told = await shared(self, callee, target)
        delivery = Delivery(target.name, call.arguments_json.decode(), call.ahead, told)
        permit = self._permits.issue(decision_id=call.decision_id, what=delivery)
        released = NONE
        try:
            text = await self._forwarder.run(spoke, permit, deadline=callee.deadline, asks=SpokeAsks(self, callee))
            released = call.taken_off
        finally:
            # Even how and when a call fails tells its caller something of what the target knows; it may know it now,
            # which is no reason to give it the rest.
            call.carried = session.labels_of(target.app.name).without(released)
            if call.caller.app is not None:
                session.learn(call.caller.app.name, call.carried)
                await self._keep(session, call.caller.app)
        try:
            call.result = schema.parse(text, what="result")
            call.result_json = schema.canonical(call.result, what="result")
            schema.check(call.result, target.result_validator, what="result")
        except (RequestInvalid, QuotaExceeded) as error:
            raise AppFailed(f"{call.function}: {error}") from error

    async def _run(self, call: Call, errand: Errand) -> None:
        session, app = call.caller.session, call.caller.app
        # What the spoke learnt while this was decided on, it could put into what streams; and what is to come back may
        # have come to carry more.
        while (errand.streams and not call.labels | errand.labels >= call.caller.labels) or (
            not call.result_labels >= errand.labels
        ):
            await self._decide_on_more(call)
        call.carried = errand.labels
        with contextlib.ExitStack() as stack:
            if app is not None:
                session.give(app.name, errand.labels)
                if errand.streams:
                    connection = OpenConnection(call.labels | errand.labels, errand.revoke)
                    stack.enter_context(session.connected(app.name, connection))
                    outgrown = partial(session.revoke_outgrown, app.name)
                    stack.enter_context(self._kept.watching(session.user, app.name, outgrown))
                await self._keep(session, app)
            permit = self._errand_permits[call.action].issue(decision_id=call.decision_id, what=errand.what)
            await errand.run(permit)

    async def _decide_on_more(self, call: Call) -> None:
        self._audit.record_later(call.as_outcome("decided again"))
        call.parent_decision_id, call.decision_id = call.decision_id, new_id("d")
        call.recorded, call.labels = False, call.caller.labels
        await self._describe(call)
        await self._decide(call)
        await self._consent(call)
        await self._record(call)
        self._oblige(call)

    async def _keep(self, session: SessionState, app: RegisteredApp) -> None:
        """Let the data that an app keeps carry what its spoke may know from now on."""
        if app.keeps_data:
            await self._kept.join(session.user, app.name, session.labels_of(app.name))

    # 9. check the result

    async def _check_result(self, call: Call) -> None:
        if call.errand is not None:
            return  # its door has bounded what came, and whoever asked may have had it by now
        decision = _verdict_of(call).decision
        changed = obligations.apply(decision.obligations, call.result, on="result")
        if changed is not call.result and call.target is not None:
            try:
                schema.check(changed, call.target.result_validator, what="result")
                call.result, call.result_json = changed, schema.canonical(changed, what="result")
            except RequestInvalid as error:
                raise ObligationUnfulfilled(f"the obligations break the schema: {error}") from error
        obligations.require_size(decision.obligations, call.result_json, on="result")
        # What the target learnt while it worked was not in the labels that were decided on.
        learnt = call.caller.app is not None and not call.result_labels >= describe.result_labels(call)
        if (decision.review_result or learnt) and ACTIONS[call.action].forwards:
            reviewed = await self.mediate(
                call.caller, "return", call.function, call.arguments_json.decode(), reviewed=call
            )
            call.result_json = reviewed.result_json.encode()

    # 10. learn

    def _learn(self, call: Call) -> Delivered:
        session = call.caller.session
        if ACTIONS[call.action].forwards and call.errand is None:
            describe.add_to_evidence(call)
            if call.caller.app is not None:
                session.give(call.caller.app.name, call.carried)
        self._audit.record_later(call.as_outcome("done"))
        return Delivered(decision_id=call.decision_id, result_json=call.result_json.decode(), labels=call.carried)

    async def _refuse(self, call: Call, error: SpokegateError) -> SpokegateError:
        """Put a refusal on record, and return the error to raise.

        An error that carries a decision id already is the refusal of a decision below this one, such as a result's
        review: that id is what the caller is told.
        """
        if call.probed and error.decision_id:
            return error  # of the probe, and on record: the time of a second row would tell hidden from unknown
        error.decision_id = error.decision_id or call.decision_id
        if isinstance(error, Refused) and call.action == "invoke" and call.caller.app is not None:
            call.caller.session.refused[call.function] = error
        ending = call.as_ending(error)
        if call.recorded:
            self._audit.record_later(ending)
            return error
        try:
            await self._audit.record(ending)
        except SpokegateError as unrecorded:
            unrecorded.decision_id = call.decision_id
            return unrecorded
        return error


def _verdict_of(call: Call) -> Verdict:
    if call.verdict is None:
        raise RuntimeError("no verdict yet: the steps ran out of order")
    return call.verdict


def _codes(call: Call) -> str:
    return ", ".join(reason.code for reason in _verdict_of(call).decision.reasons)
