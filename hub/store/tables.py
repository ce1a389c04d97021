"""The tables, as the newest version of the schema has them; `migrations` is how they came to be."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Double, Index, Integer, MetaData, String, Table, Text

METADATA = MetaData()
_SEQ = BigInteger().with_variant(Integer, "sqlite")

# Append-only. `hash` covers the row and the hash of the one before it, so a changed, removed or inserted row shows.
AUDIT = Table(
    "audit",
    METADATA,
    Column("seq", _SEQ, primary_key=True, autoincrement=False),
    Column("time", Double, nullable=False, doc="Seconds since the epoch, UTC."),
    Column("hub", String(64), nullable=False, doc="The name of the hub that wrote it."),
    Column(
        "kind",
        String(32),
        nullable=False,
        doc="`decision`, `outcome`, `grant`, `spoke` and so on.",
    ),
    Column("decision_id", String(64), nullable=False, default="", doc="Empty where the event belongs to none."),
    Column("session", String(64), nullable=False, default=""),
    Column("user", String(128), nullable=False, default=""),
    Column("body", Text, nullable=False, doc="JSON, by kind."),
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Index("audit_decision", "decision_id"),
    Index("audit_user", "user", "seq"),
)

# One row: where the log ends. It is read and written with every batch, so that hubs that share a database write one
# chain, and it shows when the last rows of the log are missing.
AUDIT_HEAD = Table(
    "audit_head",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", _SEQ, nullable=False),
    Column("hash", String(64), nullable=False),
)

# Only ever added to: what was known once may have been written down.
DATA_LABELS = Table(
    "data_labels",
    METADATA,
    Column("id", _SEQ, primary_key=True),
    Column("hub", String(64), nullable=False, doc="Whose directory it is."),
    Column("user", String(128), nullable=False),
    Column("app", String(64), nullable=False),
    Column("kind", String(16), nullable=False, doc="confidentiality or integrity."),
    Column("label", String(64), nullable=False),
    Index("data_labels_hub", "hub"),
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
    Column("created", Double, nullable=False),
    Column("ended", Double, nullable=True),
    Column("end_reason", String(16), nullable=True, doc="used, revoked, closed or expired."),
    Column("hub", String(64), nullable=False, server_default="", doc="The hub that its session was at."),
    Column("decision_id", String(64), nullable=False, server_default="", doc="The decision that asked."),
    Column("caller_digest", String(80), nullable=True, doc="The asking app's; none for the user."),
    Column("target_digest", String(80), nullable=True, doc="The serving app's."),
    Column("expires", Double, nullable=True, doc="Seconds since the epoch; none: it does not by itself."),
    Column("uses_left", Integer, nullable=True, doc="None: any number."),
    Column("chain", JSON, nullable=True, doc="The calls that led to the request; none: the user's call of the caller."),
    Column("binding", String(80), nullable=False, doc="Which arguments it is good for, as one word: `binding_of`."),
    Index("grants_user", "user", "created"),
    Index("grants_request", "user", "caller", "function", "binding", "ended"),
)

# What an app, or the hub under its own name, remembers of a user. No row belongs to two of either.
MEMORY_ENTRIES = Table(
    "memory_entries",
    METADATA,
    Column("user", String(128), primary_key=True),
    Column("app", String(64), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("value_json", Text, nullable=False),
    Column("bytes", Integer, nullable=False, doc="Of key and value, as UTF-8."),
    Column("labels", JSON, nullable=False),
    Column("stored", Double, nullable=False, doc="Seconds since the epoch, UTC."),
)

MEMORY_TURNS = Table(
    "memory_turns",
    METADATA,
    Column("id", _SEQ, primary_key=True, autoincrement=True),
    Column("user", String(128), nullable=False),
    Column("app", String(64), nullable=False),
    Column("role", String(16), nullable=False),
    Column("text", Text, nullable=False),
    Column("bytes", Integer, nullable=False, doc="Of the text, as UTF-8."),
    Column("labels", JSON, nullable=False),
    Column("stored", Double, nullable=False, doc="Seconds since the epoch, UTC."),
    Column("summarised", Boolean, nullable=False, doc="Whether the summary speaks of it."),
    Index("memory_turns_owner", "user", "app", "id"),
    # A number is never given out again: what was forgotten while it was summarised must not be taken for another.
    sqlite_autoincrement=True,
)

MEMORY_SUMMARIES = Table(
    "memory_summaries",
    METADATA,
    Column("user", String(128), primary_key=True),
    Column("app", String(64), primary_key=True),
    Column("text", Text, nullable=False),
    Column("labels", JSON, nullable=False, doc="Of all that was ever summarised into it."),
    Column("stored", Double, nullable=False, doc="Seconds since the epoch, UTC."),
)

USER_DATA = Table(
    "user_data",
    METADATA,
    Column("user", String(128), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("value_json", Text, nullable=False),
    Column("confidentiality", JSON, nullable=False, doc="The tags that the value carries."),
    Column("stored", Double, nullable=False, doc="Seconds since the epoch, UTC."),
)
