"""App directories for tests: those of `tests/apps`, copies under other names, and manifests made on the spot."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from hub.spokes.registry import Installed

APPS = Path(__file__).parents[1] / "apps"
SHIPPED = Path(__file__).parents[2] / "apps"


def function(**changes: Any) -> dict[str, Any]:
    """Return what a manifest says of a harmless function that takes and gives anything."""
    return {
        "description": "Does what a test wants.",
        "effect": "read",
        "egress": False,
        "arguments": {"type": "object", "additionalProperties": False, "properties": {"value": True}},
        "result": True,
        **changes,
    }


def write_app(parent: Path, name: str, functions: dict[str, dict[str, Any]], **changes: Any) -> Path:
    """Write an app directory that holds a manifest alone, and return it."""
    directory = parent / name
    directory.mkdir(parents=True)
    manifest = {
        "manifest": 1,
        "name": name,
        "version": "1.0.0",
        "description": "An app of a test.",
        "kind": "tool",
        "entry": f"{name}:app",
        "functions": functions,
        **changes,
    }
    (directory / "app.yaml").write_text(json.dumps(manifest, indent=1))
    return directory


def variant(of: Path, parent: Path, name: str, **changes: Any) -> Path:
    """Copy an app to `parent/name`, renamed and with parts of its manifest changed, and return the copy."""
    directory = parent / name
    shutil.copytree(of, directory, ignore=shutil.ignore_patterns("__pycache__"))
    manifest = yaml.safe_load((directory / "app.yaml").read_text())
    manifest.update({"name": name, **changes})
    (directory / "app.yaml").write_text(json.dumps(manifest, indent=1))
    return directory


def installed(*paths: Path, **settings: Any) -> list[Installed]:
    """Return the apps in these directories as installed, all alike."""
    return [Installed(path=path, **settings) for path in paths]
