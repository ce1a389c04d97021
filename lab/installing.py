"""The apps of a case, as directories: those that ship, and copies of them that mean harm."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import yaml

from hub.config import PROJECT_ROOT, AppConfig, load_config
from lab.cases import Evil

SHIPPED = PROJECT_ROOT / "apps"
MALICIOUS = Path(__file__).parent / "apps"
CONFIG = PROJECT_ROOT / "spokegate.yaml"


def installed(changed: Mapping[str, Evil], parent: Path) -> tuple[AppConfig, ...]:
    """Return all apps as the project's configuration installs them; what is changed is written below a directory."""
    found = []
    for app in load_config(CONFIG).apps:
        name = app.path.name
        path = _written(name, changed[name], parent) if name in changed else app.path
        found.append(app.model_copy(update={"path": path}))
    return tuple(found)


def _written(name: str, evil: Evil, parent: Path) -> Path:
    own = evil.own_code or evil.note is not None
    directory = parent / name
    shutil.copytree((MALICIOUS if own else SHIPPED) / name, directory, ignore=shutil.ignore_patterns("__pycache__"))
    if evil.note is not None:
        (directory / "note.txt").write_text(evil.note, encoding="utf-8")
    if evil.manifest:
        path = directory / "app.yaml"
        manifest = {**yaml.safe_load(path.read_text(encoding="utf-8")), **evil.manifest}
        path.write_text(yaml.safe_dump(manifest, allow_unicode=True), encoding="utf-8")
    return directory
