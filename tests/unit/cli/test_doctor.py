"""What `spokegate doctor` says of the things that a hub may use."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.cli import doctor
from hub.config import Config


def of(root: Path, **settings: object) -> list[tuple[str, bool, bool]]:
    config = Config(state_dir=root / "state", runtime_dir=root / "run", **settings)
    return [(finding.name, finding.ok, finding.required) for finding in doctor.database(config)]


def test_a_database_that_is_not_made_yet_is_well_and_is_not_made(tmp_path: Path) -> None:
    assert of(tmp_path)[0] == ("database", True, True)
    assert not (tmp_path / "state").exists()


def test_a_shared_database_that_does_not_answer_is_not(tmp_path: Path) -> None:
    assert of(tmp_path, database=f"postgresql://spokegate@/none?host={tmp_path}")[0] == ("database", False, True)


def test_where_no_postgresql_is_installed_it_says_so_and_the_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    [_, found] = doctor.database(Config(state_dir=tmp_path), installed=tmp_path)
    assert (found.ok, found.required, found.mend) == (False, False, "apt-get install postgresql")
    assert "the store's tests leave PostgreSQL out" in found.detail
