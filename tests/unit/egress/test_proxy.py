"""The proxy and the fetch when all is well: what goes through, how, and what is on record of it."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme

from hub.errors import (
    DeadlineExceeded,
    HostUnavailable,
    ObligationUnfulfilled,
    PolicyDenied,
    QuotaExceeded,
    RequestInvalid,
)
from hub.mediation.labels import Labels
from hub.spokes.egress.exchange import EgressLimits
from hub.spokes.egress.fetch import FetchRequest
from tests.support.desk import answering, until
from tests.support.egress import HOST, Names, Site, all_of, echo, get, greet, status_of, way_out
from tests.support.pdp import FakePdp, decision


def names() -> Names:
    return Names(api__example__org=[["127.0.0.1"]])


async def test_a_declared_host_answers_and_all_of_it_is_on_record(tmp_path: Path) -> None:
    async with Site(greet).open() as site:
        host = f"{HOST}:{site.port}"
        async with way_out(tmp_path, host, names=names(), private=[("127.0.0.1", site.port)]) as out:
            answer = await out.say(get(host, "/a?b=c"))
            [decided] = await out.decisions()
            [outcome] = await out.outcomes()
            carried = out.desk.session.labels_of("reach")
    assert (status_of(answer), answer.endswith(b"hello")) == (200, True)
    assert site.heads == [
        f"GET /a?b=c HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode(),
    ]
    assert (decided["function"], decided["caller"], decided["chain"]) == (host, "reach", ["user", "reach"])
    assert decided["reasons"][0]["code"] == "egress.declared"
    assert outcome["outcome"] == "done"
    assert outcome["traffic"] == {
        "address": "127.0.0.1",
        "sent_bytes": len(site.heads[0]),
        "received_bytes": len(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Kept: yes\r\n\r\nhello"),
    }
    assert carried == Labels.of(integrity=[f"untrusted:{host}"])


async def test_a_tunnel_carries_bytes_both_ways_until_it_ends(tmp_path: Path) -> None:
    async with Site(echo).open() as site:
        host = f"{HOST}:{site.port}"
        async with way_out(tmp_path, host, names=names(), private=[("127.0.0.1", site.port)]) as out:
            reader, writer = await out.open()
            # The client does not wait for the answer, which it may.
            writer.write(f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\nearly ".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(b"late")
            writer.write_eof()
            rest = await all_of(reader)
            await until(lambda: out.desk.session.connections["reach"] == set())
            [outcome] = await out.outcomes()
    assert (status_of(head), rest) == (200, b"early late")
    assert (outcome["outcome"], outcome["traffic"]["sent_bytes"], outcome["traffic"]["received_bytes"]) == (
        "done",
        10,
        10,
    )


async def test_a_kept_connection_is_decided_on_request_by_request(tmp_path: Path) -> None:
    async with Site(greet).open() as site:
        host = f"{HOST}:{site.port}"
        async with way_out(tmp_path, host, names=names(), private=[("127.0.0.1", site.port)]) as out:
            reader, writer = await out.open()
            for _ in range(3):
                writer.write(f"GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
            decided = await out.decisions()
    assert (len(decided), site.reached, out.names.asked) == (3, 3, [HOST] * 3)


async def test_bodies_pass_in_both_framings_and_private_headers_do_not(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"0\r\n\r\n")
        writer.write(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nKeep-Alive: x\r\nX-Hop: y\r\nConnection: x-hop\r\n"
            b"\r\n3\r\nabc\r\n0\r\n\r\n"
        )

    async with Site(answer).open() as site:
        host = f"{HOST}:{site.port}"
        async with way_out(tmp_path, host, names=names(), private=[("127.0.0.1", site.port)]) as out:
            got = await out.say(
                f"POST http://{host}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n"
                "Connection: close, x-mine\r\n"
                "X-Mine: 1\r\nProxy-Authorization: Basic eDp5\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\n"
                "X-Kept: 1\r\n\r\n5\r\nhello\r\n0\r\n\r\n".encode()
            )
    assert site.heads == [
        f"POST / HTTP/1.1\r\nHost: {host}\r\nx-kept: 1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        "5\r\nhello\r\n0\r\n\r\n".encode()
    ]
    head, _, body = got.partition(b"\r\n\r\n")
    assert body == b"3\r\nabc\r\n0\r\n\r\n"
    assert b"hop" not in head.lower()
    assert b"keep-alive" not in head.lower()


async def test_a_client_that_waits_to_be_told_to_continue_is_told(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"body!")
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with Site(answer).open() as site:
        host = f"{HOST}:{site.port}"
        async with way_out(tmp_path, host, names=names(), private=[("127.0.0.1", site.port)]) as out:
            reader, writer = await out.open()
            writer.write(
                f"PUT http://{host}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n"
                "Connection: close\r\n\r\n".encode()
            )
            assert status_of(await reader.readuntil(b"\r\n\r\n")) == 100
            writer.write(b"body!")
            assert status_of(await all_of(reader)) == 204
    assert b"Expect" not in site.heads[0]


async def test_a_host_that_answers_before_it_has_read_all_is_heard(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async with Site(answer).open() as site:
        host = f"{HOST}:{site.port}"
        async with way_out(tmp_path, host, names=names(), private=[("127.0.0.1", site.port)]) as out:
            head = f"POST http://{host}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 900000\r\n\r\n".encode()
            reader, writer = await out.open()
            writer.write(head)
            assert status_of(await reader.readuntil(b"\r\n\r\n")) == 413


async def test_a_cut_response_is_cut_for_the_spoke_too(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

    async with Site(answer).open() as site:
        host = f"{HOST}:{site.port}"
        async with way_out(tmp_path, host, names=names(), private=[("127.0.0.1", site.port)]) as out:
            got = await out.say(get(host))
            [outcome] = await out.outcomes()
    assert got.endswith(b"half")
    assert b"content-length: 100" in got
    assert outcome["outcome"] == "HOST_UNAVAILABLE"


async def test_a_person_is_asked_once_a_session_for_an_unreviewed_app(tmp_path: Path) -> None:
    async with Site(greet).open() as site:
        host = f"{HOST}:{site.port}"
        async with way_out(
            tmp_path, host, names=names(), private=[("127.0.0.1", site.port)], trust="unreviewed"
        ) as out:
            unwatched = await out.say(get(host))
            async with answering(out.desk.prompts, "session") as asked:
                answers = [await out.say(get(host)) for _ in range(3)]
    assert status_of(unwatched) == 403
    assert b"Spokegate-Reason: CONSENT_REQUIRED" in unwatched
    assert [status_of(answer) for answer in answers] == [200, 200, 200]
    [question] = asked
    assert (question.title, question.function) == (f"Let reach connect to {host}?", host)
    assert [offer.covers for offer in question.offers] == [
        f"This one connection to {host}, for exactly this request.",
        f"Every connection of reach to {host}, whatever it sends, until the session ends.",
    ]


async def test_what_a_spoke_heard_from_one_host_is_asked_about_at_the_next(tmp_path: Path) -> None:
    async with Site(greet).open() as site:
        one, two = f"{HOST}:{site.port}", f"two.example.org:{site.port}"
        known = names()
        known.say("two.example.org", ["127.0.0.1"])
        async with way_out(tmp_path, one, two, names=known, private=[("127.0.0.1", site.port)]) as out:
            assert [status_of(await out.say(get(host))) for host in (one, one, two)] == [200, 200, 403]
            assert (await out.decisions())[-1]["reasons"][0]["code"] == "egress.under_influence"


async def test_fetch_brings_the_whole_response_and_its_label(tmp_path: Path) -> None:
    async with Site(greet).open() as site:
        host = f"{HOST}:{site.port}"
        async with way_out(tmp_path, host, names=names(), private=[("127.0.0.1", site.port)]) as out:
            response = await out.asks.fetch(FetchRequest("POST", f"http://{host}/x?y", {"X-Mine": "1"}, b"\xff\x00"))
            [decided] = await out.decisions()
            carried = out.desk.session.labels_of("reach")
    assert (response.status, response.body, dict(response.headers)["x-kept"]) == (200, b"hello", "yes")
    assert site.heads[0].startswith(f"POST /x?y HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n".encode())
    assert decided["input"]["resource"]["host"]["scheme"] == "http"
    assert carried == Labels.of(integrity=[f"untrusted:{host}"])


async def test_fetch_is_decided_on_with_all_that_goes_out(tmp_path: Path) -> None:
    pdp = FakePdp(decision("deny"))
    async with way_out(tmp_path, f"{HOST}:443", pdp=pdp) as out:
        for body in (b"text", b"\xff"):
            with pytest.raises(PolicyDenied):
                await out.asks.fetch(FetchRequest("POST", f"https://{HOST}", {"X": "1"}, body))
    head = {"method": "POST", "url": f"https://{HOST}/", "headers": {"X": "1"}}
    assert [document["arguments"] for document in pdp.asked] == [
        {**head, "body": "text"},
        {**head, "body_base64": "/w=="},
    ]


async def test_fetch_speaks_tls_with_the_named_host_and_with_no_other(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(context)
    async with Site(greet).open(ssl=context) as site:
        right, wrong = f"{HOST}:{site.port}", f"two.example.org:{site.port}"
        known = names()
        known.say("two.example.org", ["127.0.0.1"])
        async with way_out(
            tmp_path,
            right,
            wrong,
            names=known,
            private=[("127.0.0.1", site.port)],
            ca_file=tmp_path / "ca.pem",
            pdp=FakePdp(),
        ) as out:
            response = await out.asks.fetch(FetchRequest("GET", f"https://{right}/"))
            with pytest.raises(HostUnavailable, match="certificate"):
                await out.asks.fetch(FetchRequest("GET", f"https://{wrong}/"))
        async with way_out(
            tmp_path / "strangers", right, names=names(), private=[("127.0.0.1", site.port)], pdp=FakePdp()
        ) as out:
            with pytest.raises(HostUnavailable, match="certificate"):
                await out.asks.fetch(FetchRequest("GET", f"https://{right}/"))
    assert (response.status, response.body) == (200, b"hello")


async def test_fetch_does_not_follow_a_redirect(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://inner.example.org/\r\nContent-Length: 0\r\n\r\n")

    async with Site(answer).open() as site:
        host = f"{HOST}:{site.port}"
        async with way_out(tmp_path, host, names=names(), private=[("127.0.0.1", site.port)]) as out:
            response = await out.asks.fetch(FetchRequest("GET", f"http://{host}/"))
    assert (response.status, dict(response.headers)["location"]) == (302, "http://inner.example.org/")
    assert out.names.asked == [HOST]


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (FetchRequest("GET", "ftp://api.example.org/"), "use http or https"),
        (FetchRequest("GET", "/path"), "absolute"),
        (FetchRequest("GET", "http://user@api.example.org/"), "host:port"),
        (FetchRequest("GET", "http://127.0.0.1/"), "is an address"),
        (FetchRequest("GET", "http://api.example.org/a b"), "percent-encode"),
        (FetchRequest("TRACE", "http://api.example.org/"), "method"),
        (FetchRequest("GET / HTTP/1.1\r\nX:", "http://api.example.org/"), "method"),
        (FetchRequest("GET", "http://api.example.org/", {"Host": "other"}), "the hub says host itself"),
        (FetchRequest("GET", "http://api.example.org/", {"Transfer-Encoding": "x"}), "leave it out"),
        (FetchRequest("GET", "http://api.example.org/", {"X": "a\r\nB: c"}), "in one line"),
        (FetchRequest("GET", "http://api.example.org/", {"X": "1", "x": "2"}), "twice"),
    ],
)
async def test_a_fetch_that_cannot_be_made_is_refused_before_any_decision(
    tmp_path: Path, request_: FetchRequest, says: str
) -> None:
    pdp = FakePdp()
    async with way_out(tmp_path, f"{HOST}:80", pdp=pdp) as out:
        with pytest.raises(RequestInvalid, match=says):
            await out.asks.fetch(request_)
    assert (pdp.asked, out.names.asked) == ([], [])


async def test_what_an_obligation_cannot_do_to_a_connection_refuses_it(tmp_path: Path) -> None:
    async with Site(greet).open() as site:
        host = f"{HOST}:{site.port}"
        pdp = FakePdp()
        async with way_out(tmp_path, host, names=names(), private=[("127.0.0.1", site.port)], pdp=pdp) as out:
            for changes in (
                {"obligations": [{"type": "redact", "on": "arguments", "pointer": "/body"}]},
                {"obligations": [{"type": "drop", "on": "result", "pointer": "/x"}]},
                {"review_result": True},
            ):
                pdp.rule = decision(**changes)
                with pytest.raises(ObligationUnfulfilled):
                    await out.asks.fetch(FetchRequest("GET", f"http://{host}/"))
            assert out.names.asked == []
            pdp.rule = decision(obligations=[{"type": "max_result_bytes", "on": "result", "value": 20}])
            with pytest.raises(QuotaExceeded):
                await out.asks.fetch(FetchRequest("GET", f"http://{host}/"))
            pdp.rule = decision(obligations=[{"type": "max_result_bytes", "on": "result", "value": 2000}])
            assert (await out.asks.fetch(FetchRequest("GET", f"http://{host}/"))).body == b"hello"


async def test_closing_the_proxy_ends_what_is_open_and_says_so(tmp_path: Path) -> None:
    async with Site(echo).open() as site:
        host = f"{HOST}:{site.port}"
        async with way_out(tmp_path, host, names=names(), private=[("127.0.0.1", site.port)]) as out:
            reader, writer = await out.open()
            writer.write(f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")
            await out.proxy.close()
            assert await all_of(reader) == b""
            [outcome] = await out.outcomes()
    assert outcome["outcome"] == "CANCELLED"


async def test_a_connection_on_which_nothing_moves_is_cut(tmp_path: Path) -> None:
    async with Site(echo).open() as site:
        host = f"{HOST}:{site.port}"
        limits = EgressLimits(idle_seconds=0.2, refusal_seconds=0.02)
        async with way_out(tmp_path, host, names=names(), private=[("127.0.0.1", site.port)], limits=limits) as out:
            reader, writer = await out.open()
            writer.write(f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")
            for _ in range(6):
                await asyncio.sleep(0.1)
                writer.write(b"x")
                assert await reader.read(1) == b"x"
            assert await all_of(reader, 2) == b""
            await until(lambda: not out.desk.session.connections["reach"])
            [outcome] = await out.outcomes()
    assert outcome["outcome"] == "DEADLINE_EXCEEDED"


async def test_a_fetch_has_the_time_that_it_asks_for(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async with Site(silent).open() as site:
        host = f"{HOST}:{site.port}"
        async with way_out(tmp_path, host, names=names(), private=[("127.0.0.1", site.port)], pdp=FakePdp()) as out:
            with pytest.raises(DeadlineExceeded):
                await out.asks.fetch(FetchRequest("GET", f"http://{host}/", seconds=0.2))
