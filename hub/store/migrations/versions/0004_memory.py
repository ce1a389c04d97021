"""What apps and the hub remember of a user, and what the user says of themselves."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the tables."""
    seq = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "memory_entries",
        sa.Column("user", sa.String(128), primary_key=True),
        sa.Column("app", sa.String(64), primary_key=True),
        sa.Column("key", sa.String(200), primary_key=True),
        sa.Column("value_json", sa.Text, nullable=False),
        sa.Column("bytes", sa.Integer, nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("stored", sa.Double, nullable=False),
    )
    op.create_table(
        "memory_turns",
        sa.Column("id", seq, primary_key=True, autoincrement=True),
        sa.Column("user", sa.String(128), nullable=False),
        sa.Column("app", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("bytes", sa.Integer, nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("stored", sa.Double, nullable=False),
        sa.Column("summarised", sa.Boolean, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("memory_turns_owner", "memory_turns", ["user", "app", "id"])
    op.create_table(
        "memory_summaries",
        sa.Column("user", sa.String(128), primary_key=True),
        sa.Column("app", sa.String(64), primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("stored", sa.Double, nullable=False),
    )
    op.create_table(
        "user_data",
        sa.Column("user", sa.String(128), primary_key=True),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value_json", sa.Text, nullable=False),
        sa.Column("confidentiality", sa.JSON, nullable=False),
        sa.Column("stored", sa.Double, nullable=False),
    )
