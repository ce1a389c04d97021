"""Grants that are good only for those who were behind the request that they were given for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column. A grant of an earlier version is good for what the user asks of its caller, and no one else."""
    op.add_column("grants", sa.Column("chain", sa.JSON, nullable=True))
