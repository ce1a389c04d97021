"""Apps that are programs: a script around the SDK's server, which any app of the tests can be started by."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import yaml

from spoke_runner.sandbox import discover_python
from spoke_runner.sandbox.places import PROJECT_DIR

_SCRIPT = """#!{python} -ISBu
import asyncio, importlib.util, os, sys
from pathlib import Path

sys.path += {path!r}
# By name, because the directories that hold them may not be listed.
for name, place in {packages!r}.items():
    spec = importlib.util.spec_from_file_location(name, place + "/__init__.py", submodule_search_locations=[place])
    sys.modules[name] = importlib.util.module_from_spec(spec)
from spoke_runner.sdk.server import serve

data, socket = Path(os.environ["SPOKEGATE_DATA_DIR"]), Path(os.environ["SPOKEGATE_SOCKET"])
here = Path(__file__).parent
asyncio.run(serve(entry=sys.argv[1], app_dir=here, data_dir=data, socket_path=socket, on_ready=lambda: None))
"""


def serve_script(*, moved: bool = True) -> str:
    """Return a program that serves the app which its first argument names, as `module:attribute`.

    Args:
        moved: Whether the packages are where a sandbox with mounts shows them.
    """
    python = discover_python()
    path = [str(entry) for entry in (python.import_path if moved else python.host_import_path)]
    packages = {
        mount.target.name: str(mount.target if moved else mount.source)
        for mount in python.mounts
        if mount.target.parent == PROJECT_DIR
    }
    return _SCRIPT.format(python=python.executable, path=path, packages=packages)


def as_program(app: Path, parent: Path, *, script: str | None = None) -> Path:
    """Copy an app, as one that is started by a program of its own, and return the copy."""
    directory = parent / app.name
    shutil.copytree(app, directory, ignore=shutil.ignore_patterns("__pycache__"))
    parent.chmod(0o755)
    directory.chmod(0o755)
    program = directory / "serve"
    program.write_text(serve_script() if script is None else script)
    program.chmod(0o755)
    if (directory / "app.yaml").exists():
        manifest = yaml.safe_load((directory / "app.yaml").read_text())
        manifest["command"] = ["./serve", manifest.pop("entry")]
        (directory / "app.yaml").write_text(json.dumps(manifest, indent=1))
    return directory
