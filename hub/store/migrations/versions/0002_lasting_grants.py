"""Grants that outlive their session: until a time, a number of uses, and the code that they were given to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns. Whatever an earlier version gave ended with its hub, and is closed at the next start."""
    op.add_column("grants", sa.Column("hub", sa.String(64), nullable=False, server_default=""))
    op.add_column("grants", sa.Column("decision_id", sa.String(64), nullable=False, server_default=""))
    op.add_column("grants", sa.Column("caller_digest", sa.String(80), nullable=True))
    op.add_column("grants", sa.Column("target_digest", sa.String(80), nullable=True))
    op.add_column("grants", sa.Column("expires", sa.Double, nullable=True))
    op.add_column("grants", sa.Column("uses_left", sa.Integer, nullable=True))
    op.create_index("grants_request", "grants", ["user", "caller", "function", "ended"])
