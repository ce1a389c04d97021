"""YAML documents that people write: read strictly, every problem with its file, line and mend.

Manifests and the configuration are read here. Two things that YAML allows are refused because they let a reviewer see
one document and the hub another: a key that is there twice, and aliases.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import BaseModel, ValidationError

from hub.errors import SpokegateError

MAX_BYTES = 256 << 10

ModelAt = Callable[[tuple[str | int, ...]], type[BaseModel] | None]


@dataclass(frozen=True, order=True, slots=True)
class Problem:
    """Something wrong in a file, with its mend."""

    file: Path
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


class DocumentInvalid(SpokegateError):
    """A document cannot be used.

    Args:
        problems: Everything that is wrong.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(set(problems))
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(frozen=True, slots=True)
class Lines:
    """Where things stand in a YAML file, by their path of keys and indices."""

    file: Path
    numbers: Mapping[tuple[str | int, ...], int]

    def problem(self, path: Iterable[str | int], message: str) -> Problem:
        """Return a problem at a path, or at the nearest thing around it that is written down."""
        at = tuple(path)
        while at and at not in self.numbers:
            at = at[:-1]
        return Problem(self.file, self.numbers.get(at, 1), message)


_PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null")}


def read_yaml(path: Path) -> tuple[Any, Lines, list[Problem]]:
    """Return what a YAML file says, where, and what is wrong with it though it can be read.

    Raises:
        DocumentInvalid: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise DocumentInvalid([Problem(path, 1, f"cannot be read: {error.strerror}")]) from None
    if len(text) > MAX_BYTES:
        raise DocumentInvalid([Problem(path, 1, f"is larger than {MAX_BYTES} bytes")])
    loader = None
    try:
        loader = yaml.SafeLoader(text)
        reader = _YamlReader(path, loader)
        node = loader.get_single_node()
        data = reader.value(node, ()) if node is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise DocumentInvalid([Problem(path, line, f"is not YAML: {error.problem or error.context}")]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = loader.line + 1 if loader else 1
        raise DocumentInvalid([Problem(path, line, f"is not YAML: {str(error).splitlines()[0]}")]) from None
    except RecursionError:
        raise DocumentInvalid([Problem(path, 1, "is nested too deep")]) from None
    return data, Lines(path, reader.numbers), reader.problems


class _YamlReader:
    """Turns nodes into JSON values, noting lines and whatever JSON has no form for."""

    def __init__(self, file: Path, loader: yaml.SafeLoader) -> None:
        self.numbers: dict[tuple[str | int, ...], int] = {}
        self.problems: list[Problem] = []
        self._file = file
        self._loader = loader
        self._seen: set[int] = set()

    def value(self, node: yaml.Node, path: tuple[str | int, ...]) -> Any:
        self.numbers.setdefault(path, node.start_mark.line + 1)
        if id(node) in self._seen:
            self._problem(node, "aliases are not taken: write the value out again")
            return None
        self._seen.add(id(node))
        if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and node.tag in _PLAIN_TAGS:
            try:
                value = self._loader.construct_object(node)
            except (ValueError, KeyError):  # an explicit tag on something else, or an endless integer
                self._problem(node, f"this is no {node.tag.rpartition(':')[2]}")
                return None
            if isinstance(value, float) and not (float("-inf") < value < float("inf")):
                self._problem(node, f"{node.value} has no form in JSON")
                return None
            return value
        if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:timestamp":
            self._problem(node, f'a date has no form in JSON: quote it, "{node.value}"')
        else:
            self._problem(node, f"the tag {node.tag.replace('tag:yaml.org,2002:', '!!')} is not taken")
        return None

    def _mapping(self, node: yaml.MappingNode, path: tuple[str | int, ...]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag != "tag:yaml.org,2002:str":
                self._problem(key_node, f'a key must be a string: quote it, "{key_node.value}"')
                continue
            key = key_node.value
            if key in result:
                first = self.numbers[(*path, key)]
                self._problem(key_node, f"the key `{key}` is already on line {first}: keep one")
                continue
            self.numbers[(*path, key)] = key_node.start_mark.line + 1
            result[key] = self.value(value_node, (*path, key))
        return result

    def _problem(self, node: yaml.Node, message: str) -> None:
        self.problems.append(Problem(self._file, node.start_mark.line + 1, message))


def field_problems(error: ValidationError, lines: Lines, model_at: ModelAt) -> list[Problem]:
    """Return what pydantic found, in the document's words.

    Args:
        error: What it found.
        lines: Where things stand.
        model_at: The model that describes the mapping at a path.
    """
    # One message for a field, though pydantic has one for every branch of a union.
    said = {_path(item["loc"]): item for item in reversed(cast(list[Any], error.errors()))}
    return [lines.problem(path, _field_message(item, model_at)) for path, item in said.items()]


def _path(loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    # pydantic adds "[key]" for a bad key, and the branch of a union; neither stands in the file.
    return tuple(part for part in loc if part not in ("[key]", "bool", "dict[str,any]"))


def _field_message(item: Mapping[str, Any], model_at: ModelAt) -> str:
    path = _path(item["loc"])
    if item["type"] == "json_invalid":
        return f"has no form in JSON: {item['msg']}"
    field = f"`{'.'.join(map(str, path))}`"
    if item["loc"][-1:] == ("[key]",):
        return f"{field}: a name is a-z, 0-9 and _, at most 63, starting with a letter"
    # An item of a list is described by the list's field.
    named = path[:-1] if isinstance(path[-1], int) else path
    model, name = model_at(named[:-1]), str(named[-1])
    fields = model.model_fields if model else {}
    if item["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, fields, n=1)
        return f"{field}: unknown field: " + (
            f"did you mean `{near[0]}`?" if near else f"known are {', '.join(fields)}"
        )
    about = fields[name].description if name in fields else ""
    given = item["input"]
    match item["type"]:
        case "missing":
            message = "the field is missing"
        case "string_pattern_mismatch":
            message = f"{json.dumps(given, ensure_ascii=False)[:80]} does not fit"
        case "string_type" if isinstance(given, (int, float)):
            message = f'this is a {type(given).__name__}: quote it, "{json.dumps(given)}"'
        case "literal_error" if near := difflib.get_close_matches(
            str(given), str(item.get("ctx", {}).get("expected")).split("'"), n=1
        ):
            message = f"did you mean `{near[0]}`"
        case _:
            message = f"{item['msg'][0].lower()}{item['msg'][1:]}"
    return f"{field}: {message}. {about}".rstrip(" .") + "."
