from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from hub.spokes.manifest import (
    FunctionSpec,
    Limits,
    Manifest,
    ManifestInvalid,
    ResultLabels,
    WantedData,
    load_manifest,
)
from hub.yaml_document import Problem
from tests.unit.spokes.manifests import line_of, manifest, write_app

ARGUMENTS = "functions__estimate_fare__arguments"


def problems(directory: Path) -> list[Problem]:
    with pytest.raises(ManifestInvalid) as caught:
        load_manifest(directory / "app.yaml")
    return caught.value.problems


def test_a_good_manifest_loads_with_its_defaults(tmp_path: Path) -> None:
    manifest = load_manifest(write_app(tmp_path) / "app.yaml")
    assert manifest.name == "metro_hail"
    assert manifest.limits == Limits(memory_mb=256, file_mb=64, open_files=256, threads=64, call_seconds=120)
    assert manifest.functions["estimate_fare"].labels.confidentiality == ("place",)
    with pytest.raises(Exception, match="frozen"):
        manifest.name = "other"  # type: ignore[misc]


def test_declared_egress_is_kept_as_it_is_written(tmp_path: Path) -> None:
    hosts = ["api.example.org:443", "xn--bcher-kva.example:8080", "localhost:80"]
    assert load_manifest(write_app(tmp_path, egress=hosts) / "app.yaml").egress == tuple(hosts)
    assert load_manifest(write_app(tmp_path / "none") / "app.yaml").egress == ()


def test_a_host_is_declared_once_and_there_are_not_too_many(tmp_path: Path) -> None:
    [twice] = problems(write_app(tmp_path / "twice", egress=["a.example:1", "b.example:1", "a.example:1"]))
    assert twice.message == "`egress.2`: `a.example:1` is there already: remove one"
    [many] = problems(write_app(tmp_path / "many", egress=[f"h{n}.example:1" for n in range(65)]))
    assert "at most 64" in many.message


WANTED = {"name": "email", "why": "To send the receipt.", "functions": ["estimate_fare"]}


def test_an_app_says_which_of_the_users_data_it_wants_and_for_what(tmp_path: Path) -> None:
    loaded = load_manifest(write_app(tmp_path, user_data=[WANTED], memory=True) / "app.yaml")
    assert [item.model_dump() for item in loaded.user_data] == [{**WANTED, "functions": ("estimate_fare",)}]
    assert loaded.memory
    plain = load_manifest(write_app(tmp_path / "none") / "app.yaml")
    assert (plain.user_data, plain.memory) == ((), False)


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ([WANTED, WANTED], "`user_data.1.name`: `email` is there already: join the two"),
        ([{**WANTED, "functions": ["estimate_far"]}], "did you mean `estimate_fare`?"),
        ([{**WANTED, "functions": []}], "`user_data.0.functions`"),
        ([{**WANTED, "why": ""}], "`user_data.0.why`"),
        ([{"name": "email", "functions": ["estimate_fare"]}], "`user_data.0.why`: the field is missing"),
        ([{**WANTED, "name": "E-Mail"}], "`user_data.0.name`"),
        ([{**WANTED, "wyh": "x"}], "did you mean `why`?"),
        (["email"], "`user_data.0`"),
        ([{**WANTED, "name": f"a{n}"} for n in range(33)], "at most 32"),
    ],
)
def test_what_an_app_may_not_want_is_said(tmp_path: Path, wanted: list[Any], says: str) -> None:
    found = problems(write_app(tmp_path, user_data=json.loads(json.dumps(wanted))))
    assert any(says in problem.message for problem in found), found


@pytest.mark.parametrize("model", [Manifest, FunctionSpec, ResultLabels, Limits, WantedData])
def test_every_field_has_a_sentence(model: type[BaseModel]) -> None:
    for name, field in model.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


