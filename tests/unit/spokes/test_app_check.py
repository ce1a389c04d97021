from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hub.spokes.app_check import check_app
from tests.unit.spokes.manifests import CODE, GOOD, line_of, write_app

ROOT = Path(__file__).parents[3]
HEAD = "async def estimate_fare(call: Call, pickup: str, destination: str)"


def changed(old: str, new: str) -> str:
    assert old in CODE
    return CODE.replace(old, new)


def test_an_app_that_agrees_with_its_manifest_has_no_problems(tmp_path: Path) -> None:
    assert check_app(write_app(tmp_path)) == []


@pytest.mark.parametrize(
    "manifest",
    sorted(path for folder in ("apps", "demo/apps", "tests/apps") for path in (ROOT / folder).glob("*/app.yaml")),
    ids=lambda path: path.parent.name,
)
def test_our_own_apps_have_no_problems(manifest: Path) -> None:
    # The one that is a program is built by the test that runs it.
    not_built = {"gopher": ["`command`: there is no file ./gopher: build it, or correct it"]}
    assert [problem.message for problem in check_app(manifest.parent)] == not_built.get(manifest.parent.name, [])


@pytest.mark.parametrize(
    ("code", "stands_on", "says"),
    [
        (changed("async def", "def"), "def estimate_fare", "is not async: write `async def`"),
        (changed("call: Call, ", ""), "def estimate_fare", "takes no `call`"),
        (changed(HEAD, "async def estimate_fare()"), "def estimate_fare", "takes no `call`"),
        (changed(", destination: str)", ")"), "def estimate_fare", "the argument `destination` of app.yaml has no"),
        (changed("pickup: str", "pikup: str"), "def estimate_fare", "`pikup` is no argument in app.yaml: did you mean"),
        (changed("destination: str)", "destination: str, zzz: int = 1)"), "def estimate_fare", "`zzz` is no argument"),
        (changed("destination: str)", "destination: str, /)"), "def estimate_fare", "move the `/`"),
        (changed("estimate_fare(", "estimate("), "async def estimate(", "is offered and not declared"),
        (CODE + "\n\n@app.function\nasync def more(call): ...\n", "def more", "is offered and not declared"),
        (CODE + CODE.partition("app = App()")[2], "@app.function", "is already offered on line 7"),
        (changed("quick_ride.estimate_fare", "mail.send"), "mail.send", "asks for `mail.send`, which is not declared"),
        (
            changed("quick_ride.estimate_fare", "quick_ride.estimate_fares"),
            "estimate_fares",
            "did you mean `quick_ride.estimate_fare`?",
        ),
        (changed('"quick_ride.estimate_fare", {', 'function="a.b", arguments={'), '"a.b"', "asks for `a.b`"),
        ("x = (\n", "x = (", "is not Python"),
        ("x = 1\0", "x = 1", "is not Python"),
        ("-" * 200_000 + "1", "-", "is not Python that can be read"),
    ],
)
def test_a_disagreement_names_file_line_and_mend(tmp_path: Path, code: str, stands_on: str, says: str) -> None:
    directory = write_app(tmp_path, code=code)
    file = directory / "metro_hail.py"
    found = [problem for problem in check_app(directory) if says in problem.message]
    assert len(found) == 1, check_app(directory)
    assert found[0].file == file
    if "already offered" not in says:
        assert found[0].line == line_of(file, stands_on)


@pytest.mark.parametrize(
    ("changes", "stands_on", "says"),
    [
        ({"entry": "metro_hail:application"}, "entry:", "metro_hail.py defines no `application`"),
        (
            {"functions__estimate_fares": GOOD["functions"]["estimate_fare"]},
            "estimate_fares:",
            "is declared and not in",
        ),
        ({"zzz": 1}, "zzz", "unknown field"),
    ],
)
def test_what_the_manifest_has_wrong_stands_in_the_manifest(
    tmp_path: Path, changes: dict[str, Any], stands_on: str, says: str
) -> None:
    directory = write_app(tmp_path, **changes)
    (found,) = [problem for problem in check_app(directory) if says in problem.message]
    assert (found.file, found.line) == (directory / "app.yaml", line_of(directory / "app.yaml", stands_on))


def test_an_entry_module_that_is_not_there_is_named(tmp_path: Path) -> None:
    directory = write_app(tmp_path)
    (directory / "metro_hail.py").rename(directory / "other.py")
    assert "there is no module `metro_hail`: write metro_hail.py" in {
        p.message.partition("`entry`: ")[2] for p in check_app(directory)
    }


def test_a_program_is_there_and_everybody_may_execute_it(tmp_path: Path) -> None:
    directory = write_app(tmp_path, entry=None, command=["./bin/server", "--quiet"])
    assert [problem.message for problem in check_app(directory)] == [
        "`command`: there is no file ./bin/server: build it, or correct it"
    ]
    (directory / "bin").mkdir()
    (directory / "bin" / "server").write_bytes(b"\x7fELF")
    (directory / "bin" / "server").chmod(0o744)
    (problem,) = check_app(directory)
    assert "chmod a+rx" in problem.message
    assert problem.line == line_of(directory / "app.yaml", "command:")
    (directory / "bin" / "server").chmod(0o755)
    assert check_app(directory) == []


def test_a_parameter_without_default_for_an_optional_argument_is_named(tmp_path: Path) -> None:
    directory = write_app(tmp_path, functions__estimate_fare__arguments__required=["pickup"])
    (problem,) = check_app(directory)
    assert "`destination` is optional in app.yaml and has no default" in problem.message
    write_app(
        tmp_path,
        code=changed("destination: str)", "*, destination: str = '')"),
        functions__estimate_fare__arguments__required=["pickup"],
    )
    assert check_app(directory) == []


@pytest.mark.parametrize("asks", [["*"], ["quick_ride.*"], ["a.b", "quick_ride.estimate_fare"]])
def test_an_ask_may_be_declared_by_pattern(tmp_path: Path, asks: list[str]) -> None:
    assert check_app(write_app(tmp_path, asks=asks)) == []


def test_functions_may_stand_in_another_module_and_take_keywords(tmp_path: Path) -> None:
    code = "from part.core import app\n"
    directory = write_app(tmp_path, code=code)
    (directory / "part").mkdir()
    (directory / "part" / "core.py").write_text(changed("pickup: str, destination: str", "**arguments: str"))
    assert check_app(directory) == []


def test_code_is_never_run(tmp_path: Path) -> None:
    directory = write_app(tmp_path, code=CODE + "\nimport pathlib\npathlib.Path(__file__).with_name('ran').touch()\n")
    assert check_app(directory) == []
    assert not (directory / "ran").exists()


def test_a_link_in_the_app_is_named(tmp_path: Path) -> None:
    directory = write_app(tmp_path)
    (directory / "x.py").symlink_to("metro_hail.py")
    (problem,) = check_app(directory)
    assert problem.file == directory / "x.py"
