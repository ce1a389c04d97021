"""What this host can do, thing by thing: in force or not, and the mend."""

from __future__ import annotations

import asyncio
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from hub.app import registry_of
from hub.cli.output import cell, table
from hub.config import PROJECT_ROOT, Config, ConfigInvalid, load_config
from hub.errors import AuditUnavailable
from hub.model.key import ModelKeyMissing, read_key
from hub.opa.binary import OpaBinaryError, find_opa
from hub.spokes.manifest import ManifestInvalid
from hub.store.database import open_database
from spoke_runner.sandbox import Level, SandboxError, preflight, settle
from spoke_runner.sandbox.escape import ACTS
from spoke_runner.sandbox.escape import suite as escape


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; without one that is not required, a hub runs as well."""

    name: str
    ok: bool
    detail: str
    mend: str = ""
    required: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {
            "name": self.name,
            "ok": self.ok,
            "detail": self.detail,
            "mend": self.mend,
            "required": self.required,
        }


def examine(config_path: Path) -> list[Finding]:
    """Look at everything that a hub needs."""
    findings = [Finding("python", True, platform.python_version())]
    try:
        findings.append(Finding("opa", True, str(find_opa(PROJECT_ROOT))))
    except OpaBinaryError as error:
        findings.append(Finding("opa", False, str(error), "make setup"))
    minimum: Level = "strict"
    try:
        config = load_config(config_path)
        registry = registry_of(config)
        findings.append(Finding("configuration", True, f"{config_path}: {len(registry.apps)} apps"))
        minimum = config.sandbox.minimum
        if config.egress.private_addresses:
            listed = ", ".join(config.egress.private_addresses)
            findings.append(Finding("egress", True, f"private addresses that declared hosts may be at: {listed}"))
        findings.append(_model(config))
        findings.append(_database(config))
    except (ConfigInvalid, ManifestInvalid) as error:
        findings.append(Finding("configuration", False, str(error), f"edit {config_path}"))
    return findings + _sandbox(minimum)


def _model(config: Config) -> Finding:
    """Look whether the model could be asked, without asking it."""
    if config.model is None:
        return Finding("model", False, "none is configured", "add `model` to the configuration", required=False)
    try:
        key = "with a key" if read_key(config.model) else "without a key"
    except ModelKeyMissing as error:
        return Finding("model", False, str(error), "set the key, or mend `model`")
    names = ", ".join(model.name for model in config.model.models)
    return Finding("model", True, f"{names}, at {config.model.base_url}, {key}")


def _database(config: Config) -> Finding:
    """Look at the database without making one; say too whether the tests find a PostgreSQL server to start."""
    location = config.database_location
    tests = "" if _postgresql_server() else "; no PostgreSQL server is installed, so the store's tests leave it out"
    if isinstance(location, Path):
        there = "" if location.is_file() else ", made at the first start"
        return Finding("database", True, f"SQLite, {location}{there}{tests}")
    try:
        open_database(location).dispose()
    except AuditUnavailable as error:
        return Finding("database", False, str(error), "start the server, or mend `database`")
    return Finding("database", True, f"{location}{tests}")


def _postgresql_server() -> bool:
    return any(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or shutil.which("initdb") is not None


def _sandbox(minimum: Level) -> list[Finding]:
    """Try the layers of this host, and whether a hostile app gets out of them."""
    try:
        footing = asyncio.run(settle(minimum))
    except SandboxError:
        return _layers(minimum)
    level = f"{footing.level}; {minimum} is the minimum"
    found = [Finding("sandbox: level", True, f"{level}; not strict: {footing.why}" if footing.why else level)]
    found += _layers(footing.level)
    outcomes = asyncio.run(escape.run(footing.level, proc=footing.proc))
    came_through = [item.act for item in outcomes if not item.blocked]
    known = {act.name for act in ACTS.values() if footing.level in act.open_at}
    text = f"{len(outcomes)} hostile acts tried inside a spoke, {len(came_through)} came through"
    if came_through:
        text += f": {', '.join(came_through)}"
    report = "" if set(came_through) <= known else "report this: the sandbox does not hold"
    return [*found, Finding("sandbox: escape suite", not report, text, report)]


def _layers(level: Level) -> list[Finding]:
    return [
        Finding(f"sandbox: {layer.name}", layer.in_force, layer.detail, layer.mend or "", layer.required)
        for layer in preflight(level)
    ]


def as_table(findings: list[Finding]) -> Table:
    """Return the findings for a person."""
    listed = table("", "what", "found", "mend")
    for finding in findings:
        missing = cell("no", "bold red") if finding.required else cell("--", "yellow")
        mark = cell("ok", "green") if finding.ok else missing
        listed.add_row(mark, cell(finding.name, "bold"), cell(finding.detail), cell(finding.mend, "yellow"))
    return listed
