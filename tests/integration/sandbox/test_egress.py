"""The listener that a spoke with egress hands to the hub: what comes in by it, and what is not taken for it."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import pytest

from spoke_runner.sandbox import CanaryFailed, Mount, SandboxSpec, SpokeProcess, find_host_programs
from spoke_runner.sandbox.channels import Channels
from spoke_runner.sandbox.inside.canaries import names
from spoke_runner.sandbox.listener import fault, listed, made_in
from spoke_runner.sandbox.places import PROXY_PORT
from tests.integration.sandbox.spokes import APPS, Workshop, both_ways, call, running, workshop
from tests.integration.sandbox.test_walls import Document, Line, going, start_weakened, without
from tests.support.processes import processes_of

ENTRY = "outgoing:app"


def outgoing(shop: Workshop, *programs: str) -> SandboxSpec:
    return replace(shop.spec(APPS / "outgoing"), egress=True, programs=find_host_programs(programs))


@asynccontextmanager
async def accepting(spoke: SpokeProcess) -> AsyncIterator[list[str]]:
    """Play the hub's proxy: keep the first line of each request, answer a GET, refuse the rest."""
    assert spoke.listener is not None
    listener, lines = spoke.listener, list[str]()

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        while True:
            end, _ = await loop.sock_accept(listener)
            with closing(end):
                end.setblocking(False)
                lines.append((await loop.sock_recv(end, 4096)).decode().splitlines()[0])
                body = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
                refusal = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                await loop.sock_sendall(end, (body if lines[-1].startswith("GET") else refusal).encode())

    task = asyncio.create_task(serve())
    try:
        yield lines
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@both_ways
@pytest.mark.parametrize("client", ["requests", "urllib"])
async def test_unmodified_clients_reach_the_proxy_by_names_that_nobody_resolves_inside(way: str, client: str) -> None:
    with workshop() as shop:
        async with running(outgoing(shop), ENTRY, way=way) as spoke, accepting(spoke) as lines:
            assert await call(spoke, "get", client=client, url="http://weather.example/today") == {"text": "hello"}
            refused = await call(spoke, "get", client=client, url="https://weather.example/today")

    assert lines[0] == "GET http://weather.example/today HTTP/1.1"
    assert lines[1] == "CONNECT weather.example:443 HTTP/1.1" or lines[1] == "CONNECT weather.example:443 HTTP/1.0"
    assert "403" in refused["error"]


async def test_curl_reaches_the_proxy_too() -> None:
    with workshop() as shop:
        async with running(outgoing(shop, "/usr/bin/curl"), ENTRY) as spoke, accepting(spoke) as lines:
            assert await call(spoke, "get", client="curl", url="http://weather.example/") == {"text": "hello"}
            refused = await call(spoke, "get", client="curl", url="https://localhost:8443/")

    assert lines == ["GET http://weather.example/ HTTP/1.1", "CONNECT localhost:8443 HTTP/1.1"]
    assert "403" in refused["error"]


@both_ways
async def test_nothing_else_can_be_connected_to(way: str) -> None:
    with workshop() as shop, closing(socket.create_server(("127.0.0.1", 0))) as hub:
        async with running(outgoing(shop), ENTRY, way=way) as spoke:
            for host, port in (("127.0.0.1", hub.getsockname()[1]), ("127.0.0.1", 1), ("::1", PROXY_PORT + 1)):
                assert (await call(spoke, "connect", host=host, port=port))["error"] == "Permission denied"
            assert (await call(spoke, "connect", host="192.0.2.1", port=PROXY_PORT))[
                "error"
            ] == "Network is unreachable"


@both_ways
async def test_two_spokes_have_two_listeners_at_the_same_address(way: str) -> None:
    with workshop() as shop:
        first, second = outgoing(shop), replace(shop.spec(APPS / "outgoing", name="b"), egress=True)
        async with running(first, ENTRY, way=way) as one, running(second, ENTRY, way=way) as other:
            async with accepting(one) as of_one, accepting(other) as of_other:
                await call(other, "get", client="urllib", url="http://weather.example/")

            assert (of_one, len(of_other)) == ([], 1)


async def test_the_hosts_certificates_are_shown_where_its_programs_look_and_only_with_egress(tmp_path: Path) -> None:
    with workshop() as shop:
        spec = outgoing(shop)
        assert spec.certificates is not None, "this host has no bundle of certificates: install ca-certificates"
        spec = replace(spec, certificates=Mount(spec.certificates.source, Path("/etc/ssl/certs/ca-certificates.crt")))
        async with running(spec, ENTRY) as spoke:
            assert (await call(spoke, "trusted"))["count"] > 10
        async with running(replace(spec, egress=False), ENTRY) as spoke:
            with pytest.raises(AssertionError, match="No such file"):
                await call(spoke, "trusted")


