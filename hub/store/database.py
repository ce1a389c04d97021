"""How the hub's database is opened: SQLite in a file by default, PostgreSQL by URL when several hubs share it.

Both are used through SQLAlchemy's plain engine. All writes come from one thread of the hub (see `writer`), which is
what a group commit needs, and the few reads go to a worker thread; the event loop never waits for either.

SQLite runs in WAL mode with `synchronous=FULL`: a commit that returned survives a crash of the hub and a loss of power.
PostgreSQL does the same by default, and a server that was told otherwise is refused.

Tried and rejected:
    * SQLAlchemy's asyncio engine: with SQLite it sends each statement of a transaction through a queue to a thread and
      back, where the writer's thread executes them all and wakes the loop once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, Executable, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from hub.errors import AuditUnavailable

REVISION: Final = "0004"
"""The newest revision of the schema."""

_MIGRATIONS: Final = Path(__file__).with_name("migrations")
_BUSY_SECONDS: Final = 5
_STATEMENT_SECONDS: Final = 5
# Any number will do that no other program takes for its advisory locks in this database.
_MIGRATION_LOCK: Final = 0x5350_4F4B_4547


def url_of(location: str) -> URL:
    """Return the URL of a PostgreSQL database, for the driver that is used here.

    Raises:
        ArgumentError: It is none.
    """
    return make_url(location).set(drivername="postgresql+psycopg")


def open_database(location: Path | str) -> Engine:
    """Open a database, with its schema at the newest revision.

    Args:
        location: The file of an SQLite database, which is made when there is none, or the URL of a PostgreSQL one.

    Raises:
        AuditUnavailable: It cannot be opened, made or brought to the newest revision.
    """
    try:
        engine = _sqlite(location) if isinstance(location, Path) else _postgresql(location)
    except ModuleNotFoundError as error:
        raise AuditUnavailable(f"{location}: {error}: pip install 'spokegate[postgresql]'") from error
    try:
        _check(engine)
        _migrate(engine)
    except (SQLAlchemyError, _Refused) as error:
        engine.dispose()
        raise AuditUnavailable(f"{location}: the database cannot be opened: {_sentence(error)}") from error
    return engine


@contextmanager
def reading(location: Path | str) -> Iterator[Engine]:
    """Open a database that is there, to read it, and close it at the end.

    Raises:
        AuditUnavailable: It is not there, or cannot be opened or read.
    """
    if isinstance(location, Path) and not location.is_file():
        raise AuditUnavailable(f"{location}: there is no database yet: start the hub with `spokegate up`")
    engine = open_database(location)
    try:
        yield engine
    except SQLAlchemyError as error:
        raise AuditUnavailable(f"{location}: the database cannot be read: {_sentence(error)}") from error
    finally:
        engine.dispose()


async def read(engine: Engine, query: Executable, parameters: dict[str, Any] | None = None, *, what: str) -> list[Any]:
    """Return the rows that a query finds, by a worker thread.

    One statement and one way to the server and back: there is no transaction around it, and nobody asks a connection
    first whether it is alive. Where one died while it waited in the pool, the query is tried once more on another.

    Raises:
        AuditUnavailable: The database did not answer; `what` says what could not be read.
    """

    def run() -> list[Any]:
        with engine.connect() as connection:
            alone = connection.execution_options(isolation_level="AUTOCOMMIT")
            return list(alone.execute(query, parameters))

    try:
        try:
            return await asyncio.to_thread(run)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            return await asyncio.to_thread(run)
    except SQLAlchemyError as error:
        raise AuditUnavailable(f"{what} could not be read: {error}") from error


def _sentence(error: Exception) -> str:
    """Return the driver's own words, without the statement."""
    return str(error.orig if isinstance(error, DBAPIError) and error.orig is not None else error).strip()


class _Refused(Exception):
    """The database is there, and is not one to work with."""


def _sqlite(path: Path) -> Engine:
    engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": float(_BUSY_SECONDS)})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={_BUSY_SECONDS * 1000}"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def _postgresql(location: str) -> Engine:
    milliseconds = _STATEMENT_SECONDS * 1000
    return create_engine(
        url_of(location),
        connect_args={
            "connect_timeout": _BUSY_SECONDS,
            "application_name": "spokegate",
            "options": f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds}",
            # A server that is gone without a word must not hold the writer forever.
            "tcp_user_timeout": milliseconds,
        },
    )


def _check(engine: Engine) -> None:
    if engine.dialect.name != "postgresql":
        return
    with engine.connect() as connection:
        for name in ("synchronous_commit", "fsync"):
            if connection.scalar(text(f"SHOW {name}")) == "off":
                raise _Refused(f"{name} is off, so what was committed may be lost: turn it on")


@contextmanager
def one_hub_of_the_name(engine: Engine, name: str) -> Iterator[None]:
    """Keep other hubs of a name from a database that hubs share, as long as the context is open.

    An SQLite database has one hub, whose state directory is locked already.

    Raises:
        AuditUnavailable: There is one already.
    """
    if engine.dialect.name != "postgresql":
        yield
        return
    key = {"name": f"spokegate hub {name}"}
    with engine.connect() as connection:
        mine = connection.scalar(text("SELECT pg_try_advisory_lock(hashtext(:name))"), key)
        connection.commit()
        if not mine:
            raise AuditUnavailable(f"another hub named {name!r} uses this database: set another `name`")
        try:
            yield
        finally:
            # Where the connection is gone, so is the lock.
            with suppress(SQLAlchemyError):
                connection.execute(text("SELECT pg_advisory_unlock(hashtext(:name))"), key)


def _migrate(engine: Engine) -> None:
    """Bring the schema to the newest revision; of several hubs that start at once, one does it."""
    with engine.connect() as connection:
        if _revision(connection) == REVISION:
            return
    # Only needed here, and slower to load than everything else of the store.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    with engine.connect() as connection, connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise _Refused(
                f"its schema has revision {_revision(connection)}, which this version does not know: "
                "use the version of Spokegate that wrote it"
            ) from error


def _revision(connection: Any) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision
