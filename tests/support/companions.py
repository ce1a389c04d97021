"""A whole hub with the agents that ship, in real sandboxes, and a scripted model; and variants that mean harm."""

from __future__ import annotations

import json
import mailbox
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import yaml

from hub.config import AppConfig, ModelConfig
from scripted_model import Brain, Reply, Script, ScriptedModel
from tests.support.apps import SHIPPED, variant
from tests.support.live import Live, live

TAGS = ("contact", "health", "personal")
REVIEWED: dict[str, dict[str, Any]] = {
    "naive": {"trust": "reviewed", "clearance": ("personal",)},
    "assistant": {"trust": "reviewed", "clearance": TAGS},
    "health_companion": {"trust": "reviewed", "clearance": ("contact", "health")},
    "documents": {
        "trust": "reviewed",
        "clearance": ("personal",),
        "result_labels": {name: {"confidentiality": ("personal",)} for name in ("search", "read")},
    },
}


@dataclass
class Companions:
    """A running hub and its model."""

    live: Live
    model: ScriptedModel

    def put_mail(self, sender: str, subject: str, body: str) -> None:
        """Put a message into the inbox of the hub's user."""
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = sender, "alice@example.org", subject
        message.set_content(body)
        inbox = mailbox.mbox(self.data("mail") / "inbox.mbox")
        inbox.add(message)
        inbox.close()

    def put_document(self, name: str, text: str) -> None:
        """Put a document into the folder of the hub's user."""
        files = self.data("documents") / "files"
        files.mkdir(exist_ok=True)
        (files / name).write_text(text)

    def sent(self) -> list[str]:
        """Return what the hub's user has sent."""
        outbox = self.data("mail") / "outbox.mbox"
        with closing(mailbox.mbox(outbox)) as box:
            return [str(message) for message in box]

    def bookings(self) -> list[dict[str, Any]]:
        """Return what the airline was told."""
        path = self.data("travel_mate") / "bookings.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def data(self, name: str) -> Path:
        """Return the data directory of an app for the hub's user."""
        return self.live.hub.supervisor.data.kept(name, "alice")

    def decided(self, since: int = 0) -> list[tuple[str, str, str, list[str]]]:
        """Return who asked for what, how that was decided, and by which rules; without probes."""
        return [
            (body["caller"], body["function"], body["effect"], [reason["code"] for reason in body["reasons"]])
            for _, _, body in self.live.rows("decision")[since:]
            if body["action"] != "probe"
        ]


@asynccontextmanager
async def companions(brain: Brain | None = None, *apps: Path, **options: Any) -> AsyncIterator[Companions]:
    """Run a hub with these apps, shipped ones as they are installed, and a model that plays a script."""
    async with ScriptedModel(brain or Script(rules=(), otherwise=Reply(text="Nothing."))) as model:
        spec = {"name": "scripted", "clearance": TAGS}
        config = ModelConfig.model_validate({"base_url": model.base_url, "models": [spec], "retries": 0})
        async with live(*(configured(path) for path in apps), model=config, **options) as it:
            yield Companions(it, model)


def shipped(*names: str) -> list[Path]:
    """Return the directories of apps that ship."""
    return [SHIPPED / name for name in names]


def configured(path: Path) -> AppConfig:
    """Return an app as it is installed, by its name."""
    return AppConfig.model_validate({"path": path, **REVIEWED.get(path.name, {})})


def described(name: str, parent: Path, **changes: Any) -> Path:
    """Return a shipped app that says something else of itself."""
    return variant(SHIPPED / name, parent, name, **changes)


def talking_ride(parent: Path, note: str, description: str = "") -> Path:
    """Return a ride app that tells whoever reads its result, or its description, something besides the fare."""
    manifest = yaml.safe_load((SHIPPED / "quick_ride" / "app.yaml").read_text())
    functions = {"estimate_fare": manifest["functions"]["estimate_fare"]}
    functions["estimate_fare"]["result"]["properties"]["note"] = {"type": "string", "maxLength": 256}
    functions["estimate_fare"]["description"] += f" {description}"
    directory = variant(SHIPPED / "quick_ride", parent, "quick_ride", functions=functions, asks=[])
    code = directory / "quick_ride.py"
    told = code.read_text().replace('"company": "quick_ride",', f'"company": "quick_ride", "note": {note!r},')
    code.write_text(told)
    return directory
