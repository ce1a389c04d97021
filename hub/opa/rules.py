"""What the rules in force say of themselves: by reason code, title, description, place, and the input that they read.

Read from the bundle in place, with `opa parse`, so it is about the policies that decide and no others: an edit that
does not compile yet is in no bundle. What a rule reads is what stands in it and in every rule that it refers to, at any
distance; where a path goes on with a variable, it ends before it.

Tried and rejected:
    * `opa deps`: per rule name, so for `deny` it is what every deny of a topic reads.
    * Asking OPA's own API: its authorization policy lets the hub ask for decisions and nothing else.
"""

from __future__ import annotations

import asyncio
import json
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hub.config import PROJECT_ROOT
from hub.opa.bundle import PolicyBundle, PolicyInvalid, run_opa

_PARSE_SECONDS = 10.0
_AT_ONCE = 2
# They put reasons into words and numbers into rules; what they read is not what a rule goes by.
_BESIDE = {("data", "spokegate", "lib", "reasons"), ("data", "spokegate", "settings")}

# Of a rule's syntax tree: what is said of it, where it stands, and its own name.
_NOT_READ = {"annotations", "location", "ref", "name"}

Path_ = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RuleNote:
    """What one rule says of itself."""

    code: str
    title: str
    description: str
    file: str
    line: int
    reads: tuple[Path_, ...] = field(default=())


class RuleNotes:
    """The notes of the policies in force, read once for each revision.

    Args:
        opa: The `opa` program.
        bundle: The policies.
    """

    def __init__(self, opa: Path, bundle: PolicyBundle) -> None:
        self._opa = opa
        self._bundle = bundle
        self._reading = asyncio.Lock()
        self._revision = ""
        self._notes: dict[str, RuleNote] = {}

    async def __call__(self) -> dict[str, RuleNote]:
        """Return the notes by code.

        Raises:
            PolicyInvalid: The bundle cannot be read.
        """
        async with self._reading:
            revision = self._bundle.revision
            if revision != self._revision:
                self._notes = await rule_notes(self._opa, self._bundle.path)
                self._revision = revision
            return self._notes


async def rule_notes(opa: Path, bundle: Path) -> dict[str, RuleNote]:
    """Return the notes of all rules of a bundle that have a code, by code.

    Raises:
        PolicyInvalid: The bundle cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="sg-rules-") as name:
        try:
            files = await asyncio.to_thread(_extract, bundle, Path(name))
        except (OSError, tarfile.TarError) as error:
            raise PolicyInvalid(f"{bundle}: {error}") from error
        gate = asyncio.Semaphore(_AT_ONCE)
        modules = await asyncio.gather(*(_parse(opa, file, gate) for file in files))
    return notes_of(dict(zip(files.values(), modules, strict=True)))


def notes_of(modules: Mapping[str, Any]) -> dict[str, RuleNote]:
    """Return the notes of parsed modules, by code; `modules` is by the name of the file."""
    rules = [
        _Rule(file, _path(module["package"]["path"]), _imports(module), rule)
        for file, module in modules.items()
        for rule in module.get("rules", [])
    ]
    by_name: dict[Path_, list[_Rule]] = {}
    for rule in rules:
        by_name.setdefault(rule.path, []).append(rule)
    return {
        code: RuleNote(
            code=code,
            title=str(said.get("title", "")),
            description=" ".join(str(said.get("description", "")).split()),
            file=rule.file,
            line=int(rule.node["location"]["row"]),
            reads=_shortest(_reads(rule, by_name)),
        )
        for rule in rules
        for said in rule.node.get("annotations", [])
        if (code := said.get("custom", {}).get("code"))
    }


@dataclass(frozen=True, slots=True)
class _Rule:
    file: str
    package: Path_
    imports: dict[str, Path_]
    node: dict[str, Any]

    @property
    def path(self) -> Path_:
        return (*self.package, str(self.node["head"]["ref"][0]["value"]))


def _reads(start: _Rule, by_name: Mapping[Path_, list[_Rule]]) -> Iterator[Path_]:
    seen, waiting = {id(start)}, [start]
    while waiting:
        rule = waiting.pop()
        for found in _references(rule.node):
            root, rest = found[0], found[1:]
            if root == "input":
                yield rest
                continue
            whole = found if root == "data" else (*rule.imports.get(root, (*rule.package, root)), *rest)
            if any(whole[: len(beside)] == beside for beside in _BESIDE):
                continue
            for length in range(len(whole), 1, -1):
                for other in by_name.get(whole[:length], []):
                    if id(other) not in seen:
                        seen.add(id(other))
                        waiting.append(other)


def _references(node: Any) -> Iterator[Path_]:
    """Yield every reference in a part of a syntax tree: its root, and the names that follow until a variable does."""
    if isinstance(node, list):
        got = _got_from_input(node)
        if got is not None:
            yield ("input", *got)
            node = node[2:]
        for item in node:
            yield from _references(item)
    elif isinstance(node, dict):
        kind: Any = node.get("type")
        value: Any = node.get("value")
        if kind == "ref":
            names = [str(value[0]["value"])]
            for part in value[1:]:
                if part["type"] != "string":
                    break
                names.append(part["value"])
            yield tuple(names)
            yield from _references(value[1:])
        elif kind == "var":
            yield (str(value),)
        else:
            for key, item in node.items():
                if key not in _NOT_READ:
                    yield from _references(item)


def _got_from_input(call: list[Any]) -> Path_ | None:
    """Return what `object.get(input, ["a", "b"], …)` gets; None for anything else."""
    match call:
        case [
            {"type": "ref", "value": [{"value": "object"}, {"value": "get"}]},
            {"value": "input" | [{"value": "input"}]},
            {"type": "array", "value": [*parts]},
            *_,
        ] if all(part["type"] == "string" for part in parts):
            return tuple(part["value"] for part in parts)
    return None


def _imports(module: Any) -> dict[str, Path_]:
    paths = {item.get("alias"): _path(item["path"]["value"]) for item in module.get("imports", []) if item.get("alias")}
    plain = [_path(item["path"]["value"]) for item in module.get("imports", []) if not item.get("alias")]
    return {**{path[-1]: path for path in plain}, **paths}


def _path(parts: Iterable[Any]) -> Path_:
    return tuple(str(part["value"]) for part in parts)


def _shortest(paths: Iterable[Path_]) -> tuple[Path_, ...]:
    kept: list[Path_] = []
    for path in sorted(set(paths)):
        if not any(path[: len(known)] == known for known in kept):
            kept.append(path)
    return tuple(kept)


def _extract(bundle: Path, directory: Path) -> dict[Path, str]:
    """Write the modules of a bundle into a directory, and return the name of each as a person knows it."""
    names: dict[Path, str] = {}
    with tarfile.open(bundle) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() and member.name.endswith(".rego") else None
            if content is None:
                continue
            file = directory / f"{len(names)}.rego"
            file.write_bytes(content.read())
            source = Path("/") / member.name
            below = source.is_relative_to(PROJECT_ROOT)
            names[file] = str(source.relative_to(PROJECT_ROOT)) if below else str(source)
    return names


async def _parse(opa: Path, file: Path, gate: asyncio.Semaphore) -> Any:
    options = ("--format", "json", "--json-include", "locations,-comments")
    async with gate:
        text = await run_opa(opa, "parse", *options, str(file), seconds=_PARSE_SECONDS)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise PolicyInvalid(f"opa parse: {error}") from error
