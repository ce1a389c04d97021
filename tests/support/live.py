"""A whole hub for tests: real OPA, real sandboxes, real gRPC, a real database. And the person at the keyboard."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
from spokegate.v1 import decision_pb2, hub_pb2, hub_pb2_grpc

from hub.app import Hub, serve
from hub.client import Answer, HubClient, HubError, Session
from hub.config import (
    PROJECT_ROOT,
    AppConfig,
    AuditConfig,
    ClientConfig,
    Config,
    EgressConfig,
    LimitsConfig,
    ModelConfig,
    OpaConfig,
)
from hub.spokes.starting import SpokeKey
from tests.support.apps import APPS

POLICIES = PROJECT_ROOT / "policies"
ONCE = decision_pb2.GRANT_SCOPE_ONCE
SESSION = decision_pb2.GRANT_SCOPE_SESSION

VAULT, RELAY = APPS / "vault", APPS / "relay"
MISBEHAVING, HOSTILE_FRAMES, BRIEF = APPS / "misbehaving", APPS / "hostile_frames", APPS / "brief"
DIARY = APPS / "diary"

# Decides everything alike, in the contract's shape: a defence that is off.
FIXED = """package spokegate

decision := {
	"effect": "%s",
	"decided_by": "rule",
	"grant": null,
	"hidden": false,
	"reasons": [{"code": "test.fixed", "message": "As the test wants it.", "rule": "test"}],
	"obligations": [],
	"prompt": null,
	"review_result": false,
}
"""
ALLOW_ALL = FIXED % "allow"


@dataclass
class Live:
    """A running hub, and a client of its first user; or what is that user's of a hub that other tests share.

    Attributes:
        number: Which of the tests that share the hub this is; empty when it is the hub's only one.
    """

    hub: Hub
    config: Config
    client: HubClient
    _stack: AsyncExitStack
    number: str = ""

    @property
    def user(self) -> str:
        """The first user."""
        return f"alice{self.number}"

    @property
    def socket(self) -> Path:
        """The first user's socket."""
        return self.config.runtime_dir / f"{self.user}.sock" if self.number else self.hub.socket

    @property
    def running(self) -> list[SpokeKey]:
        """The spokes that run for this test's users."""
        return [key for key in self.hub.supervisor.running if key.user.endswith(self.number)]

    async def client_of(self, user: str) -> HubClient:
        """Return a client on another user's socket, closed with the hub."""
        names = [client.socket for client in self.config.clients if client.user == f"{user}{self.number}"]
        return await self._stack.enter_async_context(HubClient(self.config.runtime_dir / names[0]))

    async def close_session(self, session_id: str) -> None:
        """Close a session of the first user while its client still has it open."""
        async with grpc.aio.insecure_channel(f"unix:{self.socket}") as channel:
            stub: hub_pb2_grpc.HubServiceAsyncStub = hub_pb2_grpc.HubServiceStub(channel)
            await stub.CloseSession(hub_pb2.CloseSessionRequest(session_id=session_id), timeout=10)

    def rows(self, *kinds: str) -> list[tuple[str, str, dict[str, Any]]]:
        """Return what is durable in the audit log, of this test's users or of none: kind, decision id, body."""
        return audit_rows(self.config.state_dir, *kinds, users=self.number)

    async def row(self, kind: str, fits: Callable[[dict[str, Any]], bool], seconds: float = 10.0) -> dict[str, Any]:
        """Wait for a row in the audit log and return its body."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            found[:] = [body for _, _, body in self.rows(kind) if fits(body)]
            return bool(found)

        await until(look, seconds)
        return found[0]

    async def outcome(self, decision_id: str) -> str:
        """Wait for the outcome of a decision and return it."""

        def known() -> list[str]:
            return [str(body["outcome"]) for _, id_, body in self.rows("outcome") if id_ == decision_id]

        await until(known)
        return known()[-1]


def audit_rows(state_dir: Path, *kinds: str, users: str = "") -> list[tuple[str, str, dict[str, Any]]]:
    """Return what is durable in the audit log below a state directory, read past the hub.

    Args:
        state_dir: The directory.
        kinds: What to return; everything, if none is named.
        users: How the names of the users end whose rows are wanted; rows of no user come with them.
    """
    connection = sqlite3.connect(state_dir / "hub.db", timeout=5)
    try:
        wanted = """SELECT kind, decision_id, body FROM audit WHERE "user" LIKE ? OR "user" = '' ORDER BY seq"""
        found = connection.execute(wanted, (f"%{users}",)).fetchall()
    finally:
        connection.close()
    return [(kind, id_, json.loads(body)) for kind, id_, body in found if not kinds or kind in kinds]


def app(path: Path, **settings: Any) -> AppConfig:
    """Return an app's part of a configuration."""
    return AppConfig(path=path, **settings)


def configured(
    root: Path,
    *apps: AppConfig | Path,
    policies: tuple[Path, ...] = (POLICIES,),
    users: Iterable[str] = ("alice",),
    audit: AuditConfig | None = None,
    egress: EgressConfig = EgressConfig(),  # noqa: B008 - frozen
    model: ModelConfig | None = None,
    opa: OpaConfig | None = None,
    name: str = "hub",
    database: str | None = None,
    **limits: Any,
) -> Config:
    """Return a configuration with everything it keeps below a directory."""
    return Config(
        name=name,
        database=database,
        state_dir=root / "state",
        runtime_dir=root / "run",
        policies=policies,
        apps=tuple(item if isinstance(item, AppConfig) else app(item) for item in apps),
        clients=tuple(ClientConfig(user=user, socket=f"{user}.sock") for user in users),
        audit=audit or AuditConfig(),
        egress=egress,
        model=model,
        opa=opa,
        limits=LimitsConfig(**{"call_seconds": 20.0, "prompt_seconds": 5.0, "decision_seconds": 5.0, **limits}),
    )


