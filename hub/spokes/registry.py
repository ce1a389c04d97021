"""The registry: which apps are installed, and which functions they offer.

A manifest says what its author promises; the installation adds what only the owner may say: how far the app is
trusted, which confidential data it may receive, and further labels of its results. Labels are only ever added.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from jsonschema_rs import Draft202012Validator

from hub.spokes.manifest import (
    MANIFEST_NAME,
    FunctionSpec,
    Manifest,
    ManifestInvalid,
    ResultLabels,
    compile_schema,
    read_manifest,
)
from hub.yaml_document import Lines, Problem

Trust = Literal["unreviewed", "reviewed", "system"]

MAX_APP_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Installed:
    """An installed app, in the owner's words.

    Args:
        path: The app's directory.
        trust: How far it is trusted.
        clearance: Confidentiality tags that it may receive.
        result_labels: By function, what its results carry beyond what the manifest says.
        enable: The functions and toolkits that are offered, by name; all when there are none.
    """

    path: Path
    trust: Trust = "unreviewed"
    clearance: tuple[str, ...] = ()
    result_labels: Mapping[str, ResultLabels] = field(default_factory=dict)
    enable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class RegisteredApp:
    """An app that can be called, and can ask."""

    path: Path
    manifest: Manifest
    trust: Trust
    clearance: tuple[str, ...]
    digest: str
    functions: Mapping[str, RegisteredFunction]

    @property
    def name(self) -> str:
        """The app's name."""
        return self.manifest.name

    @property
    def asks(self) -> tuple[str, ...]:
        """What it declares that it asks for: `app.function`, `app.*` or `*`."""
        return self.manifest.asks

    @property
    def egress(self) -> tuple[str, ...]:
        """What it declares that it connects to: `host:port`."""
        return self.manifest.egress

    @property
    def remembers(self) -> bool:
        """Whether it declares that it remembers the user, by itself or by its kind."""
        return self.manifest.memory or self.manifest.kind in ("agent", "annotation")

    def wants(self, function: str) -> dict[str, str]:
        """Return the attributes of the user that a function is to be told of, and why it wants each."""
        return {item.name: item.why for item in self.manifest.user_data if function in item.functions}

    @property
    def asks_model(self) -> bool:
        """Whether it declares that it asks the model; an app that is instructions cannot do without."""
        return self.manifest.asks_model or self.manifest.kind in ("agent", "annotation")

    @property
    def keeps_data(self) -> bool:
        """Whether its data directory outlives a session, and with it the labels of all that its spokes knew."""
        return self.manifest.data == "kept"


@dataclass(frozen=True, slots=True, eq=False)
class RegisteredFunction:
    """A function that can be called, with its schemas compiled."""

    id: str
    name: str
    app: RegisteredApp
    spec: FunctionSpec
    labels: ResultLabels
    arguments_validator: Draft202012Validator
    result_validator: Draft202012Validator
    arguments_schema_json: str
    result_schema_json: str

    @property
    def effect(self) -> Literal["read", "write", "irreversible"]:
        """What it does to the world."""
        return self.spec.effect

    @property
    def egress(self) -> bool:
        """Whether it sends data out of the system."""
        return self.spec.egress

    @property
    def control_arguments(self) -> tuple[str, ...]:
        """RFC 6901 pointers of the arguments that steer it."""
        return self.spec.control_arguments

    @property
    def identifiers(self) -> tuple[str, ...]:
        """RFC 6901 pointers into its result, `*` for every item, of what its app keeps as names of things."""
        return self.spec.identifiers


class Registry:
    """The installed apps, by name. Built once; a change of what is installed is a new registry.

    Raises:
        ManifestInvalid: Something is wrong with a manifest, an app's files, or the installation's word on them;
            all problems of all apps at once.
    """

    def __init__(self, installed: Iterable[Installed]) -> None:
        apps: dict[str, RegisteredApp] = {}
        looks: dict[str, tuple[str, Path]] = {}
        problems: list[Problem] = []
        for item in installed:
            try:
                app, lines = _register(item)
            except ManifestInvalid as error:
                problems += error.problems
                continue
            look = at_a_glance(app.name)
            if look in looks:
                name, path = looks[look]
                says = "is also" if name == app.name else f"looks like `{name}`, which is"
                problems.append(
                    lines.problem(("name",), f"`name`: `{app.name}` {says} the name of the app in {path}: rename one")
                )
                continue
            looks[look] = app.name, item.path
            apps[app.name] = app
        if problems:
            raise ManifestInvalid(problems)
        self._apps = MappingProxyType(dict(sorted(apps.items())))
        self._functions = MappingProxyType({f.id: f for app in self._apps.values() for f in app.functions.values()})

    @property
    def apps(self) -> Mapping[str, RegisteredApp]:
        """The apps, by name."""
        return self._apps

    @property
    def functions(self) -> Mapping[str, RegisteredFunction]:
        """Every function of every app, by its full name."""
        return self._functions

    def function(self, id: str) -> RegisteredFunction | None:  # noqa: A002 -- the contract's word for it
        """Return a function by its full name, `app.function`."""
        return self._functions.get(id)

    def concerning(self, app: RegisteredApp | None, patterns: Sequence[str] = ()) -> list[RegisteredFunction]:
        """Return the functions that an app may be told of: its own and those that its manifest declares; to None, all.

        Args:
            app: The app that asks.
            patterns: Only these, each as `app.function`, `app.*` or `*`; all when there are none.
        """

        def fits(function: RegisteredFunction) -> bool:
            names = {function.id, f"{function.app.name}.*", "*"}
            told = app is None or function.app is app or not names.isdisjoint(app.asks)
            return told and (not patterns or not names.isdisjoint(patterns))

        return [function for function in self._functions.values() if fits(function)]


