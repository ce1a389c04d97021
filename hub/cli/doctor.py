"""What this host can do, thing by thing: in force or not, and the mend."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from hub.app import registry_of
from hub.cli.output import cell, table
from hub.config import PROJECT_ROOT, ConfigInvalid, load_config
from hub.opa.binary import OpaBinaryError, find_opa
from hub.spokes.manifest import ManifestInvalid
from spoke_runner.sandbox import preflight


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str
    mend: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {"name": self.name, "ok": self.ok, "detail": self.detail, "mend": self.mend}


def examine(config_path: Path) -> list[Finding]:
    """Look at everything that a hub needs."""
    findings = [Finding("python", True, platform.python_version())]
    try:
        findings.append(Finding("opa", True, str(find_opa(PROJECT_ROOT))))
    except OpaBinaryError as error:
        findings.append(Finding("opa", False, str(error), "make setup"))
    findings += [
        Finding(f"sandbox: {layer.name}", layer.in_force, layer.detail, layer.mend or "") for layer in preflight()
    ]
    try:
        config = load_config(config_path)
        registry = registry_of(config)
        findings.append(Finding("configuration", True, f"{config_path}: {len(registry.apps)} apps"))
    except (ConfigInvalid, ManifestInvalid) as error:
        findings.append(Finding("configuration", False, str(error), f"edit {config_path}"))
    return findings


def as_table(findings: list[Finding]) -> Table:
    """Return the findings for a person."""
    listed = table("", "what", "found", "mend")
    for finding in findings:
        mark = cell("ok", "green") if finding.ok else cell("no", "bold red")
        listed.add_row(mark, cell(finding.name, "bold"), cell(finding.detail), cell(finding.mend, "yellow"))
    return listed
