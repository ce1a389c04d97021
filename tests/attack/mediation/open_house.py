"""The control of every attack: the same hub with the defence off, on which the attack must succeed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from hub.config import AppConfig
from tests.support.apps import variant
from tests.support.live import ALLOW_ALL, POLICIES, RELAY, VAULT, Live, app, live, policies_of


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
