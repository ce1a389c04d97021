"""Which opa is taken: the order of the three places, and what makes an executable unfit."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from hub.opa.binary import OpaBinary, OpaBinaryError, OpaNotBuiltError, OpaOrigin, find_opa, pinned_version

PINNED = "1.22.2"
GO_MOD = f"""module spokegate/tools/opa

go 1.26.0

tool github.com/open-policy-agent/opa

require (
	github.com/agnivade/levenshtein v1.2.1 // indirect
	github.com/open-policy-agent/opa v{PINNED} // indirect
)
"""


def fake_opa(file: Path, version: str, extra: str = "") -> Path:
    """Write a program that answers `version` the way opa does."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{extra}\nprintf 'Version: {version}\\nBuild Commit: \\nRego Version: v1\\n'\n")
    file.chmod(0o755)
    return file


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    module = root / "opa/tools/opa"
    module.mkdir(parents=True)
    (module / "go.mod").write_text(GO_MOD)
    return root


def search(project: Path, *, named: Path | str | None = None, on_path: Path | None = None) -> OpaBinary:
    environ = {"PATH": f"{on_path.parent if on_path else project / 'nothing'}"}
    if named is not None:
        environ["SPOKEGATE_OPA"] = str(named)
    return find_opa(project, environ)


def test_the_pin_is_read_from_the_go_module(project: Path) -> None:
    assert pinned_version(project) == PINNED


def test_the_pin_of_this_project_is_one_that_can_be_compared() -> None:
    root = Path(__file__).resolve().parents[3]
    assert all(part.isdigit() for part in pinned_version(root).split("."))


@pytest.mark.parametrize("go_mod", ["module m\n", "tool github.com/open-policy-agent/opa\n"])
def test_a_module_without_a_version_of_opa_is_an_error(project: Path, go_mod: str) -> None:
    (project / "opa/tools/opa/go.mod").write_text(go_mod)
    with pytest.raises(OpaBinaryError, match="names no version"):
        search(project)


def test_a_missing_module_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OpaBinaryError, match="cannot be read"):
        search(tmp_path)


def test_the_named_opa_comes_before_the_one_on_path_and_the_built_one(project: Path, tmp_path: Path) -> None:
    named = fake_opa(tmp_path / "named/my-opa", "1.23.0")
    on_path = fake_opa(tmp_path / "path/opa", "1.24.0")
    fake_opa(project / ".tools/bin/opa", PINNED)
    assert search(project, named=named, on_path=on_path) == OpaBinary(named, "1.23.0", OpaOrigin.ENVIRONMENT)


def test_the_opa_on_path_comes_before_the_built_one(project: Path, tmp_path: Path) -> None:
    on_path = fake_opa(tmp_path / "path/opa", "1.24.0")
    fake_opa(project / ".tools/bin/opa", PINNED)
    assert search(project, on_path=on_path) == OpaBinary(on_path, "1.24.0", OpaOrigin.PATH)


def test_the_built_one_is_taken_when_there_is_no_other(project: Path) -> None:
    built = fake_opa(project / ".tools/bin/opa", PINNED)
    assert search(project) == OpaBinary(built, PINNED, OpaOrigin.BUILT)


def test_an_empty_variable_is_an_unset_one(project: Path) -> None:
    built = fake_opa(project / ".tools/bin/opa", PINNED)
    assert search(project, named="").path == built


@pytest.mark.parametrize("version", [PINNED, "1.22.3", "1.23.0-dev", "1.100.0", "v1.22.2", "1.22.2+build.7"])
def test_a_version_from_the_pin_up_to_the_next_major_one_fits(project: Path, tmp_path: Path, version: str) -> None:
    on_path = fake_opa(tmp_path / "path/opa", version)
    found = search(project, on_path=on_path)
    assert (found.origin, found.version) == (OpaOrigin.PATH, version.removeprefix("v"))


