"""Which uid a spoke gets."""

import os
from pathlib import Path

import pytest

from spoke_runner.sandbox import spoke_uid
from spoke_runner.sandbox.ownership import FIRST_UID, give

AS_ROOT = os.geteuid() == 0


def directories(root: Path, *names: str) -> list[Path]:
    made = [root / name for name in names]
    for path in made:
        path.mkdir()
    return made


def test_each_data_directory_has_a_uid_of_its_own_as_root_and_the_hubs_otherwise(tmp_path: Path) -> None:
    first, second = directories(tmp_path, "mail@ann", "mail@bob")

    uids = [spoke_uid(tmp_path, path) for path in (first, second, first)]

    assert uids == ([FIRST_UID, FIRST_UID + 1, FIRST_UID] if AS_ROOT else [None] * 3)


def test_the_owner_of_the_directory_is_the_record(tmp_path: Path) -> None:
    (path,) = directories(tmp_path, "mail@ann")

    uid = spoke_uid(tmp_path, path)

    assert path.stat().st_uid == (FIRST_UID if AS_ROOT else os.geteuid())
    assert uid in (None, path.stat().st_uid)


def test_a_uid_is_free_again_when_its_directory_is_gone(tmp_path: Path) -> None:
    first, second = directories(tmp_path, "a", "b")
    taken = spoke_uid(tmp_path, first)
    first.rmdir()

    assert spoke_uid(tmp_path, second) == taken


def test_giving_a_directory_away_never_follows_a_link_out_of_it(tmp_path: Path) -> None:
    data, outside = directories(tmp_path, "data", "outside")
    secret = outside / "secret"
    secret.write_text("the hub's")
    (data / "file").symlink_to(secret)
    (data / "tree").symlink_to(outside)
    (data / "own").write_text("the app's")
    before = secret.stat()
    uid = 58123 if AS_ROOT else os.geteuid()

    give(data, uid)

    assert (secret.stat().st_uid, outside.stat().st_uid) == (before.st_uid, before.st_uid)
    assert (data / "own").stat().st_uid == uid
    assert data.stat().st_mode & 0o777 == 0o700


def test_a_link_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (outside,) = directories(tmp_path, "outside")
    (tmp_path / "data").symlink_to(outside)

    with pytest.raises(OSError, match=r"Not a directory|symbolic links"):
        give(tmp_path / "data", os.geteuid())
