"""HTTP that says two things at once, never ends, or is too much; and what a spoke learns while a connection is open."""

from __future__ import annotations

import asyncio
import re
import socket
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from hub.edge import convert
from hub.errors import AuditUnavailable, PdpUnavailable, PolicyDenied, QuotaExceeded, SpokegateError
from hub.mediation.labels import Labels
from hub.spokes.egress.exchange import EgressLimits, Exchange
from hub.spokes.egress.fetch import FetchRequest
from hub.spokes.egress.proxy import EgressProxy
from tests.attack.ledger import attack
from tests.support.desk import until
from tests.support.egress import HOST, Names, Site, all_of, echo, get, greet, status_of, way_out
from tests.support.pdp import FakePdp, decision

LOCAL = "127.0.0.1"
QUICK = EgressLimits(refusal_seconds=0.02)
OTHER = "other.example.org"


def names() -> Names:
    return Names(api__example__org=[[LOCAL]], other__example__org=[[LOCAL]])


async def by_host(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve two hosts at one address, as many do: which one is the Host header's to say."""
    head = await reader.readuntil(b"\r\n\r\n")
    found = re.search(rb"(?i)\r\nhost: ([^:\r]*)", head)
    said = found[1] if found else b"nobody"
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said))
    await writer.drain()


async def test_a_host_header_that_names_another_host(tmp_path: Path) -> None:
    async with Site(by_host).open() as site:
        host, other = f"{HOST}:{site.port}", f"{OTHER}:{site.port}"
        async with way_out(tmp_path, host, names=names(), private=[(LOCAL, site.port)], pdp=FakePdp()) as out:
            assert status_of(await out.say(get(host, header=other))) == 400
            two = f"GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nHost: {other}\r\n\r\n".encode()
            assert status_of(await out.say(two)) == 400
            none = f"GET http://{host}/ HTTP/1.1\r\n\r\n".encode()
            assert status_of(await out.say(none)) == 400
            connect = f"CONNECT {host} HTTP/1.1\r\nHost: {other}\r\n\r\n".encode()
            assert status_of(await out.say(connect)) == 400
            assert (site.reached, out.names.asked) == (0, [])
            # The control: a proxy that passes the header on lets the request choose its host after the decision.
            assert (await say(site, f"GET / HTTP/1.1\r\nHost: {other}\r\n\r\n".encode())).endswith(OTHER.encode())
            assert (await out.say(get(host))).endswith(HOST.encode())


@attack(
    "A second request, to another host, on a connection that was let through",
    stopped_by="every request on a connection is decided on by itself",
    replays="1.4.2",
)
async def test_a_second_request_to_another_host_on_a_kept_connection(tmp_path: Path, defended: bool) -> bool:
    async with Site(by_host).open() as site:
        host, other = f"{HOST}:{site.port}", f"{OTHER}:{site.port}"
        first = f"GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        private = [(LOCAL, site.port)]
        async with way_out(tmp_path, host, names=names(), private=private, open_to_all=not defended) as out:
            answer = await out.say(first + get(other))
            decided = [body["function"] for body in await out.decisions()]
    assert decided == [host, other]
    assert out.names.asked == ([HOST] if defended else [HOST, OTHER])
    assert (b" 403 " in answer) is defended
    return answer.endswith(OTHER.encode())


