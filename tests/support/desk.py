"""A mediator at a desk: everything real but the decision point and the walls around the apps.

The apps run in the test's own process, behind the real forwarder and real gRPC over a unix socket. So a test can look
at the database from within a function, and needs no privileges.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import grpc
from spokegate.v1 import spoke_pb2_grpc
from sqlalchemy import Engine, text

from hub.errors import SpokegateError, SpokeUnavailable
from hub.mediation.actions import Limits
from hub.mediation.call import Delivered
from hub.mediation.caller import SessionState, new_id, user_caller
from hub.mediation.consent import Prompts, Question, Yes
from hub.mediation.errands.doors import Doors
from hub.mediation.errands.share import Disclosure
from hub.mediation.kept import KeptLabels
from hub.mediation.mediator import Mediator
from hub.mediation.memory import Memory
from hub.mediation.request import GrantScope
from hub.mediation.schema import digest
from hub.model.client import ModelClient
from hub.spokes.egress.connector import EgressConnector
from hub.spokes.egress.proxy import Connects
from hub.spokes.forwarder import Forwarder
from hub.spokes.registry import Installed, RegisteredApp, Registry
from hub.spokes.starting import SpokeKey
from hub.spokes.supervisor import Spoke, Supervisor
from hub.spokes.wire import Wire
from hub.store.audit import AuditLog
from hub.store.data_labels import DataLabelStore
from hub.store.database import open_database
from hub.store.grants import Grant, GrantStore, binding_of
from hub.store.memory import MemoryStore
from hub.store.user_data import UserDataStore
from spoke_runner.sdk import App
from spoke_runner.sdk.run import run
from tests.support.pdp import FakePdp

CALL_SECONDS = 5.0


@dataclass
class Desk:
    """What a test works with."""

    mediator: Mediator
    registry: Registry
    pdp: FakePdp
    prompts: Prompts
    grants: GrantStore
    audit: AuditLog
    engine: Engine
    kept: KeptLabels
    session: SessionState
    memory: MemoryStore
    user_data: UserDataStore
    spokes: LocalSpokes

    async def invoke(
        self,
        function: str,
        arguments: Any = None,
        *,
        session: SessionState | None = None,
        seconds: float = CALL_SECONDS,
    ) -> Delivered:
        """Call a function as the user; arguments that are a text are taken as they are."""
        given = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
        caller = user_caller(session or self.session, deadline=asyncio.get_running_loop().time() + seconds)
        return await self.mediator.mediate(caller, "invoke", function, given)

    async def refusal(self, function: str, arguments: Any = None, **options: Any) -> SpokegateError:
        """Call a function that must be refused, and return the refusal."""
        try:
            delivered = await self.invoke(function, arguments, **options)
        except SpokegateError as error:
            return error
        raise AssertionError(f"not refused: {delivered.result_json}")

    async def rows(self, *kinds: str) -> list[tuple[str, str, dict[str, Any]]]:
        """Return kind, decision id and body of the audit log's rows, oldest first, once all are written."""
        await self.audit.writer.submit()
        return rows_of(self.engine, *kinds)

    async def outcome(self, decision_id: str) -> str:
        """Return the last outcome on record of a decision."""
        return str([b["outcome"] for _, id_, b in await self.rows("outcome") if id_ == decision_id][-1])


