"""`explain` under a live hub: what it says, that what it proposes is true, and whom it tells nothing."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from spokegate.v1 import decision_pb2, hub_pb2
from typer.testing import CliRunner

from hub.cli.commands import app as commands
from hub.config import AuditConfig
from hub.mediation.whatif import loosening
from tests.support.live import (
    RELAY,
    SESSION,
    VAULT,
    Live,
    Person,
    ask,
    copied_policies,
    live,
    refused,
    unsaid,
    until,
)

SEND = {"to": "eve@example.com", "body": "secret \x1b[31m"}


def changes(of: hub_pb2.ExplainDecisionResponse) -> dict[str, str]:
    return {change.words: change.effect for change in of.asked_again.changes}


async def explained(hub: Live, function: str, action: str = "invoke") -> hub_pb2.ExplainDecisionResponse:
    """Explain the newest decision about a function."""
    found = [r for r in await hub.client.decisions() if (r.function, r.action) == (function, action)]
    return await hub.client.explain(found[0].decision.decision_id)


async def test_a_deny_names_the_rule_its_place_what_it_read_and_what_would_have_changed_it() -> None:
    async with live(VAULT, RELAY) as hub, hub.client.session() as session:
        await ask(session, {"function": "vault.read_secret"})
        of = await explained(hub, "vault.read_secret")
        assert of.sentence == "relay, for alice, asked to call vault.read_secret. The rules denied it."
        [rule] = of.rules
        assert (rule.reason.code, rule.title) == ("flows.result_to_uncleared", "Result for an uncleared app")
        assert rule.file == "policies/spokegate/rules/flows/flows.rego"
        assert "deny contains" in Path(rule.file).read_text().splitlines()[rule.line - 1]
        facts = {fact.pointer: json.loads(fact.value_json) for fact in of.inputs}
        assert facts["/resource/function/labels/confidentiality"] == ["health"]
        assert facts["/subject/app/clearance"] == []
        assert "/context/hop" not in facts
        assert changes(of) == {
            "if the result of vault.read_secret did not carry health": "allow",
            "if relay were cleared for health": "allow",
        }
        assert of.asked_again.policy_revision == of.record.policy_revision
        assert of.asked_again.untried == 0


async def test_what_is_proposed_for_an_ask_is_what_lets_it_through() -> None:
    async with live(VAULT, RELAY) as hub:
        async with hub.client.session() as session:
            await ask(session, {"function": "vault.read_mail"}, unsaid("vault.note", text="a b"))
            of = await explained(hub, "vault.note")
            assert of.sentence == (
                "relay, for alice, asked to call vault.note. The rules want a person to decide, so alice was asked, "
                "and nobody answered in time."
            )
            found = changes(of)
            assert found["if /text stood in alice's own words"] == "allow"
            assert found["if alice had said yes to this one call of vault.note"] == "allow"
            assert "if it were in the plan" not in found
        async with hub.client.session() as session:
            await ask(session, {"function": "vault.read_mail"}, unsaid("vault.note", text="a b"), user_text="note a b")
            assert (await explained(hub, "vault.note")).record.decision.WhichOneof("effect") == "allow"
        async with hub.client.session() as session, Person(hub.client, SESSION).watching():
            await ask(session, {"function": "vault.read_mail"}, *[unsaid("vault.note", text="a b")] * 2)
            of = await explained(hub, "vault.note")
            assert of.record.decided_by == decision_pb2.DECIDED_BY_GRANT
            assert of.sentence.endswith(f"The grant {of.record.grant_id} allowed it.")
            assert changes(of)[f"without the grant {of.record.grant_id}"] == "ask"


async def test_a_count_is_lowered_no_further_than_it_takes(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "settings.json").write_text('{"site": {"settings": {"budgets": {"max_function_calls": 3}}}}')
    policies = (copied_policies(tmp_path / "policies"), own)
    async with live(VAULT, policies=policies) as hub, hub.client.session() as session:
        for _ in range(3):
            await session.invoke("vault.runs", {})
        error = await refused(session.invoke("vault.runs", {}))
        of = await hub.client.explain(error.decision_id)
        assert changes(of) == {"if the session had asked for vault.runs at most 3 times": "allow"}


async def test_policies_that_have_changed_since_are_said_to_have_and_what_they_would_decide(tmp_path: Path) -> None:
    policies = copied_policies(tmp_path / "policies")
    async with live(VAULT, policies=(policies,)) as hub, hub.client.session() as session:
        decision_id = (await session.invoke("vault.note", {"text": "x"})).decision_id
        before = hub.hub.bundle.revision
        (policies / "site" / "site.rego").write_text(
            'package site\n\ndeny contains {"code": "site.no", "message": "No."} if input.resource.id == "vault.note"\n'
        )
        await until(lambda: hub.hub.bundle.revision != before)
        for _ in range(200):
            of = await hub.client.explain(decision_id)
            if of.asked_again.policy_revision != before:
                break
            await asyncio.sleep(0.05)
        assert of.record.policy_revision == before
        assert of.record.decision.WhichOneof("effect") == "allow"
        assert of.asked_again.now.WhichOneof("effect") == "deny"
        assert of.asked_again.policy_revision == hub.hub.bundle.revision


async def test_without_what_was_said_nothing_is_asked_again_and_with_it_in_the_log_it_is(tmp_path: Path) -> None:
    for payloads in (False, True):
        root = tmp_path / str(payloads)
        root.mkdir()
        decision_id = ""
        async with _hub(root, payloads) as hub, hub.client.session() as session:
            decision_id = (await session.invoke("vault.note", {"text": "between us"})).decision_id
            assert not (await hub.client.explain(decision_id)).asked_again.why_not
        # After a start the hub holds nothing in memory.
        async with _hub(root, payloads) as hub:
            of = await hub.client.explain(decision_id)
            assert ("between us" in of.input_json) is payloads
            assert ("only a digest" in of.asked_again.why_not) is not payloads
            assert of.asked_again.HasField("now") is payloads
            assert (
                "between us" in (root / "state" / "hub.db").read_bytes().decode("latin-1")
            ) is payloads or not payloads


def _hub(root: Path, payloads: bool) -> Any:
    return live(VAULT, root=root, audit=AuditConfig(payloads=payloads))


async def test_another_users_decision_is_none() -> None:
    async with live(VAULT, users=("alice", "mallory")) as hub:
        async with hub.client.session() as session:
            decision_id = (await session.invoke("vault.note", {"text": "x"})).decision_id
        assert (await hub.client.explain(decision_id)).sentence
        mallory = await hub.client_of("mallory")
        error = await refused(mallory.explain(decision_id))
        unknown = await refused(mallory.explain("d-000000000000000000000000"))
        assert (error.reason, unknown.reason) == ("ENTITY_NOT_FOUND", "ENTITY_NOT_FOUND")
        assert str(error).replace(decision_id, "") == str(unknown).replace("d-000000000000000000000000", "")


async def test_the_command_prints_no_wider_than_the_terminal_and_nothing_raw() -> None:
    async with live(VAULT, RELAY) as hub, hub.client.session() as session:
        await ask(session, {"function": "vault.read_mail"}, unsaid("vault.send", **SEND))
        of = await explained(hub, "vault.send")
        line = ["explain", of.record.decision.decision_id, "--socket", str(hub.hub.socket)]
        run = CliRunner(env={"COLUMNS": "80"})
        text = (await asyncio.to_thread(run.invoke, commands, line)).output
        assert "influence.untrusted_control  Steered by something untrusted" in text
        assert "ask" in text.splitlines()[0]
        assert max(map(len, text.splitlines())) <= 80
        assert "\x1b[31m" not in text
        given = (await asyncio.to_thread(run.invoke, commands, [*line, "--format", "json"])).output
        assert json.loads(given)["sentence"] == of.sentence


def test_every_change_changes_one_place_and_leaves_the_request_as_it_is() -> None:
    document = {
        "subject": {
            "id": "relay",
            "user": "alice",
            "app": {"name": "relay", "trust": "reviewed", "clearance": [], "asks": []},
        },
        "resource": {
            "id": "vault.send",
            "app": {"name": "vault", "trust": "system", "clearance": ["a"]},
            "function": {"control_arguments": ["/to"], "labels": {"confidentiality": ["b"], "integrity": []}},
        },
        "arguments": {"to": "x"},
        "context": {
            "session": "s",
            "planned": False,
            "chain": ["user", "relay"],
            "hop": 1,
            "labels": {"confidentiality": ["a", "c"], "integrity": ["web"]},
            "provenance": {"/to": {"user": False, "from": []}},
            "arguments_digest": "sha256:x",
            "counts": {"session": 2},
        },
        "grants": [],
    }
    before = json.dumps(document)
    found = loosening(document)
    assert json.dumps(document) == before
    assert all(json.dumps(change.document) != before for change in found)
    assert [change.size for change in found] == sorted(change.size for change in found)
    assert {change.words for change in found} >= {
        "if relay were not influenced by web",
        "if relay did not carry a",
        "if relay did not carry a, c",
        "if relay were cleared for b",
        "if vault were cleared for c",
        "if the trust in relay were system",
        "if the manifest of relay declared that it asks for vault.send",
        "if it were in the plan",
    }
    assert not any("trust in vault" in change.words for change in found)
