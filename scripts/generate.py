"""Write what is generated and committed: the stubs in `proto/gen` and OPA's input schema.

    .venv/bin/python scripts/generate.py            writes it
    .venv/bin/python scripts/generate.py --check    changes nothing; ends with 1 if something is out of date

Both are committed so that a reader finds them and an editor resolves them without a build step. The check is
what makes that safe: nobody has to remember to run this.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
PROTOS = PROJECT / "proto"
STUBS = PROTOS / "gen"
INPUT_SCHEMA = PROJECT / "opa/schemas/input.json"


def main(arguments: Sequence[str]) -> int:
    """Write, or compare, everything that is generated.

    Returns:
        The exit code: 0 done, 1 out of date or failed, 2 usage.
    """
    if list(arguments) not in ([], ["--check"]):
        print("usage: generate.py [--check]", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        write_stubs(fresh)
        if arguments:
            stale = [*stale_files(fresh, STUBS), *stale_schema()]
            for file in stale:
                print(f"out of date: {file.relative_to(PROJECT)}", file=sys.stderr)
            print("`make proto` writes them anew" if stale else "stubs and input schema are current")
            return 1 if stale else 0
        shutil.rmtree(STUBS / "spokegate", ignore_errors=True)
        # Not the folder itself: its mode is for its owner alone, and would be taken over.
        shutil.copytree(fresh / "spokegate", STUBS / "spokegate")
    INPUT_SCHEMA.write_text(input_schema())
    return 0


def write_stubs(target: Path) -> None:
    """Compile every proto into `target`.

    Raises:
        SystemExit: A proto does not compile; protoc has said why.
    """
    sources = sorted(str(file.relative_to(PROTOS)) for file in (PROTOS / "spokegate").rglob("*.proto"))
    outputs = [f"--{kind}_out={target}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    # protoc looks for the mypy plug-ins on PATH; they stand beside this interpreter.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    done = subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "--proto_path=.", *outputs, *sources],
        cwd=PROTOS,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(done.stderr)


def stale_files(fresh: Path, committed: Path) -> list[Path]:
    """Return the files under `committed` that differ from `fresh`, are missing, or should not be there."""
    names = _files(fresh) | _files(committed)
    return [committed / name for name in sorted(names) if _content(fresh / name) != _content(committed / name)]


def stale_schema() -> list[Path]:
    """Return the input schema if it is not the one that the access request gives."""
    return [] if _content(INPUT_SCHEMA) == input_schema().encode() else [INPUT_SCHEMA]


def input_schema() -> str:
    """Return the text of OPA's input schema, from the model that the hub builds its requests with."""
    sys.path.insert(0, str(PROJECT))
    from hub.mediation.request import input_schema as schema

    return json.dumps(schema(), indent=2) + "\n"


def _files(folder: Path) -> set[Path]:
    return {
        file.relative_to(folder) for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts
    }


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
