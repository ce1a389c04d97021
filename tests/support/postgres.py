"""A PostgreSQL server of the tests' own, from the operating system's package, on a unix socket."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, text

from hub.store.database import url_of

_SETTINGS = "fsync=on\nlisten_addresses=''\nmax_connections=60\nshared_buffers=16MB\n"


def find_programs() -> Path | None:
    """Return the directory of the server's programs, of the newest version that is installed."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if versions:
        return versions[-1].parent
    initdb = shutil.which("initdb")
    return Path(initdb).parent if initdb else None


class PostgreSQL:
    """A running server."""

    def __init__(self, programs: Path, directory: Path, owner: list[str]) -> None:
        self._programs = programs
        self._owner = owner
        self.directory = directory
        self._made = 0

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        self._run("pg_ctl", "start", "--wait", "--silent", "--log", str(self.directory / "log"))

    def stop(self) -> None:
        """Stop it at once, as a crash would."""
        self._run("pg_ctl", "stop", "--wait", "--silent", "--mode", "immediate")

    def initialise(self) -> None:
        """Make its files."""
        self._run("initdb", "--auth", "trust", "--username", "spokegate", "--encoding", "UTF8", "--no-sync")
        with (self.directory / "data" / "postgresql.conf").open("a") as file:
            file.write(f"{_SETTINGS}unix_socket_directories='{self.directory}'\n")

    def new_database(self) -> str:
        """Make an empty database, and return its URL."""
        self._made += 1
        name = f"test_{self._made}"
        engine = create_engine(url_of(self._url("postgres")), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return self._url(name)

    def _url(self, database: str) -> str:
        return f"postgresql://spokegate@/{database}?host={self.directory}"

    def _run(self, program: str, *arguments: str) -> None:
        line = [*self._owner, str(self._programs / program), "--pgdata", str(self.directory / "data"), *arguments]
        subprocess.run(line, check=True, timeout=60, cwd="/", stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)


@contextmanager
def postgresql(programs: Path) -> Iterator[PostgreSQL]:
    """Run a server while the context is open. It refuses to run as root, so root lends it the package's own user."""
    owner: list[str] = []
    with tempfile.TemporaryDirectory(prefix="sg-pg-") as name:
        directory = Path(name)
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(directory, user.pw_uid, user.pw_gid)
            owner = ["setpriv", "--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"]
        server = PostgreSQL(programs, directory, owner)
        server.initialise()
        server.start()
        try:
            yield server
        finally:
            server.stop()
