"""Opening a database: made, brought up to date, or refused with what is wrong."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

from hub.errors import AuditUnavailable
from hub.store import database, migrations
from hub.store.audit import AuditLog, Event
from hub.store.database import one_hub_of_the_name, open_database
from hub.store.grants import binding_of
from hub.store.tables import METADATA
from hub.store.verify import verify
from tests.support.postgres import PostgreSQL


def test_the_migrations_make_exactly_the_tables(engine: Engine) -> None:
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_the_newest_revision_is_the_one_that_the_code_names() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_heads() == [database.REVISION]


def test_what_was_written_is_there_when_it_is_opened_again(location: Path | str) -> None:
    for _ in range(2):
        engine = open_database(location)
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO audit_head SELECT MAX(id) + 1, 0, '' FROM audit_head"))
            count = connection.scalar(text("SELECT COUNT(*) FROM audit_head"))
        engine.dispose()
    assert count == 3


def test_hubs_that_open_a_new_database_at_once_make_it_once(server: PostgreSQL) -> None:
    location = server.new_database()
    with ThreadPoolExecutor(6) as pool:
        for engine in pool.map(open_database, [location] * 6):
            engine.dispose()


_GRANT_OF_0002 = """
    INSERT INTO grants (id, scope, "user", session, caller, function, "constraint", labels, created)
    VALUES ('g-1', 'always', 'alice', 's-1', 'relay', 'mail.send', '{"/to": "bob"}', '{}', 0)
"""


def test_a_database_of_an_earlier_version_is_brought_up_to_date_with_what_is_in_it(location: Path | str) -> None:
    engine = open_database(location)
    with engine.begin() as connection:
        for table in ("memory_entries", "memory_turns", "memory_summaries", "user_data"):
            connection.execute(text(f"DROP TABLE {table}"))
        connection.execute(text("DROP INDEX grants_request"))
        for column in ("chain", "binding"):
            connection.execute(text(f"ALTER TABLE grants DROP COLUMN {column}"))
        connection.execute(text('CREATE INDEX grants_request ON grants ("user", caller, function, ended)'))
        connection.execute(text(_GRANT_OF_0002))
        connection.execute(text("INSERT INTO audit_head SELECT MAX(id) + 1, 7, 'kept' FROM audit_head"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0002'"))
    engine.dispose()
    engine = open_database(location)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
        assert connection.scalar(text("SELECT hash FROM audit_head WHERE seq = 7")) == "kept"
        assert connection.scalar(text("SELECT binding FROM grants")) == binding_of(None, {"/to": "bob"})
    engine.dispose()


def test_a_database_of_a_newer_version_is_refused(location: Path | str) -> None:
    engine = open_database(location)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(AuditUnavailable, match="revision 9999, which this version does not know"):
        open_database(location)


def test_a_directory_in_the_place_of_the_file_is_a_plain_error(tmp_path: Path) -> None:
    (tmp_path / "hub.db").mkdir()
    with pytest.raises(AuditUnavailable, match=r"hub\.db"):
        open_database(tmp_path / "hub.db")


def test_a_file_that_is_no_database_is_a_plain_error(tmp_path: Path) -> None:
    (tmp_path / "hub.db").write_bytes(b"no database at all" * 1000)
    with pytest.raises(AuditUnavailable, match="file is not a database"):
        open_database(tmp_path / "hub.db")


def test_a_server_that_is_not_there_is_a_plain_error(tmp_path: Path) -> None:
    with pytest.raises(AuditUnavailable, match=r"postgresql.*cannot be opened: connection"):
        open_database(f"postgresql://spokegate@/hub?host={tmp_path}")


def test_a_server_that_may_lose_what_was_committed_is_refused(server: PostgreSQL) -> None:
    location = server.new_database()
    engine = open_database(location)
    with engine.begin() as connection:
        connection.execute(text(f"ALTER DATABASE {engine.url.database} SET synchronous_commit = off"))
    engine.dispose()
    with pytest.raises(AuditUnavailable, match="synchronous_commit is off"):
        open_database(location)


def test_a_name_is_one_hubs_as_long_as_it_runs(server: PostgreSQL) -> None:
    engine = open_database(server.new_database())
    with ExitStack() as running:
        running.enter_context(one_hub_of_the_name(engine, "east"))
        running.enter_context(one_hub_of_the_name(engine, "west"))
        with pytest.raises(AuditUnavailable, match="another hub named 'east'"):
            running.enter_context(one_hub_of_the_name(engine, "east"))
    with one_hub_of_the_name(engine, "east"):
        pass
    engine.dispose()


async def test_hubs_that_share_a_database_write_one_chain(server: PostgreSQL) -> None:
    location = server.new_database()
    engines = [open_database(location) for _ in range(3)]
    async with (
        AuditLog(engines[0], hub="a") as first,
        AuditLog(engines[1], hub="b") as second,
        AuditLog(engines[2], hub="c") as third,
    ):
        for number in range(40):
            for log in (first, second, third):
                log.record_later(Event(kind="test", body={"number": number}))
            if number % 10 == 0:
                await second.settle()
    found = verify(engines[0])
    assert (found.rows, found.flaws) == (120, ())
    for engine in engines:
        engine.dispose()


async def test_a_server_that_went_away_refuses_and_is_used_again_when_it_is_back(server: PostgreSQL) -> None:
    engine = open_database(server.new_database())
    async with AuditLog(engine) as audit:
        await audit.record(Event(kind="test", body={"number": 1}))
        server.stop()
        try:
            with pytest.raises(AuditUnavailable):
                await audit.record(Event(kind="test", body={"number": 2}))
        finally:
            server.start()
        await audit.record(Event(kind="test", body={"number": 3}))
    found = verify(engine)
    assert (found.rows, found.flaws) == (2, ())
    engine.dispose()
