"""Getting to a host that is not on the list: by another name, by an address in disguise, by what the resolver says.

The proxy, the mediator, the policies in a real OPA and the connector are the shipped ones; the names are the test's,
the hosts stand on loopback, where only what the owner lists may be reached.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest

from hub.errors import HostUnavailable, PolicyDenied, RequestInvalid
from hub.spokes.egress.addresses import is_public, parse_address, system_resolver
from hub.spokes.egress.connector import EgressConnector, Way
from hub.spokes.egress.destination import Destination
from hub.spokes.egress.exchange import Traffic
from hub.spokes.egress.fetch import Fetch, FetchRequest
from tests.support.egress import HOST, Names, Site, get, greet, status_of, way_out
from tests.support.pdp import FakePdp, decision

LOCAL = "127.0.0.1"

# Each of these is 127.0.0.1 to some reader.
DISGUISES = [
    "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001", "127.0.0.1.",
    "0X7F.1", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "%31%32%37.0.0.1",
    "127。0。0。1", "１２７.0.0.1", "①②⑦.0.0.1",
]  # fmt: skip


@pytest.mark.parametrize("open_to_all", [False, True])
@pytest.mark.parametrize("method", ["CONNECT", "GET"])
async def test_a_host_that_is_not_declared(tmp_path: Path, method: str, open_to_all: bool) -> None:
    names = Names(other__example__org=[[LOCAL]])
    async with Site(greet).open() as site:
        host = f"other.example.org:{site.port}"
        async with way_out(
            tmp_path, f"{HOST}:{site.port}", names=names, private=[(LOCAL, site.port)], open_to_all=open_to_all
        ) as out:
            connect = f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\nGET / HTTP/1.1\r\n\r\n".encode()
            answer = await out.say(connect if method == "CONNECT" else get(host))
    if open_to_all:
        assert (status_of(answer), site.reached, names.asked) == (200, 1, ["other.example.org"])
    else:
        # Nothing was even resolved: a query of its own could carry data out.
        assert (status_of(answer), site.reached, names.asked) == (403, 0, [])
        assert b"declare" not in answer


@pytest.mark.parametrize("open_to_all", [False, True])
async def test_a_host_that_is_not_declared_by_fetch(tmp_path: Path, open_to_all: bool) -> None:
    names = Names(other__example__org=[[LOCAL]])
    async with (
        Site(greet).open() as site,
        way_out(
            tmp_path, f"{HOST}:{site.port}", names=names, private=[(LOCAL, site.port)], open_to_all=open_to_all
        ) as out,
    ):
        fetch = out.asks.fetch(FetchRequest("GET", f"http://other.example.org:{site.port}/secret"))
        if open_to_all:
            assert (await fetch).status == 200
        else:
            with pytest.raises(PolicyDenied):
                await fetch
    assert names.asked == (["other.example.org"] if open_to_all else [])
    assert site.reached == int(open_to_all)


@pytest.mark.parametrize("port", [80, 8443])
async def test_a_declared_host_at_another_port(tmp_path: Path, port: int) -> None:
    names = Names(api__example__org=[[LOCAL]])
    async with way_out(tmp_path, f"{HOST}:443", names=names) as out:
        for host in (f"{HOST}:{port}", f"{HOST.upper()}:{port}"):
            answer = await out.say(f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert status_of(answer) == 403
    assert names.asked == []


@pytest.mark.parametrize("disguise", DISGUISES)
async def test_an_address_in_disguise_is_no_host_even_where_all_is_allowed(tmp_path: Path, disguise: str) -> None:
    names = Names()
    pdp = FakePdp()
    async with (
        Site(greet).open() as site,
        way_out(tmp_path, f"{HOST}:{site.port}", names=names, private=[(LOCAL, site.port)], pdp=pdp) as out,
    ):
        for host in (f"{disguise}:{site.port}", f"user@{disguise}:{site.port}"):
            for request in (get(host), f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()):
                assert status_of(await out.say(request)) == 400
            with pytest.raises(RequestInvalid, match="url: "):
                await out.asks.fetch(FetchRequest("GET", f"http://{host}/"))
        assert (site.reached, names.asked, pdp.asked) == (0, [], [])


@pytest.mark.parametrize("disguise", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost"])
async def test_control_of_disguises_without_the_parser_the_resolver_takes_them_for_addresses(
    tmp_path: Path, disguise: str
) -> None:
    async with Site(greet).open() as site:
        await fetched(Destination(disguise, site.port), private=[(LOCAL, site.port), ("::1", site.port)])
    assert site.reached == 1


@pytest.mark.parametrize("host", ["API.example.org", "Api.Example.Org"])
async def test_another_case_is_the_same_host_decided_on_and_connected_to_in_one_form(tmp_path: Path, host: str) -> None:
    names = Names(api__example__org=[[LOCAL]])
    async with Site(greet).open() as site:
        declared = f"{HOST}:{site.port}"
        async with way_out(tmp_path, declared, names=names, private=[(LOCAL, site.port)]) as out:
            assert status_of(await out.say(get(f"{host}:{site.port}"))) == 200
            assert [body["function"] for body in await out.decisions()] == [declared]
    assert (names.asked, site.heads[0].splitlines()[1]) == ([HOST], f"Host: {declared}".encode())


@pytest.mark.parametrize("host", ["api.example.org.", "api.example.org@other.example.org", "api.example.org%00"])
async def test_a_declared_name_with_something_to_it_is_no_host(tmp_path: Path, host: str) -> None:
    pdp, names = FakePdp(), Names()
    async with way_out(tmp_path, f"{HOST}:80", names=names, pdp=pdp) as out:
        assert status_of(await out.say(get(host))) == 400
        with pytest.raises(RequestInvalid):
            await out.asks.fetch(FetchRequest("GET", f"http://{host}/"))
    assert (pdp.asked, names.asked) == ([], [])


@pytest.mark.parametrize(
    ("look_alike", "is_really"),
    [
        ("\u0430pi.example.org", "xn--pi-6kc.example.org"),  # a letter of another script is another letter
        ("xn--pi-6kc.example.org", "xn--pi-6kc.example.org"),
        ("api\u3002example.org", "api.example.org"),  # a full stop of another script is one to every resolver
        ("ap\u2139.example.org", "api.example.org"),
        ("api.example.org\u200b", "api.example.org"),
    ],
)
async def test_a_name_that_looks_like_a_declared_one_is_decided_on_as_what_it_is(
    tmp_path: Path, look_alike: str, is_really: str
) -> None:
    pdp = FakePdp(decision("deny"))
    async with way_out(tmp_path, f"{HOST}:80", pdp=pdp) as out:
        with pytest.raises(PolicyDenied):
            await out.asks.fetch(FetchRequest("GET", f"http://{look_alike}/"))
    assert [document["resource"]["id"] for document in pdp.asked] == [f"{is_really}:80"]


PRIVATE = [
    "0.0.0.0", "10.1.2.3",  # noqa: S104
    "100.64.0.1", "100.127.255.254", "127.0.0.1", "127.255.255.254", "169.254.169.254",
    "172.16.0.1", "172.31.255.254", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1",
    "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1", "100::1", "fc00::1", "fd00:ec2::254", "fe80::1",
    "fe80::1%eth0", "fec0::1", "ff02::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "3fff::1", "5f00::1",
    "not an address",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "8.8.8.8", "100.63.255.255", "172.32.0.1", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"]


@pytest.mark.parametrize("address", PRIVATE)
async def test_a_declared_name_that_stands_for_a_private_address(address: str) -> None:
    assert not is_public(address)
    names = Names(api__example__org=[["1.1.1.1", address]])
    with pytest.raises(HostUnavailable, match="not public"):
        await fetched(Destination(HOST, 9), names=names)


@pytest.mark.parametrize("address", PUBLIC)
def test_control_of_private_addresses_public_ones_are_none(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("listed", [False, True])
async def test_a_declared_name_at_a_loopback_address_is_reached_only_where_the_owner_lists_it(
    address: str, listed: bool
) -> None:
    async with Site(greet).open("::1" if address == "::1" else LOCAL) as site:
        private = [(address, site.port)] if listed else [(address, site.port + 1), ("10.0.0.1", site.port)]
        names = Names(api__example__org=[[address]])
        if listed:
            await fetched(Destination(HOST, site.port), names=names, private=private)
        else:
            with pytest.raises(HostUnavailable, match="not public"):
                await fetched(Destination(HOST, site.port), names=names, private=private)
    assert site.reached == int(listed)


class Twice(EgressConnector):
    """The defence off: looks at an answer of the resolver, and connects by name, which asks it again."""

    async def _open(
        self, way: Way, addresses: Sequence[str], traffic: Traffic
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        again = await self._resolve(way.destination.host, way.destination.port)
        return await super()._open(way, again, traffic)


@pytest.mark.parametrize("connector", [EgressConnector, Twice])
async def test_a_name_that_moves_once_it_was_looked_at(tmp_path: Path, connector: type[EgressConnector]) -> None:
    inner = "127.0.0.66"
    names = Names(api__example__org=[[LOCAL], [inner]])
    async with Site(greet).open() as public, Site(greet).open(inner, public.port) as private:
        host = f"{HOST}:{public.port}"
        async with way_out(
            tmp_path, host, names=names, private=[(LOCAL, public.port)], connector=connector, pdp=FakePdp()
        ) as out:
            assert status_of(await out.say(get(host))) == 200
    reached_inner = connector is Twice
    assert (public.reached, private.reached) == (int(not reached_inner), int(reached_inner))
    assert len(names.asked) == (2 if reached_inner else 1)


async def test_a_private_address_cannot_be_told_from_a_dead_host(tmp_path: Path) -> None:
    with socket.create_server((LOCAL, 0)) as gone:
        closed = gone.getsockname()[1]
    names = Names(dead__example__org=[[LOCAL]], inner__example__org=[["10.0.0.1"]])
    hosts = [f"dead.example.org:{closed}", "inner.example.org:80", "none.example.org:80"]
    async with way_out(tmp_path, *hosts, names=names, private=[(LOCAL, closed)], pdp=FakePdp()) as out:
        answers = [await out.say(get(host)) for host in hosts]
    said = {line for answer in answers for line in answer.splitlines() if b"d-" not in line}
    assert {status_of(answer) for answer in answers} == {502}
    assert all(line in answer for answer in answers for line in said)


async def fetched(
    destination: Destination, *, names: Names | None = None, private: Sequence[tuple[str, int]] = ()
) -> None:
    """Fetch past everything but the connector."""
    connector = EgressConnector(
        private_addresses=[(parse_address(address), port) for address, port in private],
        resolve=names.resolve if names is not None else system_resolver,
    )
    issuer = connector.take_issuer()
    exchange = Fetch(FetchRequest("GET", f"http://{HOST}/"), connector.limits)
    permit = issuer.issue(decision_id="d", what=Way(destination, tls=False, max_received_bytes=None))
    await connector.run(permit, exchange)


def test_every_disguise_that_python_knows_is_the_same_address() -> None:
    assert parse_address("::ffff:127.0.0.1") == parse_address("64:ff9b::7f00:1") == ipaddress.ip_address(LOCAL)
