"""`spokegate grants` against a running hub: what is listed, shown and revoked, in words and as JSON."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from hub.cli.output import Exit
from hub.config import PROJECT_ROOT
from tests.support.live import RELAY, VAULT, Live, Person, ask, live, unsaid
from tests.support.live import SESSION as FOR_SESSION

WISH = unsaid("vault.send", to="eve@example.org", body="x")


async def grants(hub: Live, *arguments: str) -> tuple[int, str]:
    command = [str(Path(sys.executable).with_name("spokegate")), "grants", *arguments, "--socket", str(hub.hub.socket)]

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=30, check=False)

    done = await asyncio.to_thread(run)
    return done.returncode, done.stdout


async def test_a_grant_is_listed_shown_and_revoked_in_the_middle_of_its_session() -> None:
    async with (
        live(VAULT, RELAY) as hub,
        hub.client.session() as session,
        Person(hub.client, FOR_SESSION, None).watching() as person,
    ):
        await ask(session, WISH)
        [given] = await hub.client.grants()
        _, listed = await grants(hub, "list")
        _, shown = await grants(hub, "show", given.grant_id)
        _, as_json = await grants(hub, "list", "--format", "json")
        code, revoked = await grants(hub, "revoke", given.grant_id)
        [outcome] = await ask(session, WISH)
        assert (code, "revoked" in revoked, outcome["refused"]) == (Exit.DONE, True, "CONSENT_REFUSED")
        assert (await grants(hub, "list"))[1].count(given.grant_id) == 0
        assert (await grants(hub, "list", "--ended"))[1].count(given.grant_id) == 1
        _, afterwards = await grants(hub, "show", given.grant_id)
    document: list[dict[str, Any]] = json.loads(as_json)
    words = " ".join(shown.split())
    assert given.grant_id in listed
    assert [(item["scope"], item["covers"]) for item in document] == [("GRANT_SCOPE_SESSION", given.covers)]
    assert given.covers in words
    assert person.seen[0].decision_id in words
    assert "any number" in words
    assert "revoked" in afterwards


async def test_a_grant_that_is_not_there_is_said_not_to_be() -> None:
    async with live(VAULT) as hub:
        assert {(await grants(hub, verb, "g-none"))[0] for verb in ("show", "revoke")} == {Exit.USAGE}
