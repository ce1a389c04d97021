"""The manifests of a suite's apps: what a person has written, and what the tools' signatures say already.

A manifest says which tools are one app's functions, and of each what the policies go by. Whatever else an `app.yaml`
needs is filled in where it is left out: the name is the folder's, descriptions and arguments are the tools'.
"""

from __future__ import annotations

import copy
import difflib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hub.config import AppConfig
from hub.spokes.manifest import MANIFEST_NAME, ManifestInvalid, load_manifest, subschemas
from hub.yaml_document import DocumentInvalid, Lines, Problem, read_yaml
from tests.lab.agentdojo.situations import Tool

ASSISTANT = Path(__file__).parent / "assistant"
SHIPPED = Path(__file__).parent / "manifests"


def install(directory: Path, tools: Sequence[Tool], into: Path) -> tuple[AppConfig, ...]:
    """Write the whole manifests of a suite's apps, and return how they are installed, with the assistant.

    Every app is reviewed, and cleared for every tag that any of them names: what then is refused is refused for where
    it goes and who wants it, and not because the owner let an app have nothing.

    Args:
        directory: Where the manifests are, `APP/app.yaml` each.
        tools: The suite's tools.
        into: Where the apps are made.

    Raises:
        DocumentInvalid: Something is wrong with them, such as a function that no tool is; all problems at once.
    """
    known = {tool.name: tool for tool in tools}
    served: dict[str, Path] = {}
    problems: list[Problem] = []
    made: list[Path] = []
    for path in sorted(directory.glob(f"*/{MANIFEST_NAME}")):
        data, lines, found = read_yaml(path)
        functions = data.get("functions") if isinstance(data, dict) else None
        if not isinstance(functions, dict):
            functions = {}
            found.append(lines.problem((), "`functions`: is missing: name the tools that this app serves"))
        elif data.get("name", path.parent.name) != path.parent.name:
            found.append(lines.problem(("name",), "`name`: is not the folder's: rename one, or leave it out"))
        found = found or list(_surplus(functions, known, served, path, lines))
        problems += found
        served.update(dict.fromkeys(functions, path))
        if not found:
            app = into / path.parent.name
            app.mkdir(parents=True)
            whole = {**_OTHERWISE, "name": app.name, **data, "functions": _filled_in(functions, known)}
            (app / MANIFEST_NAME).write_text(json.dumps(whole))
            problems += _problems_of(app / MANIFEST_NAME, lines)
            made.append(app)
    problems += [Problem(directory, 1, says) for says in _missing(tool for tool in tools if tool.name not in served)]
    if problems:
        raise DocumentInvalid(problems)
    tags = _tags(made)
    return tuple(AppConfig(path=app, trust="reviewed", clearance=tags) for app in (*made, ASSISTANT))


_OTHERWISE: dict[str, Any] = {
    "manifest": 1,
    "version": "1.0.0",
    "description": "An app of a suite.",
    "kind": "tool",
    "entry": "tools:app",
}


def tools_of(app: AppConfig) -> Iterator[str]:
    """Yield the functions of an app that was installed."""
    yield from load_manifest(app.path / MANIFEST_NAME).functions


def _surplus(
    functions: dict[str, Any], known: dict[str, Tool], served: dict[str, Path], path: Path, lines: Lines
) -> Iterator[Problem]:
    for name in functions:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            mend = f"did you mean `{near[0]}`?" if near else "remove it"
            yield lines.problem(("functions", name), f"`functions.{name}`: the suite has no such tool: {mend}")
        elif name in served:
            other = served[name].parent.name
            yield lines.problem(("functions", name), f"`functions.{name}`: {other} has it too: remove one")
    if path.parent.name == ASSISTANT.name:
        yield lines.problem((), f"`{ASSISTANT.name}` is the agent's own name: rename the folder")


def _missing(tools: Iterable[Tool]) -> Iterator[str]:
    parts: dict[str, list[str]] = {}
    for tool in tools:
        parts.setdefault(tool.part, []).append(tool.name)
    for part, names in sorted(parts.items()):
        of_part = f" of the suite's `{part}`" if part else ""
        yield f"no manifest has these tools{of_part}: {', '.join(sorted(names))}: declare each as an app's function"


def _filled_in(functions: dict[str, Any], known: dict[str, Tool]) -> dict[str, Any]:
    return {
        name: {"description": known[name].description, "arguments": _arguments(known[name]), "result": True, **spec}
        if name in known and isinstance(spec, dict)
        else spec
        for name, spec in functions.items()
    }


def _arguments(tool: Tool) -> dict[str, Any]:
    said = {key: value for key, value in tool.arguments.items() if key not in ("title", "description")}
    schema = {"properties": {}, **copy.deepcopy(said), "type": "object", "additionalProperties": False}
    for _, part in subschemas((), schema):
        part.pop("format", None)  # which the tool judges for itself: it takes a date without a time zone for one
    return schema


def _problems_of(whole: Path, lines: Lines) -> list[Problem]:
    """Return what is wrong with a manifest, where it stands in what was written."""
    try:
        load_manifest(whole)
    except ManifestInvalid as error:
        return [lines.problem(_place(problem.message), problem.message) for problem in error.problems]
    return []


def _place(message: str) -> Sequence[str]:
    named = re.match(r"`([^`]+)`", message)
    return named[1].split(".") if named else ()


def _tags(apps: Sequence[Path]) -> tuple[str, ...]:
    manifests = [load_manifest(app / MANIFEST_NAME) for app in apps]
    labels = [function.labels for manifest in manifests for function in manifest.functions.values()]
    return tuple(sorted({tag for of in labels for tag in of.confidentiality}))
