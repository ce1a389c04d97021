"""The way out of a real spoke: through the real sandbox, the real policies and the real resolver."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import trustme

from hub.app import CertificatesUnusable
from hub.config import EgressConfig
from tests.support.apps import APPS, variant
from tests.support.egress import Site, greet
from tests.support.live import Live, Shared, app, live, shared, workplace

# They share hubs, which live in a loop.
pytestmark = pytest.mark.asyncio(loop_scope="module")

# A name that every machine resolves, to loopback, where the test's host is.
HOST = "localhost"
CURL = "/usr/bin/curl"


@asynccontextmanager
async def outside(
    root: Path,
    *,
    tls: bool = False,
    listed: bool = True,
    declared: bool = True,
    trust: str = "reviewed",
    programs: tuple[str, ...] = (),
) -> AsyncIterator[tuple[Shared, str, Site]]:
    """Run a host, and a hub with an app that reaches out."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if tls else None
    if context is not None:
        authority.issue_cert(HOST).configure_cert(context)
    async with Site(greet).open(ssl=context) as site, workplace() as place:
        host = f"{HOST}:{site.port}"
        declares = {"egress": [host if declared else "other.example.org:443"], "programs": list(programs)}
        reach = variant(APPS / "reach", root, "reach", **declares)
        for certificates in (reach / "ca.pem", place / "ca.pem"):
            authority.cert_pem.write_to_path(certificates)
        egress = EgressConfig(
            private_addresses=(f"127.0.0.1:{site.port}", f"[::1]:{site.port}") if listed else (),
            ca_file=place / "ca.pem",
        )
        async with shared(app(reach, trust=trust), tests=12, root=place, egress=egress) as hub:
            yield hub, f"{'https' if tls else 'http'}://{host}/", site


class Outsides:
    """A hub and a host for each set of options, shared by the tests that use it."""

    def __init__(self, new_root: Callable[[], Path], stack: AsyncExitStack) -> None:
        self._new_root = new_root
        self._stack = stack
        self._known: dict[tuple[tuple[str, Any], ...], tuple[Shared, str, Site]] = {}

    @asynccontextmanager
    async def outside(self, **options: Any) -> AsyncIterator[tuple[Live, str, Site]]:
        key = tuple(sorted(({"tls": False} | options).items()))
        if key not in self._known:
            self._known[key] = await self._stack.enter_async_context(outside(self._new_root(), **options))
        hubs, url, site = self._known[key]
        site.forget()
        async with hubs.next() as hub:
            yield hub, url, site


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outsides(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Outsides]:
    async with AsyncExitStack() as stack:
        yield Outsides(lambda: tmp_path_factory.mktemp("outside"), stack)


@pytest.mark.parametrize("tls", [False, True])
async def test_a_spoke_fetches_from_a_declared_host(outsides: Outsides, tls: bool) -> None:
    async with outsides.outside(tls=tls) as (hub, url, site), hub.client.session() as session:
        answer = await session.invoke("reach.get", {"by": "fetch", "url": url})
        [decided] = [body for _, _, body in hub.rows("decision") if body["action"] == "connect"]
        recorded = await hub.row("outcome", lambda body: "traffic" in body)
        listed = [body["what"] for _, _, body in hub.rows("egress")]
        [known] = await hub.client.apps()
    assert answer.result == {"status": 200, "body": "hello"}
    assert (decided["chain"], decided["reasons"][0]["code"]) == (["user", "reach"], "egress.declared")
    assert (recorded["outcome"], site.reached) == ("done", 1)
    assert listed == [f"private addresses let through: 127.0.0.1:{site.port}, [::1]:{site.port}"]
    assert list(known.egress) == [f"{HOST}:{site.port}"]


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        ({"declared": False}, "POLICY_DENIED"),
        ({"listed": False}, "HOST_UNAVAILABLE"),
        ({"trust": "unreviewed"}, "CONSENT_REQUIRED"),
    ],
)
async def test_a_spoke_fetches_from_no_other(outsides: Outsides, options: dict[str, bool], refused: str) -> None:
    async with outsides.outside(**options) as (hub, url, site), hub.client.session() as session:
        answer = await session.invoke("reach.get", {"by": "fetch", "url": url})
    assert (answer.result, site.reached) == ({"refused": refused}, 0)


