"""The measurements. What is compared is measured in turns, so that a drift of the machine hits both sides."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from spokegate.v1 import spoke_pb2, spoke_pb2_grpc

from hub.client import HubClient, Session
from hub.store.audit import AuditLog, Event
from hub.store.database import open_database
from tests.bench import subjects

FUNCTION = "metro_hail.estimate_fare"
CALLS_OF_A_SESSION = 900  # the policies that ship let a session make 1,000

_BLOCK = 25
_SPOKE_SECONDS = 20.0


@dataclass(slots=True)
class Latencies:
    """Seconds of single calls, one at a time."""

    direct: list[float] = field(default_factory=list)
    hub: list[float] = field(default_factory=list)
    opa: list[float] = field(default_factory=list)
    decision: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Throughputs:
    """Calls per second, by round."""

    direct: list[float] = field(default_factory=list)
    hub: list[float] = field(default_factory=list)


@dataclass(slots=True)
class ColdStarts:
    """Seconds from nothing to the first answer."""

    plain: list[float] = field(default_factory=list)
    spoke: list[float] = field(default_factory=list)


async def latencies(hub: HubClient, direct: HubClient, opa_socket: Path, sessions: int) -> Latencies:
    """Time single calls: to the direct server, through the hub, and a bare request to the hub's OPA."""
    found = Latencies()
    for _ in range(sessions):
        async with hub.session() as session:
            await _calls(direct, session.id, range(_BLOCK))
            await _calls(hub, session.id, range(_BLOCK))
            opa = _BareOpa(opa_socket, await access_request(session))
            try:
                for first in range(0, CALLS_OF_A_SESSION, _BLOCK):
                    numbers = range(first, first + _BLOCK)
                    found.direct += await _calls(direct, session.id, numbers)
                    found.hub += await _calls(hub, session.id, numbers)
                    found.opa += [opa.ask() for _ in numbers]
            finally:
                opa.close()
            records = await hub.decisions(session_id=session.id, limit=CALLS_OF_A_SESSION)
            found.decision += [record.decision_latency.ToTimedelta().total_seconds() for record in records]
    return found


async def throughputs(hub: HubClient, direct: HubClient, in_flight: int, rounds: int) -> Throughputs:
    """Count calls per second with many in flight, in a new session each round."""
    found = Throughputs()
    for _ in range(rounds):
        async with hub.session() as session:
            await _calls(hub, session.id, range(_BLOCK))
            found.direct.append(await _rate(direct, session.id, in_flight))
            found.hub.append(await _rate(hub, session.id, in_flight))
    return found


async def cold_starts(client: HubClient, directory: Path, count: int) -> ColdStarts:
    """Time first calls: in new sessions, and to new processes of the same server without a sandbox."""
    found = ColdStarts()
    for number in range(count):
        found.plain.append(await _plain_start(directory / f"plain{number}.sock"))
        async with client.session() as session:
            started = time.perf_counter()
            await session.invoke(FUNCTION, arguments(number))
            found.spoke.append(time.perf_counter() - started)
    return found


async def commits(directory: Path, body: dict[str, Any], count: int) -> list[float]:
    """Time the audit log alone: one decision's row, until it is durable."""
    engine = open_database(directory / "audit.db")
    found = []
    try:
        async with AuditLog(engine) as log:
            for number in range(count):
                event = Event(
                    kind="decision", body=body, decision_id=f"d-{number:024x}", session="s-bench", user="bench"
                )
                started = time.perf_counter()
                await log.record(event)
                found.append(time.perf_counter() - started)
    finally:
        engine.dispose()
    return found


def arguments(number: int) -> dict[str, str]:
    """Return the arguments of one call, like no other's."""
    return {"pickup": "Main Street", "destination": f"{number} Elm Avenue"}


async def access_request(session: Session) -> dict[str, Any]:
    """Return what OPA is asked about a call."""
    given = arguments(0)
    answer = await session.invoke(FUNCTION, given)
    explained = await session.client.explain(answer.decision_id)
    return {**json.loads(explained.input_json), "arguments": given}


async def _calls(client: HubClient, session_id: str, numbers: Iterable[int]) -> list[float]:
    found = []
    for number in numbers:
        started = time.perf_counter()
        await client.invoke(session_id, FUNCTION, arguments(number))
        found.append(time.perf_counter() - started)
    return found


async def _rate(client: HubClient, session_id: str, in_flight: int) -> float:
    share = CALLS_OF_A_SESSION // in_flight
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for first in range(0, share * in_flight, share):
            group.create_task(_calls(client, session_id, range(first, first + share)))
    return share * in_flight / (time.perf_counter() - started)


async def _plain_start(path: Path) -> float:
    started = time.perf_counter()
    async with subjects.plain_spoke(path), grpc.aio.insecure_channel(f"unix:{path}") as channel:
        await spoke_call(spoke_pb2_grpc.SpokeServiceStub(channel), 0)
        return time.perf_counter() - started


async def spoke_call(stub: spoke_pb2_grpc.SpokeServiceAsyncStub, number: int) -> None:
    """Make one whole call of the function, as the hub makes it, to a spoke or to what stands in for one."""
    start = spoke_pb2.Start(function=FUNCTION.partition(".")[2], arguments_json=json.dumps(arguments(number)))
    stream = stub.Run(timeout=_SPOKE_SECONDS)
    await stream.write(spoke_pb2.RunRequest(start=start))
    answer = await stream.read()
    await stream.done_writing()
    if not isinstance(answer, spoke_pb2.RunResponse) or not answer.result.result_json:
        raise RuntimeError(f"no result: {answer}")
    await stream.read()


class _BareOpa:
    """One HTTP connection to OPA, with nothing around it."""

    def __init__(self, path: Path, document: dict[str, Any]) -> None:
        self._connection = http.client.HTTPConnection("opa")
        self._connection.sock = socket.socket(socket.AF_UNIX)
        self._connection.sock.connect(str(path))
        self._body = json.dumps({"input": document})

    def ask(self) -> float:
        started = time.perf_counter()
        self._connection.request(
            "POST",
            "/v1/data/spokegate/decision?provenance=true",
            body=self._body,
            headers={"Content-Type": "application/json"},
        )
        reply = self._connection.getresponse()
        body = reply.read()
        seconds = time.perf_counter() - started
        if reply.status != http.client.OK or b'"result"' not in body:
            raise RuntimeError(f"OPA answered {reply.status}: {body[:200]!r}")
        return seconds

    def close(self) -> None:
        self._connection.close()


def milliseconds(seconds: Sequence[float]) -> list[float]:
    """Return seconds as milliseconds."""
    return [value * 1000 for value in seconds]
