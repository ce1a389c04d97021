"""`spokegate app check`: where an app's manifest and its code disagree.

The code is read, never run: whoever checks an app has not decided to trust it yet. So this finds honest mistakes, not
malice; what an app really does is bounded by its sandbox and the policies, whatever its code looks like.
"""

from __future__ import annotations

import ast
import difflib
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hub.spokes.kinds import RESPOND
from hub.spokes.manifest import MANIFEST_NAME, FunctionSpec, Manifest, ManifestInvalid, read_manifest
from hub.spokes.registry import digest_of
from hub.yaml_document import Lines, Problem

MAX_SOURCE_BYTES = 1 << 20
_EXECUTABLE_BY_ALL = 0o555


@dataclass(frozen=True, slots=True)
class _Source:
    file: Path
    tree: ast.Module


@dataclass(frozen=True, slots=True)
class _Function:
    file: Path
    node: ast.FunctionDef | ast.AsyncFunctionDef

    def problem(self, message: str) -> Problem:
        return Problem(self.file, self.node.lineno, f"`{self.node.name}`: {message}")


def check_app(directory: Path) -> list[Problem]:
    """Return everything that is wrong with an app, each with file, line and mend; empty when nothing is."""
    try:
        manifest, lines = read_manifest(directory / MANIFEST_NAME)
        digest_of(directory)
    except ManifestInvalid as error:
        return error.problems
    problems: list[Problem] = []
    sources: list[_Source] = []
    for file in sorted(directory.rglob("*.py")):
        try:
            sources.append(_parse(file))
        except _Unreadable as error:
            problems.append(Problem(file, error.line, str(error)))
    if problems:
        # What is in a file that cannot be read would only look as if it were missing.
        return problems
    if manifest.kind == "annotation":
        return []
    if manifest.command:
        # What a program offers and asks for cannot be read off it.
        return sorted({*_program(directory, manifest, lines), *_asks(manifest, sources)})
    return sorted(
        {*_entry(directory, manifest, lines, sources), *_functions(manifest, lines, sources), *_asks(manifest, sources)}
    )


