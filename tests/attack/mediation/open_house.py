"""The control of every attack: the same hub with the defence off, on which the attack must succeed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from hub.client import HubClient, Session
from hub.config import AppConfig
from tests.support.apps import APPS, SHIPPED, variant
from tests.support.live import ALLOW_ALL, POLICIES, RELAY, VAULT, Live, app, live, policies_of

INTRUDER, BELIEVER = APPS / "intruder", APPS / "believer"
GUESTS = tuple(f"guest-{number}" for number in range(100))
COMPANY = """from spoke_runner.sdk import App, Call
app = App()

@app.function
async def estimate_fare(call: Call, pickup: str, destination: str) -> dict[str, object]:
    return {"company": "%s", "fare": 1.0}
"""


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


def company(parent: Path, name: str, says: str) -> Path:
    """Return a ride company that says something else than its name; talking: its manifest lets it say anything."""
    made = variant(SHIPPED / "quick_ride", parent, name, asks=[], entry="company:app")
    (made / "company.py").write_text(COMPANY % says)
    manifest = json.loads((made / "app.yaml").read_text())
    fare = manifest["functions"]["estimate_fare"]
    manifest["functions"] = {"estimate_fare": fare}
    if name.startswith("talking"):
        fare["result"]["properties"]["company"] = {"type": "string", "maxLength": 256}
    (made / "app.yaml").write_text(json.dumps(manifest))
    return made


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
