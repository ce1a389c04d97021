"""Finding out what there is from how it is refused: by any byte of a refusal, or by how much work the hub has."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import grpc
import pytest
from spokegate.v1 import decision_pb2, hub_pb2, hub_pb2_grpc

from hub.errors import PolicyDenied, SpokegateError
from hub.mediation.call import Call
from hub.mediation.mediator import Mediator
from hub.mediation.pdp import OpaPdp
from hub.sessions.session import Sessions
from hub.store.audit import AuditLog
from tests.attack.ledger import attack
from tests.attack.mediation.open_house import Guest, Houses
from tests.support.live import ONCE, SESSION, Person, ask, unsaid, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Arguments that fit, that do not fit and that are no JSON.
TEXTS = ['{"text":"x"}', "{}", '{"text":5}', '{"no":1}', "{", '{"text":"x","text":"x"}', "[1]", '{"a":NaN}', ""]
HIDDEN = ["vault.note", "vault.erase", "vault.runs", "relay.ask"]
UNKNOWN = ["vault.none", "none.note", "vault", "", "hub.x", "vault.note.x"]


async def refusals(guest: Guest, function: str, *texts: str) -> list[str]:
    """Return what a spoke that may ask for none of these is refused with, byte by byte."""
    wish = {"function": function, "texts": list(texts)}
    found: list[str] = (await guest.session.invoke("timid.refusals", wish)).result
    return found


@attack(
    "Telling hidden functions from unknown ones by the bytes of the refusal",
    stopped_by="both are answered in one way, whatever the arguments",
)
async def test_by_the_refusal(houses: Houses, defended: bool) -> bool:
    if not defended:
        async with houses.guest(guarded=False) as guest:
            [found] = await ask(guest.session, {"function": "vault.runs"}, through="stranger")
            [unknown] = await ask(guest.session, {"function": "vault.none"}, through="stranger")
        return bool("result" in found and unknown["refused"] == "FUNCTION_NOT_FOUND")
    async with houses.guest(guarded=True) as guest:
        by_text: dict[str, set[str]] = {text: set() for text in TEXTS}
        for function in [*HIDDEN, *UNKNOWN]:
            for text, refusal in zip(TEXTS, await refusals(guest, function, *TEXTS), strict=True):
                by_text[text].add(refusal)
    return len(set.union(*by_text.values())) != 1


@attack(
    "Telling hidden functions from unknown ones by the time that they take",
    stopped_by="both cost one decision and one durable row, whatever the arguments",
)
async def test_by_the_work(houses: Houses, defended: bool, monkeypatch: pytest.MonkeyPatch) -> bool:
    """What takes time is counted, so that a busy machine changes nothing: questions to OPA, and rows waited for."""
    work: Counter[str] = Counter()
    refuse, decide, record = Mediator._refuse, OpaPdp.decide, AuditLog.record

    async def with_a_second_row(self: Mediator, call: Call, error: SpokegateError) -> SpokegateError:
        if error.decision_id and not call.recorded:
            await self._audit.record(call.as_ending(error))
        return await refuse(self, call, error)

    async def counted_decide(self: OpaPdp, document: dict[str, Any]) -> Any:
        work["decisions"] += 1
        return await decide(self, document)

    async def counted_record(self: AuditLog, *args: Any, **options: Any) -> Any:
        work["rows"] += 1
        return await record(self, *args, **options)

    if not defended:
        monkeypatch.setattr(Mediator, "_refuse", with_a_second_row)
    monkeypatch.setattr(OpaPdp, "decide", counted_decide)
    monkeypatch.setattr(AuditLog, "record", counted_record)
    found: dict[str, set[tuple[tuple[str, int], ...]]] = {text: set() for text in TEXTS}
    async with houses.guest(guarded=True) as guest:
        await refusals(guest, "vault.none", "{}")
        for text in TEXTS:
            for function in [*HIDDEN, *UNKNOWN]:
                work.clear()
                await refusals(guest, function, text)
                found[text].add(tuple(sorted(work.items())))
    # The call that asks, and what it asks for.
    if defended:
        assert set.union(*found.values()) == {(("decisions", 2), ("rows", 2))}
    return any(len(costs) > 1 for costs in found.values())


@attack(
    "Telling another user's sessions, prompts, grants and decisions from none",
    stopped_by="what is another's does not exist: the same status to the last byte",
)
async def test_by_the_status(houses: Houses, defended: bool, monkeypatch: pytest.MonkeyPatch) -> bool:
    sessions_of = Sessions._of

    def telling(self: Sessions, user: str, session_id: str) -> Any:
        session = self._sessions.get(session_id)
        if session is not None and session.state.user != user:
            raise PolicyDenied("not yours")
        return sessions_of(self, user, session_id)

    if not defended:
        monkeypatch.setattr(Sessions, "_of", telling)
    async with (
        houses.guest(guarded=True) as alice,
        houses.guest(guarded=True) as bob,
        Person(alice.client, SESSION).watching() as person,
        grpc.aio.insecure_channel(f"unix:{bob.hub.config.runtime_dir / bob.user}.sock") as channel,
    ):
        await ask(alice.session, unsaid("vault.note", text="x"))
        [grant] = await alice.client.grants()
        waiting = asyncio.create_task(ask(alice.session, unsaid("vault.erase", name="x")))
        await until(lambda: len(person.seen) == 2)
        stub: hub_pb2_grpc.HubServiceAsyncStub = hub_pb2_grpc.HubServiceStub(channel)
        theirs = (alice.session.id, person.seen[1].prompt_id, grant.grant_id, person.seen[1].decision_id)
        nobodys = tuple(made[:2] + made[2:][::-1] for made in theirs)
        differ = bool(await statuses(stub, *theirs) != await statuses(stub, *nobodys))
        await alice.client.answer(person.seen[1].prompt_id, None)
        await waiting
    return differ


async def statuses(stub: hub_pb2_grpc.HubServiceAsyncStub, session: str, prompt: str, grant: str, decision: str) -> Any:
    """Return the whole status of every call that names something: code, text and trailing metadata."""
    calls: list[Any] = [
        stub.Invoke(hub_pb2.InvokeRequest(session_id=session, function="vault.runs", arguments_json="{}"), timeout=10),
        stub.Invoke(hub_pb2.InvokeRequest(session_id=session, function="none", arguments_json="{"), timeout=10),
        stub.CloseSession(hub_pb2.CloseSessionRequest(session_id=session), timeout=10),
        stub.AnswerPrompt(hub_pb2.AnswerPromptRequest(prompt_id=prompt, approve=ONCE), timeout=10),
        stub.AnswerPrompt(
            hub_pb2.AnswerPromptRequest(prompt_id=prompt, approve=decision_pb2.GRANT_SCOPE_ALWAYS), timeout=10
        ),
        stub.GetGrant(hub_pb2.GetGrantRequest(grant_id=grant), timeout=10),
        stub.RevokeGrant(hub_pb2.RevokeGrantRequest(grant_id=grant), timeout=10),
        stub.ExplainDecision(hub_pb2.ExplainDecisionRequest(decision_id=decision), timeout=10),
    ]
    found: list[Any] = []
    for call in calls:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        found.append((caught.value.code(), caught.value.details(), tuple(caught.value.trailing_metadata())))
    for listing in (
        stub.ListGrants(hub_pb2.ListGrantsRequest(session_id=session, include_ended=True), timeout=10),
        stub.ListDecisions(hub_pb2.ListDecisionsRequest(session_id=session), timeout=10),
    ):
        found.append((await listing).SerializeToString())
    return found
