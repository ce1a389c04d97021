"""The manifest of an app, `app.yaml`: what it offers, what it asks of others, and what it needs.

A manifest is written by the app's author, who is not trusted: it can only promise less, never take more. Trust,
clearance and further labels are the installation's to give (`hub.spokes.registry`).

Reading one reports everything that is wrong with it at once, each with the line it stands on and the mend. Two
things that YAML allows are refused because they let a reviewer see one manifest and the hub another: a key that is
there twice, and aliases.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote

import jsonschema_rs
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from hub.spokes.egress.destination import DestinationInvalid, parse_declared
from hub.spokes.kinds import filled_in, kind_problems
from hub.spokes.wanted import wanted_problems
from hub.yaml_document import DocumentInvalid, Lines, Problem, field_problems, read_yaml

MANIFEST_NAME = "app.yaml"
MAX_SCHEMA_PARTS = 10_000
MAX_EGRESS = 64
MAX_WANTED = 32
MAX_IDENTIFIERS = 32
SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"

_NAME = r"^[a-z][a-z0-9_]{0,62}$"
_PROGRAM = re.compile(r"\./(?!\.\./)[^/\x00-\x1f]+(/(?!\.\./)[^/\x00-\x1f]+)*\Z")

Name = Annotated[str, StringConstraints(pattern=_NAME)]
Label = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.:-]{0,63}$")]
AskPattern = Annotated[str, StringConstraints(pattern=r"^(\*|[a-z][a-z0-9_]{0,62}\.(\*|[a-z][a-z0-9_]{0,62}))$")]
Pointer = Annotated[str, StringConstraints(pattern=r"^(/([^/~]|~[01])+)+$")]
ResultPointer = Annotated[str, StringConstraints(pattern=r"^(/([^/~]|~[01])+)*$", max_length=255)]
Word = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$", max_length=4096)]
ProgramPath = Annotated[str, StringConstraints(pattern=r"^(/[A-Za-z0-9_+-][A-Za-z0-9_.+-]*)+$", max_length=255)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
Sentence = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Instructions = Annotated[str, StringConstraints(min_length=1, max_length=16_000)]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ResultLabels(_Document):
    """What the result of a function carries."""

    confidentiality: tuple[Label, ...] = Field(
        default=(), description="Tags of what the result may reveal, such as `contact` (a-z, 0-9, _, ., : and -)."
    )
    integrity: tuple[Label, ...] = Field(
        default=(),
        description="Untrusted origins that may have shaped it, such as `untrusted:email` (a-z, 0-9, _, ., : and -).",
    )


class FunctionSpec(_Document):
    """One function."""

    description: Text = Field(description="What it does, for people and for models; untrusted text.")
    effect: Literal["read", "write", "irreversible"] = Field(
        description="What it does to the world: `read`, `write` or `irreversible`."
    )
    egress: bool = Field(description="Whether it sends data out of the system: `true` or `false`.")
    control_arguments: tuple[Pointer, ...] = Field(
        default=(),
        description="RFC 6901 pointers of the arguments that steer it, such as `/to`; grants bind their values.",
    )
    identifiers: tuple[ResultPointer, ...] = Field(
        default=(),
        max_length=MAX_IDENTIFIERS,
        description="Of a `read`: pointers into its result, `*` for every item, of what the app itself keeps as names "
        "of things, such as `/messages/*/message_id`; never of texts that others write.",
    )
    labels: ResultLabels = Field(
        default_factory=ResultLabels,
        description="What its result carries: `confidentiality` and `integrity`, each a list of labels.",
    )
    arguments: dict[str, Any] = Field(
        description="JSON Schema (draft 2020-12) of its arguments: an object that takes no unknown properties."
    )
    result: dict[str, Any] | bool = Field(description="JSON Schema (draft 2020-12) of its result.")


class WantedData(_Document):
    """An attribute of the user that an app wants."""

    name: Name = Field(description="The attribute, such as `email` or `birth_date`.")
    why: Sentence = Field(description="What it is for, for the person who is asked; untrusted text.")
    functions: tuple[Name, ...] = Field(min_length=1, description="The functions that are told of it, and no others.")


class Limits(_Document):
    """What one spoke of the app may use."""

    memory_mb: int = Field(default=256, ge=16, le=8192, description="Most memory, in MiB.")
    file_mb: int = Field(default=64, ge=1, le=8192, description="Largest file that it may write, in MiB.")
    disk_mb: int = Field(
        default=256, ge=1, le=65536, description="All of its data directory together, in MiB, beyond which it is ended."
    )
    open_files: int = Field(default=256, ge=32, le=4096, description="Most open file descriptors.")
    threads: int = Field(default=64, ge=8, le=1024, description="Most threads.")
    call_seconds: int = Field(
        default=120, ge=1, le=3600, description="Longest call, in seconds, with all that it asks for and waits for."
    )


class Manifest(_Document):
    """A whole manifest. `load_manifest` checks more than the types: the schemas, and what points into them."""

    manifest: Literal[1] = Field(description="The version of the manifest format: `1`.")
    name: Name = Field(description="The app's name: a-z, 0-9 and _, at most 63, starting with a letter.")
    version: Annotated[str, StringConstraints(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+([-+][0-9A-Za-z.+-]+)?$")] = Field(
        description="The app's version, such as `1.0.0`."
    )
    description: Text = Field(description="What the app does, for people and for models; untrusted text.")
    kind: Literal["tool", "agent", "annotation", "mcp"] = Field(
        description="The kind of app: `tool`, `agent` or `annotation`."
    )
    instructions: Instructions = Field(
        default="", description="What an agent or an annotation tells the model that it is to do; untrusted text."
    )
    entry: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*$")
    ] = Field(default="", description="Where its `App` object is, as `module:attribute`; an app has this or `command`.")
    command: tuple[Word, ...] = Field(
        default=(),
        max_length=64,
        description="The program to run in place of a Python module, such as `[./server, --quiet]`: a file of the app, "
        "and its arguments.",
    )
    functions: dict[Name, FunctionSpec] = Field(min_length=1, description="The functions that it offers, by name.")
    toolkits: dict[Name, tuple[Name, ...]] = Field(
        default_factory=dict,
        description="Groups of its functions that an installation can enable together, by name.",
    )
    asks: tuple[AskPattern, ...] = Field(
        default=(), description="The functions that it asks for: `app.function`, `app.*` or `*`."
    )
    asks_model: bool = Field(
        default=False,
        description="Whether it asks the model: `true` or `false`; an `agent` and an `annotation` always do.",
    )
    egress: tuple[str, ...] = Field(
        default=(),
        max_length=MAX_EGRESS,
        description="The hosts that it connects to, each as `host:port`, by its exact name; no others can be reached.",
    )
    user_data: tuple[WantedData, ...] = Field(
        default=(),
        max_length=MAX_WANTED,
        description="The attributes of the user that it wants, and why; the policies decide on each.",
    )
    memory: bool = Field(
        default=False,
        description="Whether it remembers the user beyond a session: `true` or `false`; agents and annotations do.",
    )
    limits: Limits = Field(default_factory=Limits, description="What one spoke of it may use.")
    data: Literal["session", "kept"] = Field(
        default="session",
        description="How long its data directory lasts: a `session`, or `kept` for the user, and with it the labels of "
        "all that its spokes ever knew.",
    )
    programs: tuple[ProgramPath, ...] = Field(
        default=(),
        max_length=16,
        description="The programs of the host that it may execute, by their whole paths, such as `/usr/bin/curl`; at "
        "most 16, each written by root alone. Its spokes start `cold`, and only at `strict`.",
    )
    isolation: Literal["warm", "cold"] = Field(
        default="warm",
        description="How its spokes start: `warm` from a process that has imported the SDK already, or `cold`, with an "
        "address-space layout that no other app's spoke shares.",
    )


class ManifestInvalid(DocumentInvalid):
    """Manifests, or the installation's word on them, cannot be used."""