def digest_of(directory: Path) -> str:
    """Return `sha256:<hex>` over an app's files: their paths, sizes and contents.

    Cached bytecode is left out because spokes never load it.

    Raises:
        ManifestInvalid: It holds a link or another special file, cannot be read, or is larger than 64 MiB.
    """
    total = 0
    digest = hashlib.sha256()
    for path in _files(directory):
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ManifestInvalid([Problem(path, 1, f"cannot be read: {error.strerror}")]) from None
        total += len(data)
        if total > MAX_APP_BYTES:
            raise ManifestInvalid([Problem(path, 1, f"the app is larger than {MAX_APP_BYTES} bytes")])
        # Sizes are part of it, so that no bytes can move from one file's end to the next one's name.
        name = os.fsencode(path.relative_to(directory))
        digest.update(b"%d %d\0%s%s" % (len(name), len(data), name, data))
    return f"sha256:{digest.hexdigest()}"


def _files(directory: Path) -> Iterator[Path]:
    found = []
    for root, directories, files in os.walk(directory):
        directories[:] = [name for name in directories if name != "__pycache__"]
        for name in (*directories, *files):
            path = Path(root, name)
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                found.append(path)
            elif not stat.S_ISDIR(mode):
                # What a link leads to could change without the digest noticing.
                raise ManifestInvalid([Problem(path, 1, "is not a regular file: an app holds only those")])
    return iter(sorted(found))


def _register(item: Installed) -> tuple[RegisteredApp, Lines]:
    manifest, lines = read_manifest(item.path / MANIFEST_NAME)
    if unknown := item.result_labels.keys() - manifest.functions.keys():
        raise ManifestInvalid(
            lines.problem(
                ("functions",), f"the installation labels results of `{name}`, which `{manifest.name}` does not offer"
            )
            for name in unknown
        )
    if unknown := set(item.enable) - manifest.functions.keys() - manifest.toolkits.keys():
        raise ManifestInvalid(
            lines.problem(
                ("functions",),
                f"the installation enables `{name}`, which is neither a function nor a toolkit of `{manifest.name}`",
            )
            for name in unknown
        )
    functions: dict[str, RegisteredFunction] = {}
    app = RegisteredApp(
        path=item.path,
        manifest=manifest,
        trust=item.trust,
        clearance=tuple(sorted(set(item.clearance))),
        digest=digest_of(item.path),
        functions=MappingProxyType(functions),
    )
    enabled = {function for name in item.enable for function in manifest.toolkits.get(name, (name,))}
    for name, spec in manifest.functions.items():
        if item.enable and name not in enabled:
            continue
        functions[name] = RegisteredFunction(
            id=f"{manifest.name}.{name}",
            name=name,
            app=app,
            spec=spec,
            labels=_join(spec.labels, item.result_labels.get(name)),
            arguments_validator=compile_schema(spec.arguments),
            result_validator=compile_schema(spec.result),
            arguments_schema_json=json.dumps(spec.arguments, ensure_ascii=False),
            result_schema_json=json.dumps(spec.result, ensure_ascii=False),
        )
    return app, lines


def _join(labels: ResultLabels, added: ResultLabels | None) -> ResultLabels:
    both = (labels, added or ResultLabels())
    return ResultLabels(
        confidentiality=tuple(sorted({tag for one in both for tag in one.confidentiality})),
        integrity=tuple(sorted({origin for one in both for origin in one.integrity})),
    )


def at_a_glance(name: str) -> str:
    """Return what a name looks like at a glance; names are ASCII, so a few pairs are all there is."""
    for written, seen in (("_", ""), ("0", "o"), ("1", "l"), ("rn", "m"), ("vv", "w")):
        name = name.replace(written, seen)
    return name