@asynccontextmanager
async def workplace() -> AsyncIterator[Path]:
    """Yield a directory with a path short enough for sockets, removed at the end."""
    # Not pytest's own directory: its path is too long for a socket below it.
    with tempfile.TemporaryDirectory(prefix="sg-") as name:
        yield Path(name)


@asynccontextmanager
async def live(
    *apps: AppConfig | Path, root: Path | None = None, unsafe_no_sandbox: bool = False, **options: Any
) -> AsyncIterator[Live]:
    """Run a hub with these apps; see `configured` for the options."""
    async with AsyncExitStack() as stack:
        base = root if root is not None else await stack.enter_async_context(workplace())
        config = configured(base, *apps, **options)
        hub = await stack.enter_async_context(serve(config, unsafe_no_sandbox=unsafe_no_sandbox))
        client = await stack.enter_async_context(HubClient(hub.socket))
        yield Live(hub, config, client, stack)


class Shared:
    """A hub that many tests share, because a start costs more than most of them.

    Each test gets users of its own, and with them all that a hub keeps apart for a user: sessions, spokes, data,
    labels, grants, prompts and decisions. A test for which that is not apart enough runs a hub of its own.
    """

    def __init__(self, hub: Live, numbers: Iterable[str]) -> None:
        self._hub = hub
        self._left = list(numbers)

    @asynccontextmanager
    async def next(self) -> AsyncIterator[Live]:
        """Yield what the next test has of it."""
        assert self._left, "more tests share this hub than it was made for: see `tests` of `shared`"
        async with AsyncExitStack() as stack:
            mine = replace(self._hub, number=self._left.pop(0), _stack=stack)
            mine.client = await mine.client_of("alice")
            yield mine


@asynccontextmanager
async def shared(
    *apps: AppConfig | Path, tests: int, users: Iterable[str] = ("alice",), **options: Any
) -> AsyncIterator[Shared]:
    """Run a hub for at most so many tests, each with users of these names; see `configured` for the options."""
    # Each user has a socket, and an ordinary user's process only a thousand or so: no more of them than are needed.
    numbers = [f"-{number}-" for number in range(tests)]
    async with live(*apps, users=[f"{user}{number}" for number in numbers for user in users], **options) as hub:
        yield Shared(hub, numbers)


async def refused(call: Awaitable[Any]) -> HubError:
    """Await a call that must be refused, and return the refusal."""
    try:
        answer = await call
    except HubError as error:
        return error
    raise AssertionError(f"not refused: {answer}")


async def ask(session: Session, *requests: dict[str, Any], through: str = "relay", user_text: str = "") -> Any:
    """Let the relay ask for functions, one after the other, and return what came of each."""
    answer = await session.invoke(f"{through}.ask", {"requests": list(requests)}, user_text=user_text)
    return answer.result


def unsaid(function: str, **arguments: Any) -> dict[str, Any]:
    """Return a request to `ask` for, in a form in which its arguments are not the user's own words."""
    return {"function": function, "text": json.dumps(arguments, separators=(",", ":"))}


async def runs(session: Session) -> list[str]:
    """Return the functions of the vault that have really run, in order."""
    answer: Answer = await session.invoke("vault.runs", {})
    return [run["function"] for run in answer.result]


def policies_of(directory: Path, text: str) -> Path:
    """Make a directory of policies that holds one module, and return it."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "decision.rego").write_text(text)
    return directory


def site(directory: Path, settings: dict[str, Any], rego: str = "") -> tuple[Path, ...]:
    """Write a site with settings, and return all policies."""
    own = policies_of(directory / "own", rego) if rego else directory / "own"
    own.mkdir(exist_ok=True)
    (own / "settings.json").write_text(json.dumps({"site": {"settings": settings}}))
    return (POLICIES, own)


def copied_policies(directory: Path) -> Path:
    """Copy the shipped policies, so that a test may edit them."""
    shutil.copytree(POLICIES, directory, ignore=shutil.ignore_patterns("*_test.rego"))
    return directory


class Person:
    """Someone who watches a client's prompts and answers each with the next reply; those beyond go unanswered."""

    def __init__(self, client: HubClient, *replies: decision_pb2.GrantScope.ValueType | None) -> None:
        self.seen: list[hub_pb2.Prompt] = []
        self.ended: list[hub_pb2.PromptEnd] = []
        self.told: list[hub_pb2.Notice] = []
        self._client = client
        self._left = list(replies)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[Person]:
        async with self._client.prompts() as events:
            task = asyncio.create_task(self._answer(events))
            try:
                yield self
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _answer(self, events: AsyncIterator[hub_pb2.WatchPromptsResponse]) -> None:
        async for event in events:
            if event.WhichOneof("event") == "ended":
                self.ended.append(event.ended)
                continue
            if event.WhichOneof("event") == "notice":
                self.told.append(event.notice)
                continue
            self.seen.append(event.waiting)
            if self._left:
                await self._client.answer(event.waiting.prompt_id, self._left.pop(0))


async def until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    """Wait until a condition holds; fail when it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.02)