@pytest.mark.parametrize(
    ("changes", "stands_on", "says"),
    [
        ({"nmae": "x"}, "nmae", "`nmae`: unknown field: did you mean `name`?"),
        ({"zzz": "x"}, "zzz", "known are manifest, name, version"),
        ({"manifest": 2}, "manifest:", "`manifest`"),
        ({"name": "Metro"}, "name:", "starting with a letter"),
        ({"name": None}, "manifest:", "`name`: the field is missing"),
        ({"version": 1.0}, "version:", 'quote it, "1.0"'),
        ({"version": "1"}, "version:", "such as `1.0.0`"),
        ({"description": ""}, "description:", "`description`"),
        ({"kind": "mcp"}, "kind:", "this release does not run `mcp` apps: use `tool`"),
        ({"instructions": "Answer."}, "instructions:", "only agents and annotations have them"),
        ({"instructions": ""}, "instructions:", "at least 1 character"),
        ({"instructions": "x" * 16_001}, "instructions:", "16000"),
        ({"kind": "agent"}, "manifest:", "`instructions`: an agent is told by them what to do: write them"),
        ({"kind": "agent", "instructions": "Answer."}, "functions:", "an agent answers by `respond`: declare it"),
        ({"kind": "annotation"}, "manifest:", "`instructions`: an annotation is told by them"),
        ({"kind": "annotation", "instructions": "Answer."}, "entry:", "`entry`: an annotation is instructions alone"),
        ({"kind": "annotation", "instructions": "Answer."}, "functions:", "`functions`: an annotation is instructions"),
        ({"kind": "annotation", "instructions": "Answer."}, "asks:", "`asks`: an annotation is instructions alone"),
        ({"toolkits": {"fares": ["estimate_far"]}}, "- estimate_far", "did you mean `estimate_fare`?"),
        ({"toolkits": {"fares": ["zzz"]}}, "- zzz", "there is no function `zzz`: declare it under `functions`"),
        ({"kind": "tol"}, "kind:", "did you mean `tool`"),
        ({"entry": "metro_hail"}, "entry:", "`module:attribute`"),
        ({"entry": None}, "manifest:", "write `module:attribute`, or `command` for a program"),
        ({"command": ["./server"]}, "entry:", "either `entry` or `command`: remove one"),
        ({"entry": None, "command": []}, "command:", "begins with a program of the app: write it as `./path`"),
        ({"entry": None, "command": ["/bin/sh"]}, "command:", "write it as `./path`"),
        ({"entry": None, "command": ["./../sh"]}, "command:", "write it as `./path`"),
        ({"entry": None, "command": ["./a/../../sh"]}, "command:", "write it as `./path`"),
        ({"entry": None, "command": ["server"]}, "command:", "write it as `./path`"),
        ({"entry": None, "command": ["./server", 8]}, "- 8", 'quote it, "8"'),
        ({"entry": None, "command": ["./server"], "isolation": "warm"}, "isolation:", "a program starts `cold`"),
        ({"functions": {}}, "functions:", "`functions`"),
        ({"functions__Bad": {}}, "Bad:", "a name is a-z"),
        ({"functions__estimate_fare__effect": "reed"}, "effect:", "did you mean `read`"),
        ({"functions__estimate_fare__effect": None}, "estimate_fare:", "effect`: the field is missing"),
        ({"functions__estimate_fare__egress": None}, "estimate_fare:", "egress`: the field is missing"),
        ({"functions__estimate_fare__egress": "no"}, "egress:", "`true` or `false`"),
        ({"functions__estimate_fare__control_arguments": ["pickup"]}, "- pickup", "RFC 6901"),
        (
            {"functions__estimate_fare__control_arguments": ["/pickup", "/to"]},
            "- /to",
            "`/to` is no declared argument",
        ),
        ({"functions__estimate_fare__labels__integrity": ["Bad"]}, "- Bad", '"Bad" does not fit'),
        ({"functions__estimate_fare__labels__confidentality": []}, "confidentality", "`confidentiality`?"),
        ({ARGUMENTS + "__type": "string"}, "type: string", "add `type: object`"),
        ({ARGUMENTS + "__additionalProperties": None}, "    arguments:", "add `additionalProperties: false`"),
        ({ARGUMENTS + "__additionalProperties": True}, "additionalProperties", "add `additionalProperties: false`"),
        ({ARGUMENTS + "__required": ["pickup", "too"]}, "- too", "`too` is required and unknown"),
        ({ARGUMENTS + "__properties__pickup": {"type": "strin"}}, "type: strin", '"strin" is not valid'),
        (
            {ARGUMENTS + "__properties__pickup": {"minLenght": 1}},
            "minLenght",
            "unknown keyword `minLenght`: did you mean `minLength`?",
        ),
        ({ARGUMENTS + "__properties__pickup": {"format": "emial"}}, "format:", "Unknown format: 'emial'"),
        ({ARGUMENTS + "__properties__pickup": {"pattern": "(?=a)b"}}, "pattern", "no look-around"),
        (
            {ARGUMENTS + "__properties__pickup": {"$ref": "https://x.example/y"}},
            "$ref",
            "must be of the form `#/$defs/",
        ),
        ({ARGUMENTS + "__properties__pickup": {"$ref": "other.json"}}, "$ref", "must be of the form `#/$defs/"),
        ({ARGUMENTS + "__properties__pickup": {"$ref": "#/$defs/no"}}, "    arguments:", "does not exist"),
        ({ARGUMENTS + "__$schema": "http://json-schema.org/draft-07/schema#"}, "$schema", "draft 2020-12"),
        ({ARGUMENTS + "__$id": "https://x.example/y"}, "$id", "remove it"),
        ({"functions__estimate_fare__result": {"anyOf": [{"typ": "string"}]}}, "typ:", "did you mean `type`?"),
        ({"functions__estimate_fare__result": 3}, "result: 3", "result`"),
        ({"asks": ["Foo"]}, "- Foo", "`app.function`, `app.*` or `*`"),
        ({"asks": ["a.*", 3]}, "- 3", 'quote it, "3"'),
        ({"programs": ["curl"]}, "- curl", "by their whole paths"),
        ({"programs": ["/usr/../x"]}, "- /usr/../x", "by their whole paths"),
        ({"programs": [f"/bin/p{number}" for number in range(17)]}, "programs:", "at most 16"),
        ({"egress": ["api.example.org"]}, "- api", "has no port: add one, such as `:443`"),
        ({"egress": ["a.example:443", "API.Example.org:443"]}, "- API", "as `api.example.org:443`"),
        ({"egress": ["b\u00fccher.example:443"]}, "cher.example", "as `xn--bcher-kva.example:443`"),
        ({"egress": ["api.example.org.:443"]}, "- api", "leave the last dot out"),
        ({"egress": ["*.example.org:443"]}, "example.org:443", "wildcards are not taken: name each host"),
        ({"egress": ["10.0.0.1:443"]}, "- 10.0.0.1", "is an address: name a host"),
        ({"egress": ["0x7f.1:443"]}, "- 0x7f", "is an address: name a host"),
        ({"egress": ["[::1]:443"]}, "::1", "name a host, not an address"),
        ({"egress": ["https://api.example.org:443"]}, "- https", "host:port"),
        ({"egress": ["api.example.org:70000"]}, "- api", "not between 1 and 65535"),
        ({"egress": ["api.example.org:0443"]}, "- api", "as `api.example.org:443`"),
        ({"egress": ["a_b.example.org:443"]}, "- a_b", "is no host name"),
        ({"egress": ["xn--a.example.org:443"]}, "- xn--a", "is no host name"),
        ({"egress": [f"{'a.' * 127}example:443"]}, "- a.a.", "is no host name"),
        ({"egress": [443]}, "- 443", 'quote it, "443"'),
        ({"limits": {"memory_mb": 10**6}}, "memory_mb", "less than or equal to 8192"),
        ({"limits": {"memory_mb": "256"}}, "memory_mb", "valid integer"),
        ({"limits": {"memory": 256}}, "memory:", "did you mean `memory_mb`?"),
    ],
)
def test_an_error_names_file_line_field_and_mend(
    tmp_path: Path, changes: dict[str, Any], stands_on: str, says: str
) -> None:
    directory = write_app(tmp_path, **changes)
    found = [problem for problem in problems(directory) if says in problem.message]
    assert len(found) == 1, problems(directory)
    assert found[0].file == directory / "app.yaml"
    assert found[0].line == line_of(directory / "app.yaml", stands_on)
    assert str(found[0]).startswith(f"{directory / 'app.yaml'}:{found[0].line}: ")