async def test_a_plain_request_after_a_connect_reaches_no_one_but_the_tunnel(tmp_path: Path) -> None:
    async with Site(echo).open() as site:
        host, other = f"{HOST}:{site.port}", f"{OTHER}:{site.port}"
        async with way_out(tmp_path, host, names=names(), private=[(LOCAL, site.port)]) as out:
            reader, writer = await out.open()
            writer.write(f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert status_of(await reader.readuntil(b"\r\n\r\n")) == 200
            writer.write(get(other))
            writer.write_eof()
            assert await all_of(reader) == get(other)  # the decided host has it, as bytes like any others
            assert (out.names.asked, site.reached) == ([HOST], 1)


@attack(
    "A plain request behind a CONNECT that was refused",
    stopped_by="a refused CONNECT ends the connection",
    replays="1.4.2",
)
async def test_a_plain_request_after_a_refused_connect(tmp_path: Path, defended: bool) -> bool:
    async with Site(by_host).open() as site:
        host, other = f"{HOST}:{site.port}", f"{OTHER}:{site.port}"
        private = [(LOCAL, site.port)]
        async with way_out(tmp_path, host, names=names(), private=private, open_to_all=not defended) as out:
            connect = f"CONNECT {other} HTTP/1.1\r\nHost: {other}\r\n\r\n".encode()
            answer = await out.say(connect + f"GET / HTTP/1.1\r\nHost: {other}\r\n\r\n".encode())
    assert status_of(answer) == (403 if defended else 200)
    return site.reached == 1


INNER = b"GET http://other.example.org/ HTTP/1.1\r\nHost: other.example.org\r\n\r\n"
SMUGGLED = [
    b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % (5 + len(INNER)),
    b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    b"Content-Length: 0\r\nContent-Length: 70\r\n\r\n",
    b"Content-Length: 0, 70\r\n\r\n",
    b"Content-Length: +70\r\n\r\n",
    b"Content-Length: 0x10\r\n\r\n",
    b"Content-Length : 70\r\n\r\n",
    b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    b"X: a\x00b\r\n\r\n",
    b"X: a\rY: b\r\n\r\n",
    b" Content-Length: 70\r\n\r\n",
]


@pytest.mark.parametrize("rest", SMUGGLED, ids=[rest.split(b"\r\n\r\n")[0].decode("latin-1") for rest in SMUGGLED])
async def test_a_request_that_two_readers_end_in_two_places(tmp_path: Path, rest: bytes) -> None:
    async with Site(greet).open() as site:
        host = f"{HOST}:{site.port}"
        pdp = FakePdp()
        async with way_out(tmp_path, host, names=names(), private=[(LOCAL, site.port)], pdp=pdp) as out:
            head = f"POST http://{host}/ HTTP/1.1\r\n".encode()
            line = f"Host: {host}\r\n".encode()
            answer = await out.say(head + (rest if rest.startswith(b" ") else line + rest) + INNER)
    # What is refused is the whole connection: nothing behind it is read as a request.
    assert (status_of(answer), answer.count(b"HTTP/1.1 ")) == (400, 1)
    assert (site.reached, pdp.asked) == (0, [])


async def test_control_of_smuggling_two_readers_do_end_it_in_two_places() -> None:
    def second_request(data: bytes, *, by_length: bool) -> bytes:
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(re.search(rb"Content-Length: (\d+)", head)[1])  # type: ignore[index]
        return body[length:] if by_length else body.partition(b"0\r\n\r\n")[2]

    data = b"POST / HTTP/1.1\r\n" + SMUGGLED[0] + INNER
    assert (second_request(data, by_length=True), second_request(data, by_length=False)) == (b"", INNER)


async def test_a_response_that_two_readers_end_in_two_places(tmp_path: Path) -> None:
    async def both(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n"
        )

    async with Site(both).open() as site:
        host = f"{HOST}:{site.port}"
        async with way_out(tmp_path, host, names=names(), private=[(LOCAL, site.port)], pdp=FakePdp()) as out:
            assert status_of(await out.say(get(host))) == 502
            with pytest.raises(SpokegateError, match="not both"):
                await out.asks.fetch(FetchRequest("GET", f"http://{host}/"))


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\nHost: api.example.org\r\n\r\n",
        b"GET https://api.example.org/ HTTP/1.1\r\nHost: api.example.org\r\n\r\n",
        b"GET ftp://api.example.org/ HTTP/1.1\r\nHost: api.example.org\r\n\r\n",
        b"GET http:///api.example.org/ HTTP/1.1\r\nHost: api.example.org\r\n\r\n",
        b"GET http:\\\\api.example.org/ HTTP/1.1\r\nHost: api.example.org\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: api.example.org\r\n\r\n",
        b"CONNECT api.example.org HTTP/1.1\r\nHost: api.example.org\r\n\r\n",
        b"CONNECT http://api.example.org:80/ HTTP/1.1\r\nHost: api.example.org\r\n\r\n",
        b"CONNECT api.example.org:0 HTTP/1.1\r\nHost: api.example.org\r\n\r\n",
        b"CONNECT api.example.org:65536 HTTP/1.1\r\nHost: api.example.org\r\n\r\n",
        b"GET http://api.example.org/ HTTP/1.1\r\nHost: api.example.org\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
        b"GET http://api.example.org/ HTTP/2.0\r\nHost: api.example.org\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"\x05\x01\x00\r\n\r\n",
    ],
)
async def test_what_is_no_request_to_a_proxy_is_refused_before_any_decision(tmp_path: Path, request_: bytes) -> None:
    pdp = FakePdp()
    async with way_out(tmp_path, f"{HOST}:80", names=names(), pdp=pdp) as out:
        answer = await out.say(request_)
    assert (status_of(answer), pdp.asked, out.names.asked) == (400, [], [])