def rows_of(engine: Engine, *kinds: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Return what is durable in the audit log: kind, decision id, body."""
    with engine.connect() as connection:
        found = connection.execute(text("SELECT kind, decision_id, body FROM audit ORDER BY seq"))
        return [(row.kind, row.decision_id, json.loads(row.body)) for row in found if not kinds or row.kind in kinds]


class LocalSpokes:
    """Stands in for the supervisor: the same gRPC, without the sandbox.

    Args:
        apps: The code, by the app's name; an app without code cannot be started.
        directory: Where sockets and data are.
    """

    def __init__(self, apps: Mapping[str, App], directory: Path) -> None:
        self._apps = apps
        self._directory = directory
        self._spokes: dict[str, Spoke] = {}
        self._servers: list[grpc.aio.Server] = []
        self._starting = asyncio.Lock()

    async def acquire(self, app: RegisteredApp, *, user: str, session: str, connects: Connects) -> Spoke:
        if app.name not in self._apps:
            raise SpokeUnavailable(f"{app.name}: has no code")
        # Calls that come at once share the one spoke that is started.
        async with self._starting:
            if app.name not in self._spokes:
                self._spokes[app.name] = await self._start(app, user, session)
        return self._spokes[app.name]

    async def _start(self, app: RegisteredApp, user: str, session: str) -> Spoke:
        server = grpc.aio.server()
        data = self._directory / f"{app.name}.data"
        data.mkdir()
        spoke_pb2_grpc.add_SpokeServiceServicer_to_server(_Servicer(self._apps[app.name], data), server)
        socket = self._directory / f"{app.name}.sock"
        server.add_insecure_port(f"unix:{socket}")
        await server.start()
        self._servers.append(server)
        wire = Wire(self._directory / f"{app.name}.hub")
        wire.lay(to=socket)
        channel = grpc.aio.insecure_channel(f"unix:{wire.path}")
        key = SpokeKey(app.name, user, session)
        return Spoke(key, cast(Any, None), wire, channel, lambda spoke, why: None)

    async def cut(self, app: str) -> None:
        """Close an app's channel, as it is when its spoke is ended."""
        await self._spokes[app].channel.close()

    async def close(self) -> None:
        for spoke in self._spokes.values():
            await spoke.channel.close()
            await spoke.wire.close()
        for server in self._servers:
            await server.stop(None)


class _Servicer(spoke_pb2_grpc.SpokeServiceServicer):
    def __init__(self, app: App, data: Path) -> None:
        self._app = app
        self._data = data

    async def Run(self, request_iterator: object, context: Any) -> None:  # type: ignore[override]  # noqa: N802
        await run(self._app, self._data, context)


@asynccontextmanager
async def desk(
    installed: Sequence[Installed],
    code: Mapping[str, App],
    pdp: FakePdp | None = None,
    connector: EgressConnector | None = None,
    location: Path | str | None = None,
    model: ModelClient | None = None,
    **limits: Any,
) -> AsyncIterator[Desk]:
    """Set a desk up; `code` has the apps' functions, by the app's name."""
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sg-")))
        engine = open_database(location or directory / "hub.db")
        stack.callback(engine.dispose)
        audit = await stack.enter_async_context(AuditLog(engine))
        spokes = LocalSpokes(code, directory)
        stack.push_async_callback(spokes.close)
        registry, pdp, prompts, grants = Registry(installed), pdp or FakePdp(), Prompts(), GrantStore(engine, audit)
        kept = KeptLabels(DataLabelStore(engine, audit))
        memory, user_data = MemoryStore(engine, audit), UserDataStore(engine, audit)
        mediator = Mediator(
            registry=registry,
            pdp=pdp,
            prompts=prompts,
            grants=grants,
            kept=kept,
            audit=audit,
            supervisor=cast(Supervisor, spokes),
            forwarder=Forwarder(),
            doors=Doors(
                connector=connector or EgressConnector(),
                model=model,
                memory=Memory(memory),
                disclosure=Disclosure(user_data),
            ),
            limits=Limits(**{"prompt_timeout_seconds": 2.0, **limits}),
        )
        session = SessionState(id=new_id("s"), user="alice", kept=kept.of_user("alice"))
        yield Desk(mediator, registry, pdp, prompts, grants, audit, engine, kept, session, memory, user_data, spokes)


def a_grant(session: SessionState, *, scope: GrantScope = "once", **changes: Any) -> Grant:
    """Return a grant of the session's user for a call of `target.do` without arguments, by the user."""
    fields: dict[str, Any] = {
        "id": new_id("g"),
        "scope": scope,
        "user": session.user,
        "session": session.id,
        "caller": "user",
        "function": "target.do",
        "arguments_digest": digest(b"{}") if scope == "once" else None,
        "constraint": {} if scope != "once" else None,
        "decision_id": "d-1",
        "labels": {"confidentiality": [], "integrity": []},
        "created": time.time(),
    }
    return Grant(**{**fields, **changes})


async def grants_held(store: GrantStore, *, session: str) -> list[str]:
    """Return the ids of the grants that hold for a call of `target.do` without arguments, by the user."""
    bindings = {binding_of(digest(b"{}"), None), binding_of(None, {})}
    found = await store.holding(user="alice", session=session, caller="user", function="target.do", bindings=bindings)
    return [grant.id for grant in found]


Reply = GrantScope | Yes | None


@asynccontextmanager
async def answering(prompts: Prompts, *replies: Reply, user: str = "alice") -> AsyncIterator[list[Question]]:
    """Watch a user's prompts and answer each with the next reply; those beyond go unanswered. Yields what was asked."""
    asked: list[Question] = []

    async def answer() -> None:
        left = list(replies)
        async for event in events:
            if isinstance(event, Question):
                asked.append(event)
                if left:
                    reply = left.pop(0)
                    prompts.answer(user, event.id, Yes(reply) if isinstance(reply, str) else reply)

    with prompts.watch(user) as events:
        task = asyncio.create_task(answer())
        try:
            yield asked
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def until(condition: Any, seconds: float = 5.0) -> None:
    """Wait until a condition holds; fail when it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.005)
