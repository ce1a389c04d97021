from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hub.spokes.manifest import ManifestInvalid, ResultLabels
from hub.spokes.registry import Installed, Registry, digest_of
from tests.unit.spokes.manifests import line_of, write_app


def messages(*installed: Installed) -> list[str]:
    with pytest.raises(ManifestInvalid) as caught:
        Registry(installed)
    return [problem.message for problem in caught.value.problems]


def test_a_function_is_found_by_its_full_name(tmp_path: Path) -> None:
    registry = Registry([Installed(write_app(tmp_path), trust="reviewed", clearance=("b", "a", "b"))])
    function = registry.function("metro_hail.estimate_fare")
    assert function is not None
    assert (function.id, function.name) == ("metro_hail.estimate_fare", "estimate_fare")
    assert (function.effect, function.egress, function.control_arguments) == ("read", False, ("/pickup",))
    assert function.app is registry.apps["metro_hail"]
    assert function.app.functions == {"estimate_fare": function}
    assert (function.app.name, function.app.trust, function.app.clearance) == ("metro_hail", "reviewed", ("a", "b"))
    assert function.app.asks == ("quick_ride.estimate_fare",)
    assert json.loads(function.arguments_schema_json) == function.spec.arguments
    assert json.loads(function.result_schema_json) == {"type": "object"}
    for unknown in ("metro_hail", "metro_hail.", "estimate_fare", "metro_hail.nothing", ""):
        assert registry.function(unknown) is None


def test_an_app_is_unreviewed_and_cleared_for_nothing_unless_the_owner_says_so(tmp_path: Path) -> None:
    app = Registry([Installed(write_app(tmp_path))]).apps["metro_hail"]
    assert (app.trust, app.clearance) == ("unreviewed", ())


def test_the_installation_adds_labels_and_takes_none_away(tmp_path: Path) -> None:
    added = ResultLabels(confidentiality=("contact",), integrity=("untrusted:web",))
    registry = Registry([Installed(write_app(tmp_path), result_labels={"estimate_fare": added})])
    function = registry.function("metro_hail.estimate_fare")
    assert function is not None
    assert function.labels == ResultLabels(confidentiality=("contact", "place"), integrity=("untrusted:web",))


def test_labels_for_a_function_that_is_not_there_are_refused(tmp_path: Path) -> None:
    assert messages(Installed(write_app(tmp_path), result_labels={"nothing": ResultLabels()})) == [
        "the installation labels results of `nothing`, which `metro_hail` does not offer"
    ]


def test_arguments_are_checked_with_formats_and_without_unknown_fields(tmp_path: Path) -> None:
    properties = {"pickup": {"type": "string", "format": "email"}, "destination": {"type": "string"}}
    directory = write_app(tmp_path, functions__estimate_fare__arguments__properties=properties)
    function = Registry([Installed(directory)]).function("metro_hail.estimate_fare")
    assert function is not None
    valid = function.arguments_validator.is_valid
    assert valid({"pickup": "alice@example.org", "destination": "x"})
    assert not valid({"pickup": "alice", "destination": "x"})
    assert not valid({"pickup": "alice@example.org", "destination": "x", "more": 1})
    assert not valid({"pickup": "alice@example.org"})
    assert function.result_validator.is_valid({})
    assert not function.result_validator.is_valid([])


def test_a_hostile_pattern_takes_linear_time(tmp_path: Path) -> None:
    directory = write_app(tmp_path, functions__estimate_fare__result={"type": "string", "pattern": "^(a+)+$"})
    function = Registry([Installed(directory)]).function("metro_hail.estimate_fare")
    assert function is not None
    assert not function.result_validator.is_valid("a" * 100_000 + "b")


@pytest.mark.parametrize(
    ("second", "says"),
    [
        ("metro_hail", "`metro_hail` is also the name of the app in"),
        ("metr0_hail", "`metr0_hail` looks like `metro_hail`, which is the name of the app in"),
        ("metrohail", "looks like"),
        ("metro_hai1", "looks like"),
    ],
)
def test_two_apps_whose_names_read_alike_are_refused(tmp_path: Path, second: str, says: str) -> None:
    first, other = write_app(tmp_path / "a"), write_app(tmp_path / "b", name=second)
    with pytest.raises(ManifestInvalid) as caught:
        Registry([Installed(first), Installed(other)])
    (problem,) = caught.value.problems
    assert says in problem.message
    assert str(first) in problem.message
    assert (problem.file, problem.line) == (other / "app.yaml", line_of(other / "app.yaml", "name:"))


def test_names_that_differ_to_the_eye_live_side_by_side(tmp_path: Path) -> None:
    names = ["mail", "metro_hail", "metro_mail", "hail"]
    registry = Registry([Installed(write_app(tmp_path / name, name=name)) for name in names])
    assert list(registry.apps) == sorted(names)


def test_the_problems_of_all_apps_come_at_once(tmp_path: Path) -> None:
    assert len(messages(*(Installed(write_app(tmp_path / n, kind="mcp")) for n in "ab"))) == 2


def test_the_digest_covers_manifest_code_names_and_boundaries(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app")
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", digest_of(app))
    seen = {digest_of(app)}

    def changed() -> bool:
        digest = digest_of(app)
        new = digest not in seen
        seen.add(digest)
        return new

    (app / "app.yaml").write_text((app / "app.yaml").read_text() + "\n")
    assert changed()
    (app / "metro_hail.py").write_text("")
    assert changed()
    (app / "part").mkdir()
    (app / "part" / "a").write_bytes(b"xy")
    assert changed()
    (app / "part" / "a").write_bytes(b"x")
    (app / "part" / "b").write_bytes(b"y")
    assert changed()
    (app / "part" / "b").rename(app / "part" / "c")
    assert changed()


def test_the_digest_is_of_what_is_there_and_not_of_where_or_of_cached_bytecode(tmp_path: Path) -> None:
    one, two = write_app(tmp_path / "one"), write_app(tmp_path / "two")
    (two / "__pycache__").mkdir()
    (two / "__pycache__" / "metro_hail.cpython-311.pyc").write_bytes(b"x")
    assert digest_of(one) == digest_of(two)


def test_a_link_in_an_apps_directory_is_refused(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app")
    (app / "data").symlink_to("/etc")
    assert messages(Installed(app)) == ["is not a regular file: an app holds only those"]


def test_an_app_that_is_too_large_is_refused(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app")
    with (app / "big").open("wb") as file:
        file.truncate((64 << 20) + 1)
    assert "larger than" in messages(Installed(app))[0]
