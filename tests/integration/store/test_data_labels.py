"""The labels of kept data outlive the hub, and are durable before anybody goes on."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from hub.errors import AuditUnavailable
from hub.mediation.kept import KeptLabels
from hub.mediation.labels import NONE, Labels
from hub.store.audit import AuditLog
from hub.store.data_labels import DataLabelStore
from tests.integration.store.faults import allow_inserts, refuse_inserts

HEALTH, MAIL = Labels.of(["health"]), Labels.of(["contact"], ["untrusted:mail"])


async def test_they_outlive_the_hub_and_are_the_users_and_the_apps_and_the_hubs_own(engine: Engine) -> None:
    async with AuditLog(engine) as audit:
        kept = KeptLabels(DataLabelStore(engine, audit))
        await kept.join("alice", "notes", HEALTH)
        await kept.join("alice", "notes", MAIL)
        await kept.join("alice", "mail", MAIL)
    async with AuditLog(engine) as audit:
        again = KeptLabels(DataLabelStore(engine, audit))
        assert again.of_user("alice") == {"notes": HEALTH | MAIL, "mail": MAIL}
        assert again.of_user("bob") == {}
        assert KeptLabels(DataLabelStore(engine, audit, hub="other")).of_user("alice") == {}


async def test_they_count_in_a_session_that_is_open_already(engine: Engine) -> None:
    async with AuditLog(engine) as audit:
        kept = KeptLabels(DataLabelStore(engine, audit))
        seen_by_another_session = kept.of_user("alice")
        await kept.join("alice", "notes", HEALTH)
    assert seen_by_another_session["notes"] == HEALTH


async def test_what_cannot_be_written_counts_at_once_and_is_written_with_the_next(engine: Engine) -> None:
    async with AuditLog(engine) as audit:
        kept = KeptLabels(DataLabelStore(engine, audit))
        refuse_inserts(engine, "data_labels")
        with pytest.raises(AuditUnavailable):
            await kept.join("alice", "notes", HEALTH)
        assert kept.of_user("alice").get("notes", NONE) == HEALTH
        allow_inserts(engine, "data_labels")
        await kept.join("alice", "notes", HEALTH)
    async with AuditLog(engine) as audit:
        assert KeptLabels(DataLabelStore(engine, audit)).of_user("alice") == {"notes": HEALTH}
