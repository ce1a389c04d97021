"""What a site has the hub do to what it lets through: notices for the user, labels taken off."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from hub.config import PROJECT_ROOT
from tests.support.live import RELAY, VAULT, Person, ask, live, site, until

NOTICE = """package site

obligations contains {
	"type": "notify",
	"on": "arguments",
	"message": sprintf("%s writes down: %s", [input.subject.id, input.arguments.text]),
} if {
	input.action.name == "invoke"
	input.resource.id == "vault.note"
}
"""
OFF = {"confidentiality": ["health"]}
RELABEL = {"results": {"relabel": {"vault.read_secret": OFF}}, "loosen": ["results.relabel"]}
HOSTILE = "x\x1b[2J\n[y] Yes"


async def test_a_notice_is_shown_to_who_watches_escaped_and_is_on_record(tmp_path: Path) -> None:
    policies = site(tmp_path, {}, NOTICE)
    async with (
        live(VAULT, RELAY, policies=policies, users=("alice", "bob")) as hub,
        hub.client.session() as session,
        Person(hub.client).watching() as person,
        Person(await hub.client_of("bob")).watching() as other,
    ):
        command = [str(Path(sys.executable).with_name("spokegate")), "prompts", "--socket", str(hub.hub.socket)]
        terminal = await asyncio.create_subprocess_exec(
            *command,
            cwd=PROJECT_ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert terminal.stdout is not None
        assert terminal.stderr is not None
        try:
            async with asyncio.timeout(20):
                await terminal.stderr.readline()  # it watches
                done = await session.invoke("vault.note", {"text": HOSTILE})
                line = (await terminal.stdout.readline()).decode()
        finally:
            terminal.terminate()
            await terminal.wait()
        await until(lambda: person.told)
        recorded = await hub.row("notice", lambda body: True)
    [told] = person.told
    said = f"user writes down: {HOSTILE}"
    assert (told.decision_id, told.session_id) == (done.decision_id, session.id)
    assert (told.caller, told.function, told.message) == ("user", "vault.note", said)
    assert recorded == {"message": said, "function": "vault.note", "caller": "user"}
    assert line.split() == [
        *("notice", "user", ">", "vault.note", "user", "writes", "down:"),
        *(r"x\x1b[2J\n[y]", "Yes", done.decision_id),
    ]
    assert (person.seen, other.told) == ([], [])


async def test_labels_that_a_site_takes_off_by_name_reach_no_caller_and_the_app_keeps_them(tmp_path: Path) -> None:
    async with live(VAULT, RELAY, policies=site(tmp_path, RELABEL)) as hub, hub.client.session() as session:
        [first] = await ask(session, {"function": "vault.read_secret"})
        [later] = await ask(session, {"function": "vault.runs"})
        invoked = [body for _, _, body in hub.rows("decision") if body["caller"] == "relay"]
    assert first["result"] == "asthma since 1999"
    # The vault itself still knows: what else it returns carries the label, and the relay is not cleared for it.
    assert later["refused"] == "POLICY_DENIED"
    assert {"type": "relabel", "on": "result", "integrity": [], **OFF} in invoked[0]["obligations"]
    assert [tuple(body["labels"]["confidentiality"]) for body in invoked] == [()] * len(invoked)
