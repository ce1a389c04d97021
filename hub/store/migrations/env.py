"""What alembic executes to migrate: the connection, which is in a transaction, comes from `hub.store.database`."""

from __future__ import annotations

from alembic import context

from hub.store.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
