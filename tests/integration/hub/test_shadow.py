"""Packages in log-only mode, and limits that a site sets: what has effect, what is on record, what is no policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hub.opa.bundle import PolicyInvalid
from hub.store.database import open_database
from hub.store.export import decision_log
from tests.support.live import RELAY, VAULT, Live, ask, live, refused, site, unsaid

FLOW = "flows.result_to_uncleared"
ALLOW_REST = """package site

allow contains {"code": "site.trial", "message": "It is a trial."} if input.action.name == "invoke"
"""


async def reads_a_secret(hub: Live) -> dict[str, Any]:
    """Let an app that is not cleared for it ask for something confidential."""
    async with hub.client.session() as session:
        found: dict[str, Any] = (await ask(session, {"function": "vault.read_secret"}))[0]
        return found


async def test_a_deny_in_log_only_mode_is_on_record_and_listed_and_without_it_it_denies(tmp_path: Path) -> None:
    async with live(VAULT, RELAY) as hub:
        assert "result" not in await reads_a_secret(hub)
        assert await hub.client.decisions(diverging=True) == []
    policies = site(tmp_path, {"modes": {"flows": "log-only"}})
    async with live(VAULT, RELAY, policies=policies) as hub:
        assert "result" in await reads_a_secret(hub)
        listed = await hub.client.decisions(diverging=True)
        assert [(record.action, record.function, record.outcome) for record in listed] == [
            ("return", "vault.read_secret", "done"),
            ("invoke", "vault.read_secret", "done"),
        ]
        for record in listed:
            assert record.decision.WhichOneof("effect") == "allow"
            assert record.decision.shadow.WhichOneof("effect") == "deny"
            assert [reason.code for reason in record.decision.shadow.reasons] == [FLOW]
        engine = open_database(hub.config.state_dir / "hub.db")
        shadows = [event["result"]["shadow"] for event in decision_log(engine)]
        engine.dispose()
        assert [shadow["effect"] for shadow in shadows if shadow is not None] == ["deny", "deny"]


async def test_an_allow_in_log_only_mode_does_not_allow(tmp_path: Path) -> None:
    request = unsaid("vault.send", to="a@example.com", body="x")
    for mode, allowed in (("enforce", True), ("log-only", False)):
        policies = site(tmp_path, {"modes": {"site": mode}}, ALLOW_REST)
        async with live(VAULT, RELAY, policies=policies) as hub, hub.client.session() as session:
            found = (await ask(session, request))[0]
            assert ("result" in found) is allowed
            listed = await hub.client.decisions(diverging=True)
            assert [r.decision.shadow.WhichOneof("effect") for r in listed] == ([] if allowed else ["allow"])


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"modes": {"flow": "log-only"}}, "modes.flow: no mode can be set for it"),
        ({"modes": {"registry": "log-only"}}, "modes.registry: no mode can be set for it"),
        ({"modes": {"flows": "off"}}, "modes.flows: neither enforce nor log-only"),
        ({"rate": {"max_session_calls_per_minute": 9999}}, "is looser than 600: lower it, or name it in loosen"),
        ({"rates": {}}, "rates: no such setting"),
        ({"results": {"relabel": {"vault.read_secret": {"confidentiality": ["health"]}}}}, "name it in loosen"),
    ],
)
async def test_settings_that_cannot_be_followed_stop_the_start(
    tmp_path: Path, settings: dict[str, Any], problem: str
) -> None:
    with pytest.raises(PolicyInvalid, match=problem):
        async with live(VAULT, policies=site(tmp_path, settings)):
            pass


async def test_a_site_sets_how_fast_one_function_may_be_called(tmp_path: Path) -> None:
    policies = site(tmp_path, {"rate": {"max_function_calls_per_minute": 3}})
    async with live(VAULT, policies=policies) as hub, hub.client.session() as session:
        for _ in range(3):
            await session.invoke("vault.runs", {})
        error = await refused(session.invoke("vault.runs", {}))
        record = (await hub.client.explain(error.decision_id)).record
        assert [reason.code for reason in record.decision.reasons] == ["rate.function"]
        await session.invoke("vault.note", {"text": "another function has its own count"})
