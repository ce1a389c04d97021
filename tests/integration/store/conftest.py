"""Every test of the store runs on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from hub.store.database import open_database
from tests.support.postgres import PostgreSQL, find_programs, postgresql


@pytest.fixture(scope="session")
def server() -> Iterator[PostgreSQL]:
    programs = find_programs()
    if programs is None:
        pytest.skip("no PostgreSQL is installed: apt-get install postgresql")
    with postgresql(programs) as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    if request.param == "sqlite":
        return tmp_path / "hub.db"
    server: PostgreSQL = request.getfixturevalue("server")
    return server.new_database()


@pytest.fixture
def engine(location: Path | str) -> Iterator[Engine]:
    engine = open_database(location)
    yield engine
    engine.dispose()
