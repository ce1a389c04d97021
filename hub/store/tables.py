"""The tables, and how a database is opened.

SQLite in WAL mode with `synchronous=FULL`: a commit that returned survives a crash of the hub and a loss of power.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
)
from sqlalchemy.exc import SQLAlchemyError

from hub.errors import AuditUnavailable

METADATA = MetaData()

# Append-only. `hash` covers the row and the hash of the one before it, so a changed, removed or inserted row shows.
AUDIT = Table(
    "audit",
    METADATA,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("time", Float, nullable=False, doc="Seconds since the epoch, UTC."),
    Column("kind", String(32), nullable=False, doc="decision, outcome, prompt, grant, spoke, policy or hub."),
    Column("decision_id", String(64), nullable=False, default="", doc="Empty where the event belongs to none."),
    Column("session", String(64), nullable=False, default=""),
    Column("user", String(128), nullable=False, default=""),
    Column("body", Text, nullable=False, doc="JSON, by kind."),
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Index("audit_decision", "decision_id"),
    Index("audit_user", "user", "seq"),
)

GRANTS = Table(
    "grants",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("scope", String(16), nullable=False),
    Column("user", String(128), nullable=False),
    Column("session", String(64), nullable=False),
    Column("caller", String(128), nullable=False),
    Column("function", String(128), nullable=False),
    Column("arguments_digest", String(80), nullable=True),
    Column("constraint", JSON, nullable=True),
    Column("labels", JSON, nullable=False),
    Column("created", Float, nullable=False),
    Column("ended", Float, nullable=True),
    Column("end_reason", String(16), nullable=True, doc="used, revoked or closed."),
    Index("grants_user", "user", "created"),
)


def open_database(path: Path) -> Engine:
    """Open the SQLite database at a path, making it when there is none.

    Raises:
        AuditUnavailable: It cannot be opened or made.
    """
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 5.0})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000"):
            connection.execute(f"PRAGMA {pragma}")

    try:
        METADATA.create_all(engine)
    except SQLAlchemyError as error:
        raise AuditUnavailable(f"{path}: the database cannot be opened: {error}") from error
    return engine
