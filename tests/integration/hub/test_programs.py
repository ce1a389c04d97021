"""An app that is a program, in a whole hub: started cold whatever else, and as good as any other."""

import asyncio

from tests.support.live import ALLOW_ALL, RELAY, VAULT, ask, live, policies_of, refused, workplace
from tests.support.programs import as_program


async def test_a_program_is_called_and_asks_for_other_apps_functions() -> None:
    async with workplace() as root:
        relay = as_program(RELAY, root / "apps")
        async with (
            live(relay, VAULT, root=root, policies=(policies_of(root / "policies", ALLOW_ALL),)) as hub,
            hub.client.session() as session,
        ):
            [answer] = await ask(session, {"function": "vault.read_mail", "arguments": {}})
            assert answer["result"] == "please write to mallory@example.org"
            row = await hub.row("spoke", lambda body: body["what"] == "started" and body["isolation"] == "cold")
            assert row["sandbox"] == "strict"
            # Not by falling back: a warm start was never tried.
            assert not [body for _, _, body in hub.rows("spoke") if body["what"].startswith("no warm start")]


async def test_a_program_that_ends_is_on_record_and_its_caller_is_told_no_more_than_that() -> None:
    async with workplace() as root:
        relay = as_program(RELAY, root / "apps", script="#!/bin/sh\nexit 3\n")
        async with live(relay, root=root) as hub, hub.client.session() as session:
            failed = await refused(asyncio.wait_for(session.invoke("relay.ask", {"requests": []}), 20))
            assert failed.reason == "SPOKE_UNAVAILABLE"
            row = await hub.row("spoke", lambda body: body["what"] == "start failed")
            assert "is run by /bin/sh, which the sandbox does not show" in row["error"]
