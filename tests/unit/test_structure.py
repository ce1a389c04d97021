"""The shape of the code base: who may import whom, where outside engines are known, how long a module may get.

Each rule is a function from a tree of files to the violations it finds. It is run on this project, where it must
find none, and on a small tree with a planted violation, where it must find exactly that one; a rule that has gone
blind fails the second.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
MAX_LINES = 500
UNWANTED_NAMES = {"utils", "util", "common", "helpers", "misc"}

# From the surface down; a package imports from packages below its own, never sideways and never up.
LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"edge"}),
    frozenset({"sessions"}),
    frozenset({"mediation"}),
    frozenset({"store", "spokes", "model", "opa"}),
)
# What every layer may use; these import nothing of the hub but each other.
FOUNDATION = frozenset({"errors", "config", "yaml_document", "permit"})
# The configuration states names and labels in the manifest's words, and addresses in the connector's.
EXCEPTIONS = {("hub/config.py", "hub.spokes.manifest"), ("hub/config.py", "hub.spokes.egress")}

ONLY_PLACE = {
    "opa_client": "hub/mediation/pdp.py",
    "sqlalchemy": "hub/store/",
    "openai": "hub/model/",
    "httpx2": "hub/model/",
    "h11": "hub/spokes/egress/",
    "idna": "hub/spokes/egress/",
}
SDK_MAY_IMPORT = ("grpc", "grpc_health.v1", "google.protobuf", "spokegate.v1", "spoke_runner.sdk")


def sources(root: Path, *packages: str) -> Iterator[tuple[str, ast.Module]]:
    """Yield the path and the syntax tree of every module in these packages."""
    for package in packages:
        for file in sorted((root / package).rglob("*.py")):
            yield file.relative_to(root).as_posix(), ast.parse(file.read_text(), filename=str(file))


def imports(tree: ast.Module, path: str) -> Iterator[str]:
    """Yield the full dotted name of everything that is imported, wherever in the module that stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = [] if node.level == 0 else path.removesuffix(".py").split("/")[: -node.level]
            module = ".".join([*package, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def imports_up_or_sideways(root: Path) -> list[str]:
    rank = {name: depth for depth, names in enumerate(LAYERS) for name in names}
    found = []
    for path, tree in sources(root, "hub"):
        importer = path.removesuffix(".py").split("/")[1]
        if importer not in rank and importer not in FOUNDATION:
            continue  # the top: cli, app, client, workbench put the layers together
        for name in imports(tree, path):
            parts = name.split(".")
            if parts[0] != "hub" or len(parts) < 2 or parts[1] in {importer, *FOUNDATION}:
                continue
            if (path, ".".join(parts[:3])) in EXCEPTIONS:
                continue
            goes_down = importer in rank and rank.get(parts[1], -1) > rank[importer]
            if not goes_down:
                found.append(f"{path} imports {name}")
    return found


def runner_imports_hub(root: Path) -> list[str]:
    return [
        f"{path} imports {name}"
        for path, tree in sources(root, "spoke_runner")
        for name in imports(tree, path)
        if name.split(".")[0] == "hub"
    ]


def sdk_imports_more_than_it_may(root: Path) -> list[str]:
    return [
        f"{path} imports {name}"
        for path, tree in sources(root, "spoke_runner/sdk")
        for name in imports(tree, path)
        if name.split(".")[0] not in sys.stdlib_module_names
        and not any(name == allowed or name.startswith(f"{allowed}.") for allowed in SDK_MAY_IMPORT)
    ]


def engines_out_of_place(root: Path) -> list[str]:
    return [
        f"{path} imports {name}"
        for path, tree in sources(root, "hub", "spoke_runner")
        for name in imports(tree, path)
        if (place := ONLY_PLACE.get(name.split(".")[0])) and not path.startswith(place)
    ]


def too_long(root: Path) -> list[str]:
    files = [file for package in ("hub", "spoke_runner", "apps") for file in (root / package).rglob("*.py")]
    counted = ((file, len(file.read_text().splitlines())) for file in sorted(files))
    return [f"{file.relative_to(root).as_posix()} has {n} lines" for file, n in counted if n > MAX_LINES]


def catch_all_names(root: Path) -> list[str]:
    return [
        file.relative_to(root).as_posix()
        for package in ("hub", "spoke_runner", "apps", "scripts")
        for file in sorted((root / package).rglob("*.py"))
        if UNWANTED_NAMES & set(file.relative_to(root).with_suffix("").parts)
    ]


Rule = Callable[[Path], list[str]]
PLANTED: list[tuple[Rule, str, str, str]] = [
    (
        imports_up_or_sideways,
        "hub/store/audit.py",
        "from hub.mediation.request import AccessRequest",
        "hub/store/audit.py imports hub.mediation.request.AccessRequest",
    ),
    (
        imports_up_or_sideways,
        "hub/spokes/registry.py",
        "def f():\n    import hub.store.grants",
        "hub/spokes/registry.py imports hub.store.grants",
    ),
    (
        imports_up_or_sideways,
        "hub/mediation/mediator.py",
        "from ..edge import server",
        "hub/mediation/mediator.py imports hub.edge.server",
    ),
    (
        imports_up_or_sideways,
        "hub/sessions/session.py",
        "from hub import cli",
        "hub/sessions/session.py imports hub.cli",
    ),
    (
        imports_up_or_sideways,
        "hub/errors.py",
        "from hub.store import audit",
        "hub/errors.py imports hub.store.audit",
    ),
    (
        imports_up_or_sideways,
        "hub/config.py",
        "from hub.spokes.manifest import Name\nfrom hub.spokes.registry import Registry",
        "hub/config.py imports hub.spokes.registry.Registry",
    ),
    (
        runner_imports_hub,
        "spoke_runner/mcp/adapter.py",
        "from hub import errors",
        "spoke_runner/mcp/adapter.py imports hub.errors",
    ),
    (
        sdk_imports_more_than_it_may,
        "spoke_runner/sdk/run.py",
        "import json\nimport grpc.aio\nimport aiohttp",
        "spoke_runner/sdk/run.py imports aiohttp",
    ),
    (
        sdk_imports_more_than_it_may,
        "spoke_runner/sdk/app.py",
        "from google.protobuf import message\nfrom google.rpc import status_pb2",
        "spoke_runner/sdk/app.py imports google.rpc.status_pb2",
    ),
    (
        sdk_imports_more_than_it_may,
        "spoke_runner/sdk/call.py",
        "from . import run\nfrom ..sandbox import spec",
        "spoke_runner/sdk/call.py imports spoke_runner.sandbox.spec",
    ),
    (
        engines_out_of_place,
        "hub/mediation/mediator.py",
        "from opa_client.opa_async import AsyncOpaClient",
        "hub/mediation/mediator.py imports opa_client.opa_async.AsyncOpaClient",
    ),
    (
        engines_out_of_place,
        "hub/sessions/memory.py",
        "import sqlalchemy",
        "hub/sessions/memory.py imports sqlalchemy",
    ),
    (too_long, "hub/edge/server.py", "x = 1\n" * (MAX_LINES + 1), "hub/edge/server.py has 501 lines"),
    (catch_all_names, "hub/edge/utils.py", "", "hub/edge/utils.py"),
    (catch_all_names, "spoke_runner/common/frames.py", "", "spoke_runner/common/frames.py"),
]
RULES = list(dict.fromkeys(rule for rule, *_ in PLANTED))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_project_keeps_the_rule(rule: Rule) -> None:
    assert rule(PROJECT) == []


@pytest.mark.parametrize(("rule", "path", "code", "violation"), PLANTED, ids=[p[3] for p in PLANTED])
def test_a_planted_violation_is_found(tmp_path: Path, rule: Rule, path: str, code: str, violation: str) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(code)
    assert rule(tmp_path) == [violation]


def test_imports_that_go_down_are_no_violation(tmp_path: Path) -> None:
    file = tmp_path / "hub/edge/server.py"
    file.parent.mkdir(parents=True)
    file.write_text(
        "import hub.errors\nfrom hub.store import grants\nfrom hub.sessions import session\nfrom . import convert\n"
    )
    assert imports_up_or_sideways(tmp_path) == []