@pytest.mark.parametrize(("allowed", "status"), [(32 << 10, 400), (1 << 20, 200)])
async def test_an_oversized_head(tmp_path: Path, allowed: int, status: int) -> None:
    async with Site(greet).open() as site:
        host = f"{HOST}:{site.port}"
        limits = EgressLimits(refusal_seconds=0.02, head_bytes=allowed)
        async with way_out(
            tmp_path, host, names=names(), private=[(LOCAL, site.port)], limits=limits, pdp=FakePdp()
        ) as out:
            filler = "X: " + "a" * 50_000
            head = f"GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n{filler}\r\nConnection: close\r\n\r\n"
            answer = await out.say(head.encode())
    assert status_of(answer) == status
    assert site.reached == int(status == 200)


@pytest.mark.parametrize("head_seconds", [0.3, 30.0])
async def test_a_head_that_comes_byte_by_byte(tmp_path: Path, head_seconds: float) -> None:
    limits = EgressLimits(refusal_seconds=0.02, head_seconds=head_seconds)
    async with way_out(tmp_path, f"{HOST}:80", names=names(), limits=limits, pdp=FakePdp()) as out:
        reader, writer = await out.open()
        ended = asyncio.create_task(all_of(reader, 10))
        for byte in get(f"{HOST}:80")[:12]:
            if not writer.is_closing():
                writer.write(bytes([byte]))
            await asyncio.sleep(0.1)
        assert ended.done() is (head_seconds < 1)
        ended.cancel()


@pytest.mark.parametrize("allowed", [100_000, 10 << 20])
@pytest.mark.parametrize("direction", ["in", "out"])
async def test_a_body_without_an_end(tmp_path: Path, direction: str, allowed: int) -> None:
    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(50):
            writer.write(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async with Site(pour if direction == "in" else echo).open() as site:
        host = f"{HOST}:{site.port}"
        limits = EgressLimits(refusal_seconds=0.02, max_received_bytes=allowed, max_sent_bytes=allowed)
        async with way_out(
            tmp_path, host, names=names(), private=[(LOCAL, site.port)], limits=limits, pdp=FakePdp()
        ) as out:
            if direction == "in":
                await out.say(get(host))
            else:
                reader, writer = await out.open()
                writer.write(f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode() + b"x" * 500_000)
                writer.write_eof()
                await all_of(reader)
            await until(lambda: not out.desk.session.connections["reach"])
            [outcome] = await out.outcomes()
    moved = outcome["traffic"]["received_bytes" if direction == "in" else "sent_bytes"]
    if allowed == 100_000:
        assert outcome["outcome"] == "QUOTA_EXCEEDED"
        assert moved <= allowed + (64 << 10)
    else:
        assert (outcome["outcome"], moved >= 500_000) == ("done", True)


@pytest.mark.parametrize("allowed", [1000, 0])
async def test_a_response_too_large_for_a_fetch_is_an_error_and_never_cut_short(tmp_path: Path, allowed: int) -> None:
    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000)
        await writer.drain()

    async with Site(pour).open() as site:
        host = f"{HOST}:{site.port}"
        async with way_out(tmp_path, host, names=names(), private=[(LOCAL, site.port)], pdp=FakePdp()) as out:
            fetch = out.asks.fetch(FetchRequest("GET", f"http://{host}/", max_bytes=allowed))
            if allowed:
                with pytest.raises(QuotaExceeded):
                    await fetch
            else:
                assert len((await fetch).body) == 5000