def load_manifest(path: Path) -> Manifest:
    """Read and check the manifest in a file.

    Raises:
        ManifestInvalid: It cannot be read, or something is wrong with it; all problems at once.
    """
    return read_manifest(path)[0]


def read_manifest(path: Path) -> tuple[Manifest, Lines]:
    """Read and check the manifest in a file, and keep where things stand in it.

    Raises:
        ManifestInvalid: It cannot be read, or something is wrong with it; all problems at once.
    """
    try:
        data, lines, problems = read_yaml(path)
    except DocumentInvalid as error:
        raise ManifestInvalid(error.problems) from None
    if not isinstance(data, dict):
        raise ManifestInvalid([*problems, lines.problem((), "a manifest is a mapping of fields")])
    problems += kind_problems(data, lines)
    data = filled_in(data)
    manifest = None
    try:
        manifest = Manifest.model_validate_json(json.dumps(data))
    except ValidationError as error:
        problems += field_problems(error, lines, _model_at)
    problems += _egress_problems(data.get("egress"), lines)
    functions = data.get("functions")
    problems += _start_problems(data, lines)
    problems += wanted_problems(data, lines)
    problems += _toolkit_problems(data, lines)
    for name, spec in functions.items() if isinstance(functions, dict) else ():
        if isinstance(spec, dict):
            problems += _function_problems(("functions", name), spec, lines)
    if manifest is None or problems:
        raise ManifestInvalid(problems)
    return manifest, lines