@both_ways
async def test_the_listener_is_closed_with_the_spoke_and_there_is_none_without_egress(way: str) -> None:
    with workshop() as shop:
        async with running(outgoing(shop), ENTRY, way=way) as spoke:
            listener = spoke.listener
            assert listener is not None
            assert not listener.getblocking()
            assert not os.get_inheritable(listener.fileno())
            assert tuple(canary.name for canary in spoke.report.canaries) == names("strict", profile="egress")
        assert listener.fileno() == -1
        assert spoke.listener is None
        async with running(shop.spec(APPS / "plain"), "plain:app", way=way) as plain:
            assert plain.listener is None


async def test_without_namespaces_there_is_no_listener_and_no_address_family_of_the_internet() -> None:
    with workshop() as shop:
        async with running(replace(outgoing(shop), level="no-userns"), ENTRY) as spoke:
            assert spoke.listener is None
            assert await call(spoke, "connect", host="127.0.0.1", port=PROXY_PORT) == {
                "error": "Operation not permitted"
            }


# ---- what is not taken for a listener


async def test_a_listener_of_the_hubs_own_network_is_a_breach() -> None:
    with workshop() as shop:
        with pytest.raises(CanaryFailed) as caught:
            await start_weakened(outgoing(shop), without("--unshare-net"))

        assert "the net namespace is the hub's own" in caught.value.report.breaches
        assert processes_of(shop.root) == []


def at_another_port(line: Line, document: Document) -> tuple[Line, Document]:
    return line, {**document, "port": PROXY_PORT + 1}


@both_ways
async def test_a_listener_at_another_address_is_a_breach_and_is_closed(way: str) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with workshop() as shop:
        async with going(way) as how:
            with pytest.raises(CanaryFailed, match=r"is at 127\.0\.0\.1:3129, not at"):
                await start_weakened(outgoing(shop), at_another_port, how)

        assert processes_of(shop.root) == []
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def not_asked_for(line: Line, document: Document) -> tuple[Line, Document]:
    return line, {**document, "port": None}


@both_ways
async def test_a_listener_that_does_not_come_is_a_breach(way: str) -> None:
    with workshop() as shop:
        async with going(way) as how:
            with pytest.raises(CanaryFailed, match="the egress listener did not come"):
                await start_weakened(outgoing(shop), not_asked_for, how)


@both_ways
async def test_only_a_listening_socket_of_the_spokes_own_namespace_is_its_listener(way: str) -> None:
    pair, idle = socket.socketpair(), socket.socket()
    with (
        workshop() as shop,
        closing(socket.create_server(("127.0.0.1", 0))) as hubs,
        closing(pair[0]),
        closing(pair[1]),
        closing(idle),
    ):
        async with (
            running(outgoing(shop), ENTRY, way=way) as spoke,
            running(shop.spec(APPS / "plain"), "plain:app") as b,
        ):
            pidfd, of_other = os.pidfd_open(spoke.pid), os.pidfd_open(b.pid)
            try:
                listener = spoke.listener
                assert listener is not None
                assert fault(listener, pid=spoke.pid, pidfd=pidfd) == ""
                assert "not of the spoke's network namespace" in fault(listener, pid=b.pid, pidfd=of_other)
                assert "not of the spoke's network namespace" in fault(hubs, pid=spoke.pid, pidfd=pidfd)
                assert "its domain is 1, not 2" in fault(pair[0], pid=spoke.pid, pidfd=pidfd)
                assert "its listening is 0, not 1" in fault(idle, pid=spoke.pid, pidfd=pidfd)
                assert "did not come" in fault(None, pid=spoke.pid, pidfd=pidfd)
                # Both ways of asking the kernel say the same.
                for pid, own in ((spoke.pid, True), (b.pid, False)):
                    assert (made_in(listener, pid), listed(listener, pid)) == (own, own)
                assert not listed(hubs, spoke.pid)
                await spoke.kill()
                assert fault(hubs, pid=b.pid, pidfd=pidfd) == "the spoke ended while its egress listener was looked at"
            finally:
                os.close(pidfd)
                os.close(of_other)


@pytest.mark.parametrize("count", [0, 1, 2, 5])
@pytest.mark.parametrize("asked", [False, True])
async def test_exactly_one_descriptor_is_taken_and_only_when_asked_for(count: int, asked: bool) -> None:
    channels = Channels()
    given = [socket.socket() for _ in range(count)]
    try:
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        with socket.socket(fileno=os.dup(channels.report_fd)) as spokes_end:
            socket.send_fds(spokes_end, [b"report"], [end.fileno() for end in given])
        if asked:
            _, message, end = await channels.receive_with_socket()
        else:
            (_, message), end = await channels.receive(), None

        assert message == b"report"
        assert (end is not None) == (asked and count == 1)
        assert len(os.listdir("/proc/self/fd")) == before + (end is not None)  # noqa: PTH208
        if end is not None:
            end.close()
    finally:
        channels.close()
        for end in given:
            end.close()


async def test_a_descriptor_that_is_no_socket_is_closed() -> None:
    channels = Channels()
    try:
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        with socket.socket(fileno=os.dup(channels.report_fd)) as spokes_end:
            socket.send_fds(spokes_end, [b"report"], [0])
        assert (await channels.receive_with_socket())[1:] == (b"report", None)
        assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    finally:
        channels.close()