async def test_a_decision_on_a_connection_can_be_listed_and_explained(outsides: Outsides) -> None:
    async with outsides.outside() as (hub, url, _), hub.client.session() as session:
        await session.invoke("reach.get", {"by": "fetch", "url": url})
        [record] = [item for item in await hub.client.decisions() if item.action == "connect"]
        explained = await hub.client.explain(record.decision.decision_id)
    assert record.function == url.removeprefix("http://").rstrip("/")
    assert json.loads(explained.input_json)["resource"]["type"] == "host"


async def test_what_was_heard_from_a_host_is_the_spokes_label_in_its_next_call(outsides: Outsides) -> None:
    async with outsides.outside() as (hub, url, site), hub.client.session() as session:
        await session.invoke("reach.get", {"by": "fetch", "url": url})
        await session.invoke("reach.get", {"by": "fetch", "url": url})
        labels = [body["labels"]["integrity"] for _, _, body in hub.rows("decision") if body["action"] == "connect"]
    assert labels == [[], [f"untrusted:{HOST}:{site.port}"]]


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_certificates_that_cannot_be_used_stop_the_start(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)
    with pytest.raises(CertificatesUnusable, match=r"egress\.ca_file: .*ca\.pem holds no usable certificates"):
        async with live(APPS / "reach", egress=EgressConfig(ca_file=tmp_path / "ca.pem")):
            pass


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("client", ["httpx", "requests"])
async def test_an_unmodified_client_in_a_spoke_reaches_a_declared_host(
    outsides: Outsides, client: str, tls: bool
) -> None:
    async with outsides.outside(tls=tls) as (hub, url, _), hub.client.session() as session:
        answer = await session.invoke("reach.get", {"by": client, "url": url})
        [decided] = [body for _, _, body in hub.rows("decision") if body["action"] == "connect"]
    assert answer.result == {"status": 200, "body": "hello"}
    assert (decided["caller"], decided["reasons"][0]["code"]) == ("reach", "egress.declared")
    assert decided["input"]["resource"]["host"]["scheme"] == ("connect" if tls else "http")


@pytest.mark.parametrize("options", [{"declared": False}, {"listed": False}, {"trust": "unreviewed"}])
@pytest.mark.parametrize("client", ["httpx", "requests"])
async def test_an_unmodified_client_in_a_spoke_reaches_no_other(
    outsides: Outsides, client: str, options: dict[str, bool]
) -> None:
    async with outsides.outside(**options) as (hub, url, site), hub.client.session() as session:
        answer = await session.invoke("reach.get", {"by": client, "url": url})
    assert (answer.result["status"], site.reached) == (502 if options == {"listed": False} else 403, 0)


@pytest.mark.parametrize("tls", [False, True])
async def test_curl_in_a_spoke_reaches_a_declared_host_and_no_other(outsides: Outsides, tls: bool) -> None:
    async with (
        outsides.outside(tls=tls, programs=(CURL,)) as (hub, url, site),
        hub.client.session() as session,
    ):
        there = await session.invoke("reach.get", {"by": "curl", "url": url})
        other = await session.invoke("reach.get", {"by": "curl", "url": url.replace(HOST, "other.example.org")})
        past = await session.invoke("reach.get", {"by": "curl_past_the_proxy", "url": url})
        decided = [body for _, _, body in hub.rows("decision") if body["action"] == "connect"]
        started = await hub.row("spoke", lambda body: body["what"] == "started")
    assert there.result == {"status": 200, "body": "hello"}
    assert (other.result["status"], "hello" in other.result["body"]) == (403, False)
    assert "error" in past.result
    assert site.reached == 1
    assert started["sandbox"] == "strict"
    assert [(body["caller"], body["effect"], body["reasons"][0]["code"]) for body in decided] == [
        ("reach", "allow", "egress.declared"),
        ("reach", "deny", "egress.undeclared"),
    ]
    assert decided[0]["input"]["resource"]["host"]["scheme"] == ("connect" if tls else "http")


async def test_an_app_that_does_not_list_curl_cannot_execute_it(outsides: Outsides) -> None:
    async with outsides.outside() as (hub, url, site), hub.client.session() as session:
        answer = await session.invoke("reach.get", {"by": "curl", "url": url})
    assert answer.result["error"].startswith("PermissionError")
    assert site.reached == 0


async def test_there_is_no_way_past_the_proxy(outsides: Outsides) -> None:
    async with outsides.outside() as (hub, url, site), hub.client.session() as session:
        past = await session.invoke("reach.get", {"by": "socket", "url": url})
        through = await session.invoke("reach.get", {"by": "httpx", "url": url})  # the control
    assert "error" in past.result
    assert (through.result["status"], site.reached) == (200, 1)