def test_every_manifest_field_is_checked(tmp_path: Path) -> None:
    for model, prefix in (
        (Manifest, ""),
        (FunctionSpec, "functions__estimate_fare__"),
        (ResultLabels, "functions__estimate_fare__labels__"),
        (Limits, "limits__"),
    ):
        for name in model.model_fields:
            changes: dict[str, Any] = {"limits": {}, prefix + name: {"wrong": 1.5} if name != "arguments" else 1.5}
            directory = write_app(tmp_path / (prefix + name), **changes)
            assert any(name in problem.message for problem in problems(directory)), (model, name)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("name: a\nname: b\n", 2, "the key `name` is already on line 1: keep one"),
        ("a: &x [1]\nb: *x\n", 1, "aliases are not taken"),
        ("&a [*a]", 1, "aliases are not taken"),
        ("on: 1\n", 1, "a key must be a string: quote it"),
        ("a: 2020-01-01\n", 1, 'a date has no form in JSON: quote it, "2020-01-01"'),
        ("a: .nan\n", 1, "has no form in JSON"),
        ("\na: !!python/object:os.system x\n", 2, "is not taken"),
        ("a: !!int x\n", 1, "this is no int"),
        ("a: " + "9" * 5000, 1, "this is no int"),
        ('a: "\\ud800"', 1, "has no form in JSON"),
        ("a: 1\nb: [", 2, "is not YAML"),
        ("a: 1\n---\nb: 1\n", 2, "is not YAML"),
        ("a: \x01", 1, "is not YAML"),
        ("- 1", 1, "a manifest is a mapping"),
        ("", 1, "a manifest is a mapping"),
        ("[" * 3000, 1, "nested too deep"),
        ("a: " + "[" * 400 + "]" * 400, 1, "JSON"),
        ("#" * (256 << 10) + "\n", 1, "larger than"),
    ],
)
def test_yaml_that_two_readers_could_read_differently_is_refused(
    tmp_path: Path, text: str, line: int, says: str
) -> None:
    directory = write_app(tmp_path, text=text)
    assert any(says in problem.message and problem.line == line for problem in problems(directory)), problems(directory)