class _Unreadable(Exception):
    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def _parse(file: Path) -> _Source:
    try:
        with file.open("rb") as source:
            text = source.read(MAX_SOURCE_BYTES + 1)
    except OSError as error:
        raise _Unreadable(1, f"cannot be read: {error.strerror}") from None
    if len(text) > MAX_SOURCE_BYTES:
        raise _Unreadable(1, f"is larger than {MAX_SOURCE_BYTES} bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # another author's style is not ours to comment on
            return _Source(file, ast.parse(text, file.name))
    except SyntaxError as error:
        raise _Unreadable(error.lineno or 1, f"is not Python: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError):
        raise _Unreadable(1, "is not Python that can be read") from None


def _entry(directory: Path, manifest: Manifest, lines: Lines, sources: list[_Source]) -> Iterator[Problem]:
    module, _, attribute = manifest.entry.partition(":")
    path = directory.joinpath(*module.split("."))
    files = (path.with_name(f"{path.name}.py"), path / "__init__.py")
    source = next((source for source in sources if source.file in files), None)
    if source is None:
        yield lines.problem(
            ("entry",), f"`entry`: there is no module `{module}`: write {files[0].relative_to(directory)}"
        )
        return
    names = set(_names(source.tree.body))
    if attribute not in names and "*" not in names:
        yield lines.problem(
            ("entry",), f"`entry`: {source.file.name} defines no `{attribute}`: write `{attribute} = App()`"
        )


def _program(directory: Path, manifest: Manifest, lines: Lines) -> Iterator[Problem]:
    path = directory / manifest.command[0]
    if not path.is_file():
        yield lines.problem(("command",), f"`command`: there is no file {manifest.command[0]}: build it, or correct it")
    elif path.stat().st_mode & _EXECUTABLE_BY_ALL != _EXECUTABLE_BY_ALL:
        # A hub that is root starts it as a user who owns nothing of it.
        yield lines.problem(("command",), f"`command`: {path.name} is not executable by everybody: chmod a+rx it")


def _names(body: Iterable[ast.stmt]) -> Iterator[str]:
    """Yield what a module's statements bind, as far as it can be seen; `*` for what cannot."""
    for statement in body:
        match statement:
            case ast.Assign(targets=targets):
                yield from (node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                yield from (alias.asname or alias.name for alias in names)
            case ast.If(body=inner, orelse=other) | ast.Try(body=inner, orelse=other):
                yield from _names([*inner, *other])
            case _:
                pass


def _functions(manifest: Manifest, lines: Lines, sources: list[_Source]) -> Iterator[Problem]:
    attribute = manifest.entry.partition(":")[2]
    found: dict[str, _Function] = {}
    for source in sources:
        for node in ast.walk(source.tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and _is_offered(node, attribute):
                function = _Function(source.file, node)
                if node.name in found:
                    yield function.problem(f"is already offered on line {found[node.name].node.lineno}: rename one")
                found.setdefault(node.name, function)
    missing = manifest.functions.keys() - found.keys()
    if manifest.kind == "agent" and RESPOND in missing:
        missing -= {RESPOND}
        if not any(_makes_agent(source.tree, attribute) for source in sources):
            mend = f"write `{attribute} = Agent()`, which offers it"
            yield lines.problem(
                ("functions", RESPOND), f"`functions.{RESPOND}`: is declared and not in the code: {mend}"
            )
    for name in missing:
        near = difflib.get_close_matches(name, found.keys() - manifest.functions.keys(), n=1)
        mend = f"did you mean `{near[0]}`?" if near else f"write `@{attribute}.function async def {name}(call, ...)`"
        yield lines.problem(("functions", name), f"`functions.{name}`: is declared and not in the code: {mend}")
    for name, function in found.items():
        if name not in manifest.functions:
            yield function.problem(f"is offered and not declared: add it under `functions` in {MANIFEST_NAME}")
            continue
        yield from _signature(function, manifest.functions[name])


def _makes_agent(tree: ast.Module, attribute: str) -> bool:
    for node in ast.walk(tree):
        match node:
            case ast.Assign(
                targets=[ast.Name(id=name)], value=ast.Call(func=ast.Name(id="Agent") | ast.Attribute(attr="Agent"))
            ) if name == attribute:
                return True
    return False


def _is_offered(node: ast.FunctionDef | ast.AsyncFunctionDef, attribute: str) -> bool:
    for decorator in node.decorator_list:
        match decorator:
            case ast.Attribute(attr="function", value=ast.Name(id=name) | ast.Attribute(attr=name)) if (
                name == attribute
            ):
                return True
    return False


def _signature(function: _Function, spec: FunctionSpec) -> Iterator[Problem]:
    node = function.node
    if isinstance(node, ast.FunctionDef):
        yield function.problem("is not async: write `async def`")
    properties = set(spec.arguments.get("properties", {}))
    required = set(spec.arguments.get("required", []))
    positional = [*node.args.posonlyargs, *node.args.args]
    if not positional or positional[0].arg in properties:
        yield function.problem("takes no `call`: make it the first parameter")
    else:
        del positional[0]
    without_default = {arg.arg for arg in positional[: len(positional) - len(node.args.defaults)]}
    for arg, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
        if default is None:
            without_default.add(arg.arg)
    if any(arg in node.args.posonlyargs for arg in positional):
        yield function.problem("arguments come by keyword: move the `/` to right behind `call`")
    for arg in (*positional, *node.args.kwonlyargs):
        if arg.arg not in properties:
            near = difflib.get_close_matches(arg.arg, properties, n=1)
            mend = f"did you mean `{near[0]}`?" if near else "declare it under `properties` or remove it"
            yield function.problem(f"the parameter `{arg.arg}` is no argument in {MANIFEST_NAME}: {mend}")
        elif arg.arg in without_default - required:
            yield function.problem(
                f"`{arg.arg}` is optional in {MANIFEST_NAME} and has no default: give it one, or add it to `required`"
            )
    if node.args.kwarg is None:
        for name in sorted(properties - {arg.arg for arg in (*positional, *node.args.kwonlyargs)}):
            yield function.problem(f"the argument `{name}` of {MANIFEST_NAME} has no parameter: add one")


def _asks(manifest: Manifest, sources: list[_Source]) -> Iterator[Problem]:
    for source in sources:
        for node in ast.walk(source.tree):
            target = _target(node)
            if target is None or _declared(target, manifest.asks):
                continue
            line = getattr(node, "lineno", 1)
            near = difflib.get_close_matches(target, manifest.asks, n=1)
            mend = f"did you mean `{near[0]}`?" if near else f"add it to `asks` in {MANIFEST_NAME}"
            yield Problem(source.file, line, f"asks for `{target}`, which is not declared: {mend}")


def _target(node: ast.AST) -> str | None:
    match node:
        case ast.Call(func=ast.Attribute(attr="invoke"), args=[ast.Constant(value=str(target)), *_]):
            return target
        case ast.Call(func=ast.Attribute(attr="invoke"), keywords=keywords):
            for keyword in keywords:
                match keyword:
                    case ast.keyword(arg="function", value=ast.Constant(value=str(target))):
                        return target
    return None


def _declared(target: str, asks: tuple[str, ...]) -> bool:
    return bool({target, f"{target.partition('.')[0]}.*", "*"} & set(asks))
