"""An OPA that runs elsewhere: a real server over TCP, with a token; what the hub takes from it, and what it refuses."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from aiohttp import web
from rich.console import Console

from hub.cli import doctor, explain
from hub.cli.output import Exit
from hub.config import Config, OpaConfig
from hub.errors import PdpUnavailable
from hub.mediation.pdp import OpaPdp, RemoteOpa
from hub.mediation.remote import RemoteOpaUnusable, RemotePdp, read_token
from tests.support.live import POLICIES, RELAY, VAULT, ask, live, policies_of, refused, workplace
from tests.support.remote_opa import CLOSED, TOKEN, RemoteServer, remote_opa

DENY_NOTES = """package site

deny contains {"code": "site.no_notes", "message": "No notes today."} if input.resource.id == "vault.note"
"""


def pdp_of(config: OpaConfig, *events: str, seconds: float = 5.0, token: str | None = None) -> RemotePdp:
    at = RemoteOpa(config.url, read_token(config.token_file) if token is None else token, config.ca_file)
    return RemotePdp(at, timeout_seconds=seconds, on_event=list(events).append)


async def problem(pdp: RemotePdp) -> str:
    with pytest.raises(RemoteOpaUnusable) as error:
        async with pdp:
            pass
    return str(error.value)


async def test_a_hub_decides_by_it_records_its_revision_and_explains_by_asking_it_again(tmp_path: Path) -> None:
    async with (
        remote_opa(tmp_path) as server,
        live(VAULT, RELAY, opa=server.config()) as hub,
        hub.client.session() as session,
    ):
        assert str(hub.hub.decider) == f"policies r-1   opa {server.config().url}"
        [outcome] = await ask(session, {"function": "vault.read_secret"})
        explained = await hub.client.explain(outcome["decision_id"])
        rows = [body["what"] for _, _, body in hub.rows("policy")]
        with pytest.raises(RuntimeError, match="the hub has no OPA of its own"):
            _ = hub.hub.opa
    assert outcome["refused"] == "POLICY_DENIED"
    assert explained.record.policy_revision == explained.asked_again.policy_revision == "r-1"
    assert "if relay were cleared for health" in [change.words for change in explained.asked_again.changes]
    assert rows == [f"{server.config().url} decides by r-1"]
    # What the rules say of themselves is not here, and that is said; what they said of this request is.
    console = Console(width=100, highlight=False, force_terminal=False)
    with console.capture() as captured:
        explain.show(console, explained)
    text = captured.get()
    assert explained.no_words == f"the rules are with the OPA at {server.config().url}"
    assert explained.no_words in text
    assert "flows.result_to_uncleared" in text
    assert "have no rule with this code" not in text


async def test_policies_that_are_changed_there_count_at_once_and_are_on_record(tmp_path: Path) -> None:
    async with (
        remote_opa(tmp_path) as server,
        live(VAULT, opa=server.config()) as hub,
        hub.client.session() as session,
    ):
        await session.invoke("vault.note", {"text": "x"})
        stricter = policies_of(tmp_path / "site", DENY_NOTES)
        await server.load(POLICIES, stricter, revision="r-2")
        await hub_notices(lambda: session.invoke("vault.note", {"text": "x"}))
        await hub.row("policy", lambda body: body["what"].endswith(" decides by r-2"))
        error = await refused(session.invoke("vault.note", {"text": "x"}))
        record = (await hub.client.explain(error.decision_id)).record
    assert ([reason.code for reason in record.decision.reasons], record.policy_revision) == (["site.no_notes"], "r-2")


async def hub_notices(call: Callable[[], Awaitable[Any]]) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                await call()
            except Exception:
                return
            await asyncio.sleep(0.05)


async def test_while_it_is_away_every_request_is_refused_and_then_served_again(tmp_path: Path) -> None:
    async with (
        remote_opa(tmp_path) as server,
        live(VAULT, opa=server.config()) as hub,
        hub.client.session() as session,
    ):
        await session.invoke("vault.note", {"text": "x"})
        await server.stop()
        error = await refused(session.invoke("vault.note", {"text": "x"}))
        assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "PDP_UNAVAILABLE")
        await server.start(*CLOSED)
        await session.invoke("vault.note", {"text": "x"})


async def test_one_that_decides_for_whoever_asks_is_refused(tmp_path: Path) -> None:
    async with remote_opa(tmp_path, "--authorization=off") as server:
        said = await problem(pdp_of(server.config()))
    assert "answers without a token" in said
    assert "--authentication=token --authorization=basic" in said


@pytest.mark.parametrize(("revision", "token", "said"), [("", TOKEN, "revision"), ("r-1", "wrong", "401")])
async def test_one_that_gives_this_hub_no_decision_with_a_revision_is_refused(
    tmp_path: Path, revision: str, token: str, said: str
) -> None:
    async with remote_opa(tmp_path, revision=revision) as server:
        found = await problem(pdp_of(server.config(token=token)))
    assert said in found
    assert token not in found


async def test_its_certificate_is_checked(tmp_path: Path) -> None:
    authority, other = trustme.CA(), trustme.CA()
    own = authority.issue_cert("localhost")
    own.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    own.private_key_pem.write_to_path(tmp_path / "key.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    other.cert_pem.write_to_path(tmp_path / "other.pem")
    (tmp_path / "none.pem").write_text("")
    tls = ("--tls-cert-file", str(tmp_path / "cert.pem"), "--tls-private-key-file", str(tmp_path / "key.pem"))
    async with remote_opa(tmp_path, *CLOSED, *tls, tls=True) as server:
        async with pdp_of(server.config(ca_file=tmp_path / "ca.pem")) as pdp:
            assert (await pdp.decide({})).policy_revision == "r-1"
        for certificates, why in (("other.pem", "CERTIFICATE_VERIFY_FAILED"), ("none.pem", "no usable certificates")):
            assert why in await problem(pdp_of(server.config(ca_file=tmp_path / certificates)))
        assert "CERTIFICATE_VERIFY_FAILED" in await problem(pdp_of(server.config()))


@asynccontextmanager
async def pretender(handle: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Any:
    app = web.Application()
    app.router.add_post("/v1/data/spokegate/decision", handle)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_question_is_not_sent_on_to_where_the_server_points(tmp_path: Path) -> None:
    async with remote_opa(tmp_path) as server:
        real = RemoteOpa(server.config().url, TOKEN)

        async def point(request: web.Request) -> web.StreamResponse:
            raise web.HTTPTemporaryRedirect(f"{real.url}{request.rel_url}")

        async with pretender(point) as url, OpaPdp(RemoteOpa(url, TOKEN), timeout_seconds=5) as pdp:
            with pytest.raises(PdpUnavailable):
                await pdp.decide({})
        async with OpaPdp(real, timeout_seconds=5) as pdp:  # the control
            assert (await pdp.decide({})).policy_revision == "r-1"


async def test_one_that_does_not_answer_in_time_is_refused_in_time() -> None:
    over = asyncio.Event()

    async def wait(request: web.Request) -> web.StreamResponse:
        await over.wait()
        return web.json_response({})

    async with pretender(wait) as url:
        pdp = RemotePdp(RemoteOpa(url, TOKEN), timeout_seconds=0.2, on_event=lambda what: None)
        async with asyncio.timeout(3):
            assert "TimeoutError" in await problem(pdp)
        over.set()


async def test_doctor_says_which_decides_and_what_is_wrong_with_it(tmp_path: Path) -> None:
    async with remote_opa(tmp_path) as server:
        well = await asyncio.to_thread(doctor.opa, Config(opa=server.config()))
        unwell = await asyncio.to_thread(doctor.opa, Config(opa=server.config(token="wrong")))
    assert (well.ok, well.detail) == (True, f"runs at {server.config().url}, and decides by r-1")
    assert (unwell.ok, "401" in unwell.detail, "`opa`" in unwell.mend) == (False, True, True)
    assert doctor.opa(Config()).detail.startswith("opa ")


@pytest.mark.parametrize(
    ("content", "mode", "why"),
    [
        (b"token\n", 0o644, "others may read it: chmod 600"),
        (b"token\n", 0o640, "others may read it: chmod 600"),
        (b"\n", 0o600, "not one bearer token"),
        (b"two tokens", 0o600, "not one bearer token"),
        (b"a\r\nX-Header: y", 0o600, "not one bearer token"),
        ("täken".encode(), 0o600, "not one bearer token"),
        (None, 0o600, "it cannot be read"),
    ],
)
def test_a_token_that_is_none_or_others_may_read_stops_the_start(
    tmp_path: Path, content: bytes | None, mode: int, why: str
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
        file.chmod(mode)
    with pytest.raises(RemoteOpaUnusable, match=why) as error:
        read_token(file)
    assert "täken" not in str(error.value)


def test_a_token_is_read_without_the_white_space_around_it(tmp_path: Path) -> None:
    assert read_token(RemoteServer(tmp_path, 1).config(token="a.b-c").token_file) == "a.b-c"


async def up(config: Path, *options: str) -> tuple[int | None, str]:
    """Start a hub from the command line, end it once it is ready, and return its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("spokegate")), "up", "--config", str(config), *options),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        printed = b"".join([await process.stdout.readline() for _ in range(2)])
        if printed:
            process.terminate()
        out, complaints = await process.communicate()
    return process.returncode, (printed + out + complaints).decode()


async def test_the_command_line_goes_before_the_configuration(tmp_path: Path) -> None:
    async with remote_opa(tmp_path) as server, workplace() as root:
        told, config = server.config(), root / "spokegate.yaml"
        config.write_text("state_dir: state\nruntime_dir: run\nopa: {url: 'http://[::1]:1', token_file: t}\n")
        token = ("--opa-token-file", str(told.token_file))
        code, said = await up(config, "--opa-url", told.url, *token)
        assert (code, f"policies r-1   opa {told.url}" in said) == (0, True)
        code, said = await up(config, *token)
        assert (code, "opa.url: http://[::1]:1: OPA did not answer" in said) == (Exit.UNAVAILABLE, True)
        code, said = await up(config, "--opa-url", "http://opa.example.org", *token)
        assert (code, "write `https`" in " ".join(said.replace("│", " ").split())) == (Exit.USAGE, True)
