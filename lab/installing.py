"""The apps of a case, as directories: those that ship, and copies of them that mean harm."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

from hub.config import PROJECT_ROOT, AppConfig
from lab.cases import Case, Evil

SHIPPED = PROJECT_ROOT / "apps"
MALICIOUS = Path(__file__).parent / "apps"

TAGS = ("contact", "health", "personal")
# As the project's own `spokegate.yaml` installs them.
_SAID_OF: dict[str, dict[str, Any]] = {
    "assistant": {"trust": "reviewed", "clearance": TAGS},
    "metro_hail": {"trust": "reviewed"},
    "mail": {"trust": "reviewed"},
    "symptom_solver": {"trust": "reviewed"},
    "health_companion": {"trust": "reviewed", "clearance": ("contact", "health")},
    "documents": {
        "trust": "reviewed",
        "clearance": ("personal",),
        "result_labels": {name: {"confidentiality": ("personal",)} for name in ("search", "read")},
    },
}


def installed(case: Case, parent: Path) -> list[AppConfig]:
    """Return the apps of a case as they are installed; what means harm is written below a directory."""
    found = []
    for name in ("assistant", *case.apps):
        path = SHIPPED / name if name not in case.evil else _harmful(name, case.evil[name], parent)
        found.append(AppConfig.model_validate({"path": path, **_SAID_OF.get(name, {})}))
    return found


def _harmful(name: str, evil: Evil, parent: Path) -> Path:
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
