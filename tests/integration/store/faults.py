"""What goes wrong with a database."""

from __future__ import annotations

from sqlalchemy import Engine, text


def refuse_inserts(engine: Engine, table: str, *, holding: str = "") -> None:
    """Make a table refuse new rows; of the audit log, those only whose body holds a text."""
    if engine.dialect.name == "sqlite":
        when = f"WHEN NEW.body LIKE '%{holding}%'" if holding else ""
        statements = [
            f"CREATE TRIGGER full_{table} BEFORE INSERT ON {table} {when} BEGIN SELECT RAISE(FAIL, 'full'); END"
        ]
    else:
        when = f"WHEN (NEW.body LIKE '%{holding}%')" if holding else ""
        statements = [
            "CREATE OR REPLACE FUNCTION full_error() RETURNS trigger LANGUAGE plpgsql "
            "AS $$ BEGIN RAISE EXCEPTION 'full'; END $$",
            f"CREATE TRIGGER full_{table} BEFORE INSERT ON {table} FOR EACH ROW {when} EXECUTE FUNCTION full_error()",
        ]
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def allow_inserts(engine: Engine, table: str) -> None:
    """Undo `refuse_inserts`."""
    on = f" ON {table}" if engine.dialect.name == "postgresql" else ""
    with engine.begin() as connection:
        connection.execute(text(f"DROP TRIGGER full_{table}{on}"))