class Counting:
    """Counts how many exchanges are under way at once."""

    def __init__(self) -> None:
        self.now = self.most = 0

    async def connect(self, exchange: Exchange) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(30)
        finally:
            self.now -= 1


@pytest.mark.parametrize("places", [8, 500])
async def test_a_thousand_connections(places: int) -> None:
    counting = Counting()
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(socket.create_server((LOCAL, 0), backlog=1024))
        listener.setblocking(False)
        limits = EgressLimits(refusal_seconds=0.02, connections_per_spoke=places)
        proxy = EgressProxy(listener, counting, limits)
        stack.push_async_callback(proxy.close)
        for _ in range(300):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            stack.callback(writer.close)
            writer.write(get(f"{HOST}:80"))
        await until(lambda: counting.most >= min(places, 300))
        await asyncio.sleep(0.2)
        assert counting.most == min(places, 300)


@pytest.mark.parametrize("rule", [decision("deny"), decision("ask"), PdpUnavailable("OPA is down"), None])
async def test_nothing_is_resolved_before_an_allow(tmp_path: Path, rule: Any) -> None:
    async with Site(greet).open() as site:
        host = f"{HOST}:{site.port}"
        pdp = FakePdp(rule if not isinstance(rule, Exception) else lambda _: rule)
        async with way_out(tmp_path, host, names=names(), private=[(LOCAL, site.port)], pdp=pdp) as out:
            answers = [
                await out.say(get(host)),
                await out.say(f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\nx\r\n\r\n".encode()),
            ]
            recorded = await out.decisions()
    status = 200 if rule is None else 503 if isinstance(rule, Exception) else 403
    assert [status_of(answer) for answer in answers] == [status, status]
    assert (out.names.asked, site.reached) == (([HOST] * 2, 2) if rule is None else ([], 0))
    assert len(recorded) == 2


@pytest.mark.parametrize("writable", [False, True])
async def test_nothing_is_resolved_when_the_decision_cannot_be_recorded(tmp_path: Path, writable: bool) -> None:
    async with Site(greet).open() as site:
        host = f"{HOST}:{site.port}"
        async with way_out(tmp_path, host, names=names(), private=[(LOCAL, site.port)], pdp=FakePdp()) as out:
            if not writable:
                with out.desk.engine.begin() as connection:
                    connection.execute(
                        text("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(FAIL, 'full'); END")
                    )
            answer = await out.say(get(host))
            if not writable:
                with pytest.raises(AuditUnavailable):
                    await out.asks.fetch(FetchRequest("GET", f"http://{host}/"))
    assert (status_of(answer), site.reached) == ((200, 1) if writable else (503, 0))
    assert out.names.asked == ([HOST] if writable else [])


@pytest.mark.parametrize("learns", ["health", "nothing"])
async def test_a_tunnel_that_was_opened_before_the_spoke_learnt_what_it_may_not_send(
    tmp_path: Path, learns: str
) -> None:
    async with Site(echo).open() as site:
        host = f"{HOST}:{site.port}"
        async with way_out(tmp_path, host, names=names(), private=[(LOCAL, site.port)], clearance=("health",)) as out:
            reader, writer = await out.open()
            writer.write(f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert status_of(await reader.readuntil(b"\r\n\r\n")) == 200
            new = Labels.of(["health"], ["untrusted:mail"]) if learns == "health" else Labels()
            out.desk.session.give("reach", new)
            # Not a moment passes between what the spoke learns and what it says.
            writer.write(b"the diagnosis")
            writer.write_eof()
            await all_of(reader)
            await until(lambda: not out.desk.session.connections["reach"])
            [outcome] = await out.outcomes()
            again = (
                await out.say(f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode(), seconds=1)
                if learns == "health"
                else b""
            )
    if learns == "health":
        assert (site.heads[0], outcome["outcome"]) == (b"", "POLICY_DENIED")
        assert status_of(again) == 403
    else:
        assert (site.heads[0], outcome["outcome"]) == (b"the diagnosis", "done")


@pytest.mark.parametrize("learns", [True, False])
async def test_what_is_learnt_while_it_is_decided_is_decided_on_too(tmp_path: Path, learns: bool) -> None:
    def rule(document: dict[str, Any]) -> Any:
        if learns:
            out.desk.session.give("reach", Labels.of(["health"]))
        return decision("deny" if document["context"]["labels"]["confidentiality"] else "allow")

    async with Site(greet).open() as site:
        host = f"{HOST}:{site.port}"
        pdp = FakePdp(rule)
        async with way_out(tmp_path, host, names=names(), private=[(LOCAL, site.port)], pdp=pdp) as out:
            answer = await out.say(get(host))
            outcomes = [body["outcome"] for body in await out.outcomes()]
            listed = [convert.record(item).outcome for item in await out.desk.audit.decisions("alice")]
    assert sorted(listed) == sorted(outcomes)
    assert (status_of(answer), site.reached) == ((403, 0) if learns else (200, 1))
    assert outcomes == (["decided again", "POLICY_DENIED"] if learns else ["done"])


@pytest.mark.parametrize("data", ["kept", "session"])
async def test_a_tunnel_to_carry_out_what_another_session_left_in_the_kept_data(tmp_path: Path, data: str) -> None:
    async with Site(echo).open() as site:
        host = f"{HOST}:{site.port}"
        async with way_out(
            tmp_path, host, names=names(), private=[(LOCAL, site.port)], clearance=("health",), data=data
        ) as out:
            reader, writer = await out.open()
            writer.write(f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert status_of(await reader.readuntil(b"\r\n\r\n")) == 200
            if data == "kept":  # else there is nothing that the sessions share
                await out.desk.kept.join("alice", "reach", Labels.of(["health"]))
            writer.write(b"the diagnosis")
            with suppress(OSError):  # it may be cut off by now
                writer.write_eof()
            await all_of(reader)
    assert site.heads[0] == (b"" if data == "kept" else b"the diagnosis")


async def test_a_fetch_of_one_call_is_no_way_around_the_labels_of_another(tmp_path: Path) -> None:
    async with Site(greet).open() as site:
        host = f"{HOST}:{site.port}"
        async with way_out(tmp_path, host, names=names(), private=[(LOCAL, site.port)]) as out:
            request = FetchRequest("POST", f"http://{host}/", body=b"x")
            assert (await out.asks.fetch(request)).status == 200  # the control: nothing is carried yet
            out.desk.session.give("reach", Labels.of(["health"]))
            with pytest.raises(PolicyDenied):
                await out.asks.fetch(request)
    assert site.reached == 1


async def say(site: Site, data: bytes) -> bytes:
    """Send this straight to a site, past the proxy."""
    reader, writer = await asyncio.open_connection(LOCAL, site.port)
    writer.write(data)
    try:
        return await all_of(reader)
    finally:
        writer.close()