def test_a_manifest_that_is_not_there_is_named(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path)
    assert str(problem) == f"{tmp_path / 'app.yaml'}:1: cannot be read: No such file or directory"


def test_all_problems_come_at_once_in_order(tmp_path: Path) -> None:
    directory = write_app(tmp_path, version=1.0, kind="mcp", asks=["Foo"], zzz=1)
    lines = [problem.line for problem in problems(directory)]
    assert len(lines) == 4
    assert lines == sorted(lines)


def doubling(levels: int) -> dict[str, Any]:
    """Return a schema in which each definition refers twice to the next."""
    definitions: dict[str, Any] = {f"d{levels}": {"type": "object"}}
    for level in range(levels):
        definitions[f"d{level}"] = {"allOf": [{"$ref": f"#/$defs/d{level + 1}"}] * 2}
    return {"$defs": definitions, "$ref": "#/$defs/d0"}


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        (doubling(40), "more than 10000 parts"),
        (
            {"$defs": {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(3000)}, "$ref": "#/$defs/d0"},
            "lead on too far",
        ),
        ({"$ref": "#"}, "must be of the form `#/$defs/"),
        ({"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, "refers to itself"),
        (
            {"$defs": {"a~/%": {"properties": {"x": {"$ref": "#/$defs/a~0~1%25"}}}}, "$ref": "#/$defs/a~0~1%25"},
            "refers to itself",
        ),
        ({"$defs": {"a": {}}, "$dynamicRef": "#/$defs/a"}, "`$dynamicRef` is not taken"),
    ],
)
def test_a_schema_whose_references_multiply_is_refused(tmp_path: Path, schema: dict[str, Any], says: str) -> None:
    text = json.dumps(manifest(functions__estimate_fare__result=schema))
    found = problems(write_app(tmp_path, text=text))
    assert any(says in problem.message for problem in found), found


def test_references_that_stay_small_are_taken(tmp_path: Path) -> None:
    text = json.dumps(manifest(functions__estimate_fare__result=doubling(8)))
    load_manifest(write_app(tmp_path, text=text) / "app.yaml")


def test_a_property_may_be_named_like_a_keyword(tmp_path: Path) -> None:
    properties = {
        "pickup": {"type": "string"},
        "destination": {},
        "$ref": {"type": "string"},
        "odd": {"const": {"x": 1}},
    }
    load_manifest(write_app(tmp_path, functions__estimate_fare__arguments__properties=properties) / "app.yaml")
