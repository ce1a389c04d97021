"""The control of every attack: the same hub with the defence off, on which the attack must succeed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Self

from hub.client import HubClient, Session
from hub.config import AppConfig
from tests.support.apps import APPS, variant
from tests.support.live import ALLOW_ALL, POLICIES, RELAY, VAULT, Live, Shared, app, live, policies_of, shared

INTRUDER, BELIEVER = APPS / "intruder", APPS / "believer"
GUESTS = tuple(f"guest-{number}" for number in range(60))


def stranger(parent: Path, name: str = "stranger", asks: tuple[str, ...] = ("misbehaving.echo",)) -> Path:
    """Return the relay under another name, with other asks."""
    return variant(RELAY, parent, name, asks=list(asks))


@asynccontextmanager
async def house(root: Path, *apps: AppConfig | Path, open_to_all: bool, **options: Any) -> AsyncIterator[Live]:
    """Run a hub with the vault and these apps, by the shipped policies or by one that allows everything."""
    policies = policies_of(root / "open", ALLOW_ALL) if open_to_all else POLICIES
    vault = options.pop("vault", app(VAULT))
    async with live(vault, *apps, policies=(policies,), **options) as hub:
        yield hub


@dataclass
class Guest:
    """A user whom no test had before, so that nothing of another test is in what their apps keep."""

    hub: Live
    user: str
    client: HubClient
    session: Session


class Houses:
    """Hubs that many tests share, by whether the shipped policies are in force."""

    def __init__(self, hubs: dict[bool, Live]) -> None:
        self._hubs = hubs
        self._users = {guarded: count() for guarded in hubs}

    @asynccontextmanager
    async def guest(self, *, guarded: bool) -> AsyncIterator[Guest]:
        """Open a session of a new user."""
        hub, user = self._hubs[guarded], GUESTS[next(self._users[guarded])]
        client = await hub.client_of(user)
        async with client.session() as session:
            yield Guest(hub, user, client, session)


class Street:
    """Hubs with a few apps each that the tests of a module share, one for each way of running it. Use as `async with`.

    Args:
        root: Where the policies are that allow everything.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._hubs: dict[str, Shared] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    @asynccontextmanager
    async def house(self, *apps: AppConfig | Path, open_to_all: bool, **options: Any) -> AsyncIterator[Live]:
        """Yield a hub with the vault and these apps, by the shipped policies or by one that allows everything."""
        installed = [app(item) if isinstance(item, Path) else item for item in (app(VAULT), *apps)]
        key = json.dumps([[_as_installed(item) for item in installed], open_to_all, options])
        if key not in self._hubs:
            policies = policies_of(self._root / "open", ALLOW_ALL) if open_to_all else POLICIES
            self._hubs[key] = await self._stack.enter_async_context(
                shared(*installed, tests=20, policies=(policies,), **options)
            )
        async with self._hubs[key].next() as hub:
            yield hub


def _as_installed(item: AppConfig) -> list[str]:
    """Return what tells an app from another; the copies that two tests make of one are the same."""
    return [item.model_dump_json(exclude={"path"}), (item.path / "app.yaml").read_text()]