def _egress_problems(egress: Any, lines: Lines) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, text in enumerate(egress if isinstance(egress, list) else ()):
        if not isinstance(text, str):
            continue  # the types have said so
        try:
            parse_declared(text)
        except DestinationInvalid as error:
            yield lines.problem(("egress", index), f"`egress.{index}`: {error}")
        if text in seen:
            yield lines.problem(("egress", index), f"`egress.{index}`: `{text}` is there already: remove one")
        seen.add(text)


def _toolkit_problems(data: dict[Any, Any], lines: Lines) -> Iterator[Problem]:
    functions, toolkits = data.get("functions"), data.get("toolkits")
    known = functions.keys() if isinstance(functions, dict) else ()
    for toolkit, names in toolkits.items() if isinstance(toolkits, dict) else ():
        if toolkit in known:
            yield lines.problem(
                ("toolkits", toolkit), f"`toolkits.{toolkit}`: a function has this name already: rename it"
            )
        for index, name in enumerate(names if isinstance(names, list) else ()):
            if isinstance(name, str) and name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                mend = f"did you mean `{near[0]}`?" if near else "declare it under `functions`, or remove it"
                yield lines.problem(
                    ("toolkits", toolkit, index), f"`toolkits.{toolkit}`: there is no function `{name}`: {mend}"
                )


def _start_problems(data: dict[Any, Any], lines: Lines) -> Iterator[Problem]:
    if ("entry" in data) == ("command" in data):
        both = "`entry`: an app has either `entry` or `command`: remove one"
        neither = "`entry`: is missing: write `module:attribute`, or `command` for a program"
        yield lines.problem(("entry",) if "entry" in data else (), both if "entry" in data else neither)
    command = data.get("command")
    if isinstance(command, list) and not (command and isinstance(command[0], str) and _PROGRAM.match(command[0])):
        yield lines.problem(("command",), "`command`: begins with a program of the app: write it as `./path`")
    if command and data.get("programs"):
        yield lines.problem(
            ("programs",),
            "`programs`: an app that is a `command` cannot have them: bring them in the app's directory",
        )
    if "command" in data and data.get("isolation") == "warm":
        yield lines.problem(("isolation",), "`isolation`: a program starts `cold`: remove it, or write `cold`")


def compile_schema(schema: dict[str, Any] | bool) -> jsonschema_rs.Draft202012Validator:
    """Compile a schema so that a hostile one can neither hang the hub nor reach out of it.

    Formats are checked, patterns run in linear time (no look-around, no back-references), nothing is fetched. That
    its references do not multiply is for `load_manifest` to check.

    Raises:
        jsonschema_rs.ValidationError: It is not a valid schema, or needs what is switched off.
    """
    return jsonschema_rs.Draft202012Validator(
        schema,
        validate_formats=True,
        ignore_unknown_formats=False,
        pattern_options=jsonschema_rs.RegexOptions(size_limit=1 << 20),
        offline=True,
    )