@pytest.mark.parametrize(
    ("version", "why"),
    [
        ("1.22.1", "older than 1.22.2"),
        ("1.9.9", "older than 1.22.2"),
        ("0.70.0", "older than 1.22.2"),
        ("1.22.2-rc.1", "older than 1.22.2"),
        ("2.0.0", "another major version"),
        ("2.0.0-dev", "another major version"),
        ("edge", "cannot be read"),
        ("1.22", "cannot be read"),
        ("", "does not say its version"),
    ],
)
class TestAVersionThatDoesNotFit:
    def test_on_path_is_passed_over_and_said(self, project: Path, tmp_path: Path, version: str, why: str) -> None:
        on_path = fake_opa(tmp_path / "path/opa", version)
        built = fake_opa(project / ".tools/bin/opa", PINNED)
        found = search(project, on_path=on_path)
        assert (found.path, found.origin) == (built, OpaOrigin.BUILT)
        assert found.passed_over is not None
        assert why in found.passed_over
        assert str(on_path) in str(found)

    def test_when_named_is_an_error_although_others_would_fit(
        self, project: Path, tmp_path: Path, version: str, why: str
    ) -> None:
        named = fake_opa(tmp_path / "named/opa", version)
        on_path = fake_opa(tmp_path / "path/opa", PINNED)
        fake_opa(project / ".tools/bin/opa", PINNED)
        with pytest.raises(OpaBinaryError, match=f"SPOKEGATE_OPA cannot be used: .*{why}") as caught:
            search(project, named=named, on_path=on_path)
        assert not isinstance(caught.value, OpaNotBuiltError)

    def test_when_built_asks_for_set_up(self, project: Path, version: str, why: str) -> None:
        fake_opa(project / ".tools/bin/opa", version)
        with pytest.raises(OpaNotBuiltError, match=f"{why}.*`make setup`"):
            search(project)


def test_a_named_file_that_is_not_there_is_an_error(project: Path, tmp_path: Path) -> None:
    with pytest.raises(OpaBinaryError, match="is not there"):
        search(project, named=tmp_path / "absent")


def test_a_named_file_that_is_not_executable_is_an_error(project: Path, tmp_path: Path) -> None:
    named = fake_opa(tmp_path / "named/opa", PINNED)
    named.chmod(stat.S_IRUSR)
    with pytest.raises(OpaBinaryError, match="is not executable"):
        search(project, named=named)


@pytest.mark.parametrize("extra", ["exit 3", "kill -SEGV $$"])
def test_a_named_program_that_fails_is_an_error(project: Path, tmp_path: Path, extra: str) -> None:
    named = fake_opa(tmp_path / "named/opa", PINNED, extra)
    with pytest.raises(OpaBinaryError, match="does not run"):
        search(project, named=named)


def test_a_named_file_that_is_no_program_is_an_error(project: Path, tmp_path: Path) -> None:
    named = tmp_path / "opa"
    named.write_bytes(os.urandom(64))
    named.chmod(0o755)
    with pytest.raises(OpaBinaryError, match=r"does not run|does not say"):
        search(project, named=named)


def test_with_nothing_anywhere_the_error_names_the_command_that_mends_it(project: Path) -> None:
    with pytest.raises(OpaNotBuiltError, match="`make setup` gets it, or let SPOKEGATE_OPA"):
        search(project)


@pytest.mark.parametrize(
    ("origin", "says"),
    [
        (OpaOrigin.ENVIRONMENT, "named by SPOKEGATE_OPA"),
        (OpaOrigin.PATH, "found on PATH"),
        (OpaOrigin.BUILT, "built from opa/tools/opa"),
    ],
)
def test_which_way_it_went_is_one_line(origin: OpaOrigin, says: str) -> None:
    assert str(OpaBinary(Path("/x/opa"), PINNED, origin)) == f"opa {PINNED}, {says}: /x/opa"
