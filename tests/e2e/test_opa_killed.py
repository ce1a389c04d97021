"""Killing OPA over and over costs refusals, and nothing else."""

from __future__ import annotations

import asyncio
import os
import signal

import grpc

from hub.client import HubError
from tests.support.live import VAULT, live, until

CALLS = 200


async def test_two_hundred_calls_while_opa_is_killed_are_done_or_unavailable_and_all_that_ran_are_on_record() -> None:
    async with live(VAULT) as hub, hub.client.session() as session:
        killed: set[int] = set()
        done: list[str] = []
        refusals: list[HubError] = []

        async def kill() -> None:
            while True:
                pid = hub.hub.opa.pid
                if pid is not None and pid not in killed and len(done) > 5 * len(killed):
                    os.kill(pid, signal.SIGKILL)
                    killed.add(pid)
                await asyncio.sleep(0.03)

        killer = asyncio.create_task(kill())
        for number in range(CALLS):
            try:
                done.append((await session.invoke("vault.note", {"text": f"call {number}"})).decision_id)
            except HubError as error:
                refusals.append(error)
                await asyncio.sleep(0.02)
        killer.cancel()
        await asyncio.gather(killer, return_exceptions=True)

        assert len(done) + len(refusals) == CALLS
        assert len(killed) >= 3
        assert done
        assert {(error.code, error.reason) for error in refusals} == {(grpc.StatusCode.UNAVAILABLE, "PDP_UNAVAILABLE")}
        await until(lambda: hub.hub.opa.pid not in {None, *killed}, 20)
        while True:
            try:
                ran = (await session.invoke("vault.runs", {})).result
                break
            except HubError:
                await asyncio.sleep(0.05)

        await hub.outcome(done[-1])
        rows = hub.rows("decision", "outcome")
    allowed = [id_ for kind, id_, body in rows if kind == "decision" and body["effect"] == "allow"]
    outcomes = {id_: body["outcome"] for kind, id_, body in rows if kind == "outcome"}
    assert len(ran) == len(done)
    assert set(done) <= set(allowed)
    assert {outcomes[id_] for id_ in done} == {"done"}
    assert {id_ for kind, id_, body in rows if kind == "decision" and body["error"] == "PDP_UNAVAILABLE"} >= {
        error.decision_id for error in refusals
    }