def _model_at(path: tuple[str | int, ...]) -> type[BaseModel] | None:
    match path:
        case ():
            return Manifest
        case ("limits",):
            return Limits
        case ("user_data", _):
            return WantedData
        case ("functions", _):
            return FunctionSpec
        case ("functions", _, "labels"):
            return ResultLabels
    return None


# ---- schemas, and what points into them

_ONE = {"items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"}
_ONE |= {"unevaluatedItems", "unevaluatedProperties", "contentSchema"}
_LIST = {"allOf", "anyOf", "oneOf", "prefixItems"}
_MAP = {"properties", "patternProperties", "$defs", "dependentSchemas"}
_OTHER = {
    "$schema", "$id", "$ref", "$anchor", "$dynamicRef", "$dynamicAnchor", "$comment", "type", "enum", "const",
    "multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum", "maxLength", "minLength",
    "pattern", "maxItems", "minItems", "uniqueItems", "maxContains", "minContains", "maxProperties",
    "minProperties", "required", "dependentRequired", "title", "description", "default", "deprecated",
    "readOnly", "writeOnly", "examples", "format", "contentEncoding", "contentMediaType",
}  # fmt: skip
_KEYWORDS = _ONE | _LIST | _MAP | _OTHER


def _function_problems(at: tuple[str, str], spec: dict[str, Any], lines: Lines) -> Iterator[Problem]:
    arguments = spec.get("arguments")
    if isinstance(arguments, dict):
        yield from _schema_problems((*at, "arguments"), arguments, lines)
        yield from _arguments_problems((*at, "arguments"), arguments, lines)
        yield from _control_problems((*at, "control_arguments"), spec, arguments, lines)
    if spec.get("identifiers") and spec.get("effect") != "read":
        yield lines.problem(
            (*at, "identifiers"), f"{_dotted((*at, 'identifiers'))}: only a `read` tells what is there: remove it"
        )
    if isinstance(spec.get("result"), (dict, bool)):
        yield from _schema_problems((*at, "result"), spec["result"], lines)


def _schema_problems(at: tuple[str | int, ...], schema: Any, lines: Lines) -> Iterator[Problem]:
    clean = True
    for path, part in subschemas(at, schema):
        for keyword in sorted(part.keys() - _KEYWORDS):
            near = difflib.get_close_matches(keyword, _KEYWORDS, n=1)
            mend = f"did you mean `{near[0]}`?" if near else "remove it"
            yield lines.problem((*path, keyword), f"{_dotted(path)}: unknown keyword `{keyword}`: {mend}")
        if "$dynamicRef" in part:
            yield lines.problem((*path, "$dynamicRef"), f"{_dotted(path)}: `$dynamicRef` is not taken: use `$ref`")
        reference = part.get("$ref")
        if isinstance(reference, str) and not reference.startswith("#/"):
            clean = False
            yield lines.problem(
                (*path, "$ref"),
                f"{_dotted(path)}: `$ref` must be of the form `#/$defs/…`: define what it means under `$defs`",
            )
        if part.get("$schema", SCHEMA_DIALECT) != SCHEMA_DIALECT:
            clean = False
            yield lines.problem((*path, "$schema"), f"{_dotted(path)}: schemas are of draft 2020-12: remove `$schema`")
        if "$id" in part:
            clean = False
            yield lines.problem((*path, "$id"), f"{_dotted(path)}: `$id` moves what `$ref` means: remove it")
    for error in _META.iter_errors(schema):
        clean = False
        yield lines.problem(
            (*at, *error.instance_path), f"{_dotted((*at, *error.instance_path))}: {error.message[:300]}"
        )
    if clean and (too_much := _growth_problem(schema)):
        clean = False
        yield lines.problem(at, f"{_dotted(at)}: {too_much}")
    if clean:
        try:
            compile_schema(schema)
        except jsonschema_rs.ValidationError as error:
            where = (*at, *error.instance_path)
            what = error.message[:300].removesuffix(". Adjust configuration to ignore unrecognized formats")
            hint = "; patterns run in linear time: no look-around or back-references" if "regex" in str(error) else ""
            yield lines.problem(where, f"{_dotted(where)}: {what}{hint}")


