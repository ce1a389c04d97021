"""What agents, annotations and toolkits are in a manifest, and what the registry makes of them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from hub.spokes.app_check import check_app
from hub.spokes.kinds import ANNOTATION_ENTRY, respond_function
from hub.spokes.manifest import ManifestInvalid, load_manifest
from hub.spokes.registry import Installed, Registry
from tests.unit.spokes.manifests import GOOD, write_app

ANNOTATION: dict[str, Any] = {
    "manifest": 1,
    "name": "solver",
    "version": "1.0.0",
    "description": "Finds causes.",
    "kind": "annotation",
    "instructions": "Be factual.",
}


def fare() -> dict[str, Any]:
    function: dict[str, Any] = copy.deepcopy(GOOD["functions"]["estimate_fare"])
    return function


def annotation(directory: Path, **changes: Any) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "app.yaml").write_text(yaml.safe_dump({**ANNOTATION, **changes}))
    return directory


def agent(directory: Path, respond: Any = None, **changes: Any) -> Path:
    functions = {"respond": respond or respond_function("Answers."), "estimate_fare": fare()}
    return write_app(directory, **{"kind": "agent", "instructions": "Help.", "functions": functions, **changes})


def problems(directory: Path) -> list[str]:
    with pytest.raises(ManifestInvalid) as caught:
        load_manifest(directory / "app.yaml")
    return [problem.message for problem in caught.value.problems]


def test_an_annotation_is_its_instructions_and_answers_by_respond(tmp_path: Path) -> None:
    manifest = load_manifest(annotation(tmp_path) / "app.yaml")
    assert (manifest.entry, manifest.instructions) == (ANNOTATION_ENTRY, "Be factual.")
    function = Registry([Installed(tmp_path)]).function("solver.respond")
    assert function is not None
    assert (function.effect, function.egress, function.spec.description) == ("read", False, "Finds causes.")
    assert function.arguments_validator.is_valid({"text": "I am tired."})
    assert not function.arguments_validator.is_valid({"text": "I am tired.", "more": 1})
    assert check_app(tmp_path) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"entry": "solver:app"},
        {"command": ["./x"]},
        {"asks": ["*"]},
        {"egress": ["a.example:443"]},
        {"programs": ["/bin/sh"]},
        {"toolkits": {"all": ["respond"]}},
        {"functions": {"respond": respond_function("x")}},
    ],
)
def test_an_annotation_has_nothing_that_only_code_has_a_use_for(tmp_path: Path, changes: dict[str, Any]) -> None:
    [name] = changes
    said = problems(annotation(tmp_path, **changes))
    assert f"`{name}`: an annotation is instructions alone: remove it, or use `agent`" in said


def test_an_agent_answers_by_respond_which_its_code_need_not_spell_out(tmp_path: Path) -> None:
    directory = agent(tmp_path)
    code = (directory / "metro_hail.py").read_text().replace("App()", "Agent()").replace("import App", "import Agent")
    (directory / "metro_hail.py").write_text(code)
    assert check_app(directory) == []
    assert set(Registry([Installed(directory)]).functions) == {"metro_hail.respond", "metro_hail.estimate_fare"}


def test_an_agent_whose_code_is_no_agent_is_told_so(tmp_path: Path) -> None:
    [problem] = check_app(agent(tmp_path))
    assert "`functions.respond`: is declared and not in the code" in problem.message
    assert "app = Agent()" in problem.message


@pytest.mark.parametrize(
    ("part", "changed"),
    [
        ("arguments", {"required": []}),
        ("arguments", {"required": ["text", "more"]}),
        ("arguments", {"properties": {"text": {"type": "number"}}}),
        ("arguments", {"properties": {}}),
        ("result", {"required": []}),
        ("result", {"properties": {"text": True}}),
    ],
)
def test_respond_takes_a_text_and_gives_a_text(tmp_path: Path, part: str, changed: dict[str, Any]) -> None:
    respond = respond_function("Answers.")
    respond[part] = {**respond[part], **changed}
    assert any(
        message.startswith(f"`functions.respond.{part}`: declare `text`")
        for message in problems(agent(tmp_path, respond))
    )


def test_a_toolkit_enables_its_functions_together_and_nothing_else(tmp_path: Path) -> None:
    functions = {name: fare() for name in ("read", "search", "send", "delete")}
    directory = write_app(tmp_path, functions=functions, toolkits={"reading": ["read", "search"]})

    def offered(*enable: str) -> set[str]:
        return {name.partition(".")[2] for name in Registry([Installed(directory, enable=enable)]).functions}

    assert offered() == {"read", "search", "send", "delete"}
    assert offered("reading") == {"read", "search"}
    assert offered("reading", "send") == {"read", "search", "send"}


def test_a_toolkit_is_not_named_like_a_function(tmp_path: Path) -> None:
    said = problems(write_app(tmp_path, toolkits={"estimate_fare": ["estimate_fare"]}))
    assert said == ["`toolkits.estimate_fare`: a function has this name already: rename it"]


def test_what_is_enabled_and_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestInvalid, match="enables `writing`, which is neither a function nor a toolkit of"):
        Registry([Installed(write_app(tmp_path), enable=("writing",))])


@pytest.mark.parametrize(
    "name",
    [
        "m\u0435tro_hail",  # a Cyrillic e
        "metro\u2010hail",
        "\uff4detro_hail",  # full width
        "metro_ha\u0131l",  # dotless i
        "metro_hail\u200b",
        "metro_hail\u202e",
        "Metro_hail",
        "metro hail",
        "metro_hail\n",
    ],
)
def test_a_name_is_of_ascii_so_no_other_script_can_look_like_it(tmp_path: Path, name: str) -> None:
    assert any(message.startswith("`name`") for message in problems(annotation(tmp_path, name=name)))


@pytest.mark.parametrize("name", ["metro_hail", "metrohail", "metro_hai1", "metr0_hail"])
def test_two_names_that_are_or_look_alike_do_not_go_together(tmp_path: Path, name: str) -> None:
    first, second = annotation(tmp_path / "a", name="metro_hail"), annotation(tmp_path / "b", name=name)
    with pytest.raises(ManifestInvalid, match="rename one"):
        Registry([Installed(first), Installed(second)])
    assert set(Registry([Installed(second)]).apps) == {name}


def test_an_app_is_told_of_its_own_functions_and_of_those_that_it_declares(tmp_path: Path) -> None:
    asking = write_app(tmp_path / "a", name="asking", functions={"f": fare()}, asks=["one.f", "all.*"])
    functions = {"f": fare(), "g": fare()}
    others = [write_app(tmp_path / name, name=name, functions=functions) for name in ("one", "all", "other")]
    registry = Registry(Installed(path) for path in (asking, *others))
    app = registry.apps["asking"]

    def told(*patterns: str) -> list[str]:
        return [function.id for function in registry.concerning(app, patterns)]

    assert told() == ["all.f", "all.g", "asking.f", "one.f"]
    assert told("all.g", "other.f", "one.*") == ["all.g", "one.f"]
    assert told("nothing") == []
    assert [f.id for f in registry.concerning(None, ["other.f"])] == ["other.f"]
