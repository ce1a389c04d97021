"""OPA and the policies under a live hub: broken, undefined, malformed, edited, killed; never an allow from nowhere."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import grpc
import pytest

from hub.client import Session
from hub.opa.bundle import PolicyInvalid
from tests.support.live import (
    ALLOW_ALL,
    FIXED,
    VAULT,
    Live,
    copied_policies,
    live,
    policies_of,
    refused,
    until,
    workplace,
)
from tests.support.processes import processes_of

DENY_NOTES = """package site

deny contains {"code": "site.no_notes", "message": "No notes today."} if input.resource.id == "vault.note"
"""


async def test_policies_that_do_not_compile_stop_the_start_and_leave_nothing_running(tmp_path: Path) -> None:
    broken = policies_of(tmp_path / "policies", "package spokegate\n\ndecision := {\n")
    async with workplace() as root:
        with pytest.raises(PolicyInvalid, match=r"decision\.rego:\d+"):
            async with live(VAULT, root=root, policies=(broken,)):
                pass
        assert processes_of(root) == []
        assert [path for path in root.rglob("*") if path.is_socket()] == []


async def test_policies_that_look_at_what_no_access_request_has_stop_the_start(tmp_path: Path) -> None:
    typo = policies_of(tmp_path / "policies", 'package spokegate\n\ndecision := "x" if input.subjct.id == "y"\n')
    with pytest.raises(PolicyInvalid, match="subjct"):
        async with live(VAULT, policies=(typo,)):
            pass


async def test_a_directory_of_policies_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(PolicyInvalid, match="no such directory"):
        async with live(VAULT, policies=(tmp_path / "none",)):
            pass


@pytest.mark.parametrize(
    "text",
    [
        "package spokegate\n\nother := 1\n",
        'package spokegate\n\ndecision := {"effect": "allow"} if input.version == 2\n',
        'package spokegate\n\ndecision := {"effect": "allow"}\n',
        'package spokegate\n\ndecision := "allow"\n',
        "package spokegate\n\ndecision := true\n",
        FIXED % "permit",
        FIXED % "ask",
    ],
)
async def test_a_decision_that_is_undefined_or_malformed_is_a_refusal(tmp_path: Path, text: str) -> None:
    policies = policies_of(tmp_path / "policies", text)
    async with live(VAULT, policies=(policies,)) as hub, hub.client.session() as session:
        error = await refused(session.invoke("vault.note", {"text": "x"}))
        assert (error.code, error.reason) == (grpc.StatusCode.INTERNAL, "DECISION_INVALID")
        record = (await hub.client.explain(error.decision_id)).record
        assert record.decision.WhichOneof("effect") == "deny"
        assert not hub.hub.supervisor.running


async def test_two_rules_that_disagree_are_a_refusal(tmp_path: Path) -> None:
    text = "\n".join(
        ["package spokegate", "decision := 1 if input.version == 1", "decision := 2 if input.version == 1"]
    )
    policies = policies_of(tmp_path / "policies", text + "\n")
    async with live(VAULT, policies=(policies,)) as hub, hub.client.session() as session:
        error = await refused(session.invoke("vault.note", {"text": "x"}))
        assert error.reason in {"DECISION_INVALID", "PDP_UNAVAILABLE"}
        assert not hub.hub.supervisor.running


async def note(session: Session) -> str:
    return (await session.invoke("vault.note", {"text": "x"})).decision_id


async def revision(hub: Live, decision_id: str) -> str:
    return (await hub.client.explain(decision_id)).record.policy_revision


async def test_an_edit_changes_decisions_within_two_seconds_and_a_broken_one_keeps_the_old(tmp_path: Path) -> None:
    policies = copied_policies(tmp_path / "policies")
    site = policies / "site" / "site.rego"
    site.parent.mkdir(exist_ok=True)
    async with live(VAULT, policies=(policies,)) as hub, hub.client.session() as session:
        first = await revision(hub, await note(session))
        assert first == hub.hub.bundle.revision
        site.write_text(DENY_NOTES)
        edited = time.monotonic()
        while True:
            try:
                await note(session)
            except Exception as error:
                decision_id = str(getattr(error, "decision_id", ""))
                break
            assert time.monotonic() - edited < 10
            await asyncio.sleep(0.05)
        took = time.monotonic() - edited
        record = (await hub.client.explain(decision_id)).record
        assert [reason.code for reason in record.decision.reasons] == ["site.no_notes"]
        assert record.policy_revision == hub.hub.bundle.revision != first
        assert took < 2

        site.write_text("package site\n\ndeny contains {\n")
        kept = await hub.row("policy", lambda body: body["what"].startswith("kept "))
        assert "site.rego" in kept["what"]
        assert hub.hub.bundle.revision in kept["what"]
        assert (await refused(note(session))).reason == "POLICY_DENIED"

        site.unlink()
        await until(lambda: hub.hub.bundle.revision == first)
        for _ in range(100):
            try:
                assert await revision(hub, await note(session)) == first
                break
            except Exception:
                await asyncio.sleep(0.05)
        else:
            raise AssertionError("the edit that was taken back still holds")


async def test_a_call_while_opa_is_dead_is_refused_and_recovers(tmp_path: Path) -> None:
    async with live(VAULT) as hub, hub.client.session() as session:
        await note(session)
        pid = hub.hub.opa.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        error = await refused(note(session))
        assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "PDP_UNAVAILABLE")
        await hub.row("policy", lambda body: body["what"] == "opa ended")
        await hub.row("policy", lambda body: body["what"] == "opa runs again")
        assert hub.hub.opa.pid not in {None, pid}
        await note(session)


async def stop(pid: int) -> None:
    """Stop a process, and return when none of its threads runs any more: until then it may still answer."""
    os.kill(pid, signal.SIGSTOP)
    threads = Path(f"/proc/{pid}/task")
    await until(lambda: {(task / "stat").read_text().rpartition(")")[2][1] for task in threads.iterdir()} == {"T"})


async def test_a_call_that_waits_for_opa_when_it_is_killed_is_refused() -> None:
    async with live(VAULT) as hub, hub.client.session() as session:
        await note(session)
        pid = hub.hub.opa.pid
        assert pid is not None
        # Stopped, it has taken the question and cannot answer; killed then, it never will.
        await stop(pid)
        calls = [asyncio.create_task(refused(note(session))) for _ in range(5)]
        await asyncio.sleep(0.2)
        assert not any(call.done() for call in calls)
        os.kill(pid, signal.SIGKILL)
        for error in await asyncio.wait_for(asyncio.gather(*calls), 10):
            assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "PDP_UNAVAILABLE")
        await hub.row("policy", lambda body: body["what"] == "opa runs again")
        await note(session)
        assert [run["function"] for run in (await session.invoke("vault.runs", {})).result] == ["note", "note"]


async def test_an_opa_that_is_stopped_answers_too_late() -> None:
    async with live(VAULT, decision_seconds=0.3) as hub, hub.client.session() as session:
        await note(session)
        pid = hub.hub.opa.pid
        assert pid is not None
        await stop(pid)
        try:
            assert (await refused(note(session))).reason == "PDP_UNAVAILABLE"
        finally:
            os.kill(pid, signal.SIGCONT)
        await note(session)


async def test_the_control_a_policy_that_allows_everything_lets_everything_through(tmp_path: Path) -> None:
    policies = policies_of(tmp_path / "policies", ALLOW_ALL)
    async with live(VAULT, policies=(policies,)) as hub, hub.client.session() as session:
        await session.invoke("vault.erase", {"name": "x"})
        await note(session)