def _growth_problem(schema: Any) -> str | None:
    """Say whether checking against a schema could take time beyond all measure.

    Thirty definitions that each refer twice to the next make a billion checks, and so does one that refers to itself
    twice, on nested data. Without cycles, the schema with every `$ref` written out bounds the work.
    """
    sizes: dict[int, int] = {}
    open_parts: set[int] = set()

    def size(part: Any) -> int:
        if not isinstance(part, dict):
            return 1
        if id(part) in open_parts:
            raise _Endless
        if id(part) not in sizes:
            open_parts.add(id(part))
            total = 1 + sum(size(inner) for place, inner in _children(part) if place[0] != "$defs")
            if isinstance(part.get("$ref"), str):
                total += size(_resolve(schema, part["$ref"]))
            open_parts.remove(id(part))
            sizes[id(part)] = total
        return sizes[id(part)]

    try:
        if size(schema) > MAX_SCHEMA_PARTS:
            return f"with every `$ref` written out, it has more than {MAX_SCHEMA_PARTS} parts: make it smaller"
    except _Endless:
        return "it refers to itself: write out as many levels as you need"
    except RecursionError:
        return "its references lead on too far: make it smaller"
    return None


class _Endless(Exception):
    """A schema that refers to itself."""


def _resolve(schema: Any, reference: str) -> Any:
    node = schema
    for token in unquote(reference).split("/")[1:]:
        token = token.replace("~1", "/").replace("~0", "~")
        if isinstance(node, dict):
            node = node.get(token)
        elif isinstance(node, list) and token.isdecimal() and int(token) < len(node):
            node = node[int(token)]
        else:
            return None
    return node


_META = jsonschema_rs.Draft202012Validator({"$ref": SCHEMA_DIALECT})


def subschemas(path: tuple[str | int, ...], schema: Any) -> Iterator[tuple[tuple[str | int, ...], dict[str, Any]]]:
    """Yield a schema and every schema in it, by their paths below a path; `true` and `false` are none."""
    if isinstance(schema, dict):
        yield path, schema
        for place, part in _children(schema):
            yield from subschemas((*path, *place), part)


def _children(schema: dict[str, Any]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    for keyword, value in schema.items():
        if keyword in _ONE:
            yield (keyword,), value
        elif keyword in _LIST and isinstance(value, list):
            yield from (((keyword, index), part) for index, part in enumerate(value))
        elif keyword in _MAP and isinstance(value, dict):
            yield from (((keyword, key), part) for key, part in value.items())


def _arguments_problems(at: tuple[str, ...], schema: dict[str, Any], lines: Lines) -> Iterator[Problem]:
    if schema.get("type") != "object":
        yield lines.problem((*at, "type"), f"{_dotted(at)}: arguments are an object: add `type: object`")
    if schema.get("additionalProperties") is not False:
        yield lines.problem(
            (*at, "additionalProperties"),
            f"{_dotted(at)}: unknown arguments must be refused: add `additionalProperties: false`",
        )
    properties = schema.get("properties")
    required = schema.get("required")
    known = properties.keys() if isinstance(properties, dict) else ()
    for index, name in enumerate(required if isinstance(required, list) else ()):
        if isinstance(name, str) and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            mend = f"did you mean `{near[0]}`?" if near else "declare it under `properties`"
            yield lines.problem((*at, "required", index), f"{_dotted(at)}: `{name}` is required and unknown: {mend}")


def _control_problems(
    at: tuple[str, ...], spec: dict[str, Any], arguments: dict[str, Any], lines: Lines
) -> Iterator[Problem]:
    pointers = spec.get("control_arguments")
    for index, pointer in enumerate(pointers if isinstance(pointers, list) else ()):
        node: Any = arguments
        for token in str(pointer).split("/")[1:]:
            properties = node.get("properties") if isinstance(node, dict) else None
            token = token.replace("~1", "/").replace("~0", "~")
            node = properties.get(token) if isinstance(properties, dict) else None
        if node is None:
            yield lines.problem(
                (*at, index), f"{_dotted(at)}: `{pointer}` is no declared argument: point at one under `properties`"
            )


def _dotted(path: tuple[str | int, ...]) -> str:
    return f"`{'.'.join(map(str, path))}`"
