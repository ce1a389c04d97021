"""Grants for those who were behind their request only, and found by the arguments that they are for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from hub.store.grants import binding_of

revision = "0003"
down_revision = "0002"

_GRANTS = sa.table(
    "grants",
    sa.column("id", sa.String),
    sa.column("arguments_digest", sa.String),
    sa.column("constraint", sa.JSON),
    sa.column("binding", sa.String),
)


def upgrade() -> None:
    """Add the columns. A grant of an earlier version is good for what the user asks of its caller, and no one else."""
    op.add_column("grants", sa.Column("chain", sa.JSON, nullable=True))
    op.add_column("grants", sa.Column("binding", sa.String(80), nullable=False, server_default=""))
    connection = op.get_bind()
    for grant in connection.execute(sa.select(_GRANTS)).all():
        binding = binding_of(grant.arguments_digest, grant.constraint)
        connection.execute(sa.update(_GRANTS).where(_GRANTS.c.id == grant.id).values(binding=binding))
    op.drop_index("grants_request", "grants")
    op.create_index("grants_request", "grants", ["user", "caller", "function", "binding", "ended"])
