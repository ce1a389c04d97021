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
from dataclasses import dataclass
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
)
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
    """A running hub, and a client of its first user."""

    hub: Hub
    config: Config
    client: HubClient
    _stack: AsyncExitStack

    async def client_of(self, user: str) -> HubClient:
        """Return a client on another user's socket, closed with the hub."""
        names = [client.socket for client in self.config.clients if client.user == user]
        return await self._stack.enter_async_context(HubClient(self.config.runtime_dir / names[0]))

    async def close_session(self, session_id: str) -> None:
        """Close a session of the first user while its client still has it open."""
        async with grpc.aio.insecure_channel(f"unix:{self.hub.socket}") as channel:
            stub: hub_pb2_grpc.HubServiceAsyncStub = hub_pb2_grpc.HubServiceStub(channel)
            await stub.CloseSession(hub_pb2.CloseSessionRequest(session_id=session_id), timeout=10)

    def rows(self, *kinds: str) -> list[tuple[str, str, dict[str, Any]]]:
        """Return what is durable in the audit log: kind, decision id, body."""
        return audit_rows(self.config.state_dir, *kinds)

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


def audit_rows(state_dir: Path, *kinds: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Return what is durable in the audit log below a state directory, read past the hub."""
    connection = sqlite3.connect(state_dir / "hub.db", timeout=5)
    try:
        found = connection.execute("SELECT kind, decision_id, body FROM audit ORDER BY seq").fetchall()
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
    **limits: Any,
) -> Config:
    """Return a configuration with everything it keeps below a directory."""
    return Config(
        state_dir=root / "state",
        runtime_dir=root / "run",
        policies=policies,
        apps=tuple(item if isinstance(item, AppConfig) else app(item) for item in apps),
        clients=tuple(ClientConfig(user=user, socket=f"{user}.sock") for user in users),
        audit=audit or AuditConfig(),
        egress=egress,
        model=model,
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


def copied_policies(directory: Path) -> Path:
    """Copy the shipped policies, so that a test may edit them."""
    shutil.copytree(POLICIES, directory, ignore=shutil.ignore_patterns("*_test.rego"))
    return directory


class Person:
    """Someone who watches a client's prompts and answers each with the next reply; those beyond go unanswered."""

    def __init__(self, client: HubClient, *replies: decision_pb2.GrantScope.ValueType | None) -> None:
        self.seen: list[hub_pb2.Prompt] = []
        self.ended: list[hub_pb2.PromptEnd] = []
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
            self.seen.append(event.waiting)
            if self._left:
                await self._client.answer(event.waiting.prompt_id, self._left.pop(0))


async def until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    """Wait until a condition holds; fail when it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.02)
