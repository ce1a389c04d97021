"""Manifests for a suite's tools: what is left out is filled in, what does not fit is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from hub.yaml_document import DocumentInvalid
from tests.lab.agentdojo.installing import SHIPPED, install
from tests.lab.agentdojo.situations import Tool

POLICIES = Path(__file__).parents[3] / "policies"
TOOLS = [
    Tool(
        "send_letter",
        "Sends a letter.",
        {
            "title": "Input",
            "properties": {"to": {"type": "string", "format": "email"}, "format": {"enum": ["A4", "A5"]}},
            "required": ["to"],
            "type": "object",
        },
        "post",
    ),
    Tool("read_letters", "Reads the letters.", {"type": "object"}, "box"),
]
DECLARE = "declare each as an app's function"
READ = {"effect": "read", "egress": False, "labels": {"confidentiality": ["letters"]}}
SEND = {"effect": "write", "egress": True, "control_arguments": ["/to"]}


def written(directory: Path, **apps: object) -> Path:
    for name, functions in apps.items():
        (directory / name).mkdir(parents=True)
        (directory / name / "app.yaml").write_text(yaml.safe_dump(json.loads(json.dumps({"functions": functions}))))
    return directory


def problems(directory: Path, into: Path) -> list[str]:
    with pytest.raises(DocumentInvalid) as caught:
        install(directory, TOOLS, into)
    return [str(problem).removeprefix(f"{directory}/") for problem in caught.value.problems]


def test_what_the_tools_say_is_filled_in(tmp_path: Path) -> None:
    directory = written(tmp_path / "given", post={"send_letter": SEND}, box={"read_letters": READ})
    apps = install(directory, TOOLS, tmp_path / "made")
    assert [(app.path.name, app.trust, app.clearance) for app in apps] == [
        (name, "reviewed", ("letters",)) for name in ("box", "post", "assistant")
    ]
    whole = json.loads((tmp_path / "made" / "post" / "app.yaml").read_text())
    assert whole["functions"]["send_letter"] == {
        "description": "Sends a letter.",
        "arguments": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"to": {"type": "string"}, "format": {"enum": ["A4", "A5"]}},
            "required": ["to"],
        },
        "result": True,
        **SEND,
    }


def test_what_is_written_stands(tmp_path: Path) -> None:
    own = {**READ, "description": "Reads.", "result": {"type": "array"}}
    directory = written(tmp_path / "given", post={"send_letter": SEND, "read_letters": own})
    install(directory, TOOLS, tmp_path / "made")
    whole = json.loads((tmp_path / "made" / "post" / "app.yaml").read_text())
    assert {name: whole["functions"]["read_letters"][name] for name in own} == own


def test_missing_and_surplus_functions_are_named(tmp_path: Path) -> None:
    directory = written(tmp_path / "given", post={"send_leter": SEND, "burn": SEND})
    assert problems(directory, tmp_path / "made") == [
        f"{directory}:1: no manifest has these tools of the suite's `box`: read_letters: {DECLARE}",
        f"{directory}:1: no manifest has these tools of the suite's `post`: send_letter: {DECLARE}",
        "post/app.yaml:2: `functions.burn`: the suite has no such tool: remove it",
        "post/app.yaml:7: `functions.send_leter`: the suite has no such tool: did you mean `send_letter`?",
    ]


def test_a_tool_is_one_apps(tmp_path: Path) -> None:
    directory = written(tmp_path / "given", a={"send_letter": SEND, "read_letters": READ}, b={"send_letter": SEND})
    assert problems(directory, tmp_path / "made") == ["b/app.yaml:2: `functions.send_letter`: a has it too: remove one"]


def test_what_is_wrong_with_a_manifest_is_told_where_it_was_written(tmp_path: Path) -> None:
    wrong = {**SEND, "control_arguments": ["/too"], "effect": "writes"}
    directory = written(tmp_path / "given", post={"send_letter": wrong, "read_letters": READ})
    found = problems(directory, tmp_path / "made")
    assert [text.split(" ")[0] for text in found] == ["post/app.yaml:9:", "post/app.yaml:11:"]
    assert "`/too` is no declared argument" in found[0]
    assert "`functions.send_letter.effect`" in found[1]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("description: A post.\n", "`functions`: is missing"),
        ("functions: [send_letter]\n", "`functions`: is missing"),
        ("- post\n", "`functions`: is missing"),
        ("name: ../post\nfunctions: {}\n", "`name`: is not the folder's"),
    ],
)
def test_a_manifest_that_says_too_little_or_too_much_is_told(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "given" / "post").mkdir(parents=True)
    (tmp_path / "given" / "post" / "app.yaml").write_text(text)
    assert problem in " ".join(problems(tmp_path / "given", tmp_path / "made"))


def test_no_app_has_the_agents_name(tmp_path: Path) -> None:
    directory = written(tmp_path / "given", assistant={"send_letter": SEND, "read_letters": READ})
    assert "is the agent's own name" in " ".join(problems(directory, tmp_path / "made"))


def test_no_policy_names_an_app_or_a_function_of_a_suite() -> None:
    manifests = [(path.parent.name, yaml.safe_load(path.read_text())) for path in SHIPPED.glob("*/*/app.yaml")]
    names = {name for app, manifest in manifests for name in (app, *manifest["functions"])}
    labels = {
        label.removeprefix("untrusted:")
        for _, manifest in manifests
        for function in manifest["functions"].values()
        for of_kind in function.get("labels", {}).values()
        for label in of_kind
    }
    assert len(names) >= 27
    words = {
        word: path
        for path in POLICIES.rglob("*")
        if path.is_file()
        for word in path.read_text().replace('"', " ").replace(".", " ").replace("/", " ").split()
    }
    assert {name: str(words[name]) for name in names & words.keys()} == {}
    assert {label for label in labels if f"untrusted:{label}" in words} == set()
