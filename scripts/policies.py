"""Check the policies the way OPA itself can: format, types, tests, coverage.

    .venv/bin/python scripts/policies.py             all of it; ends with 1 at the first thing that fails
    .venv/bin/python scripts/policies.py --format    formats the files instead

The tests run without coverage first, because only then does OPA count them, and then with it. Coverage is
read from OPA's report rather than left to its `--threshold`, which names a percentage but not the lines.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from hub.opa.binary import OpaBinaryError, find_opa  # noqa: E402

POLICIES = "policies"
SYSTEM_POLICIES = "opa/system"
INPUT_SCHEMA = "opa/schemas/input.json"


class GateError(Exception):
    """A gate is shut; the text says what stands in the way."""


def main(arguments: Sequence[str]) -> int:
    """Run every gate, or format.

    Returns:
        The exit code: 0 done, 1 failed, 2 usage.
    """
    if list(arguments) not in ([], ["--format"]):
        print("usage: policies.py [--format]", file=sys.stderr)
        return 2
    try:
        opa = str(find_opa(PROJECT).path)
        if arguments:
            _run([opa, "fmt", "--write", POLICIES, SYSTEM_POLICIES])
        else:
            check(opa)
    except (GateError, OpaBinaryError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def check(opa: str) -> None:
    """Run every gate in turn.

    Raises:
        GateError: One of them is shut.
    """
    unformatted = _run([opa, "fmt", "--diff", POLICIES, SYSTEM_POLICIES])
    if unformatted:
        raise GateError(f"{unformatted}\npolicies are not formatted; `make fmt` does it")
    _run([opa, "check", "--strict", "--schema", INPUT_SCHEMA, POLICIES])
    # What OPA asks its own authorization policy is another document, so the input schema is not for it.
    _run([opa, "check", "--strict", SYSTEM_POLICIES])
    # Coverage and a busy machine slow single tests down; the default is five seconds.
    test = [opa, "test", "--fail-on-empty", "--timeout=60s", POLICIES, SYSTEM_POLICIES]
    print(_run(test), end="")
    print(coverage(json.loads(_run([*test, "--coverage", "--format=json"]))))


def coverage(report: dict[str, Any]) -> str:
    """Sum OPA's coverage report up.

    Args:
        report: What `opa test --coverage --format=json` prints.

    Raises:
        GateError: Some line is not covered; the text names it.
    """
    missed = [
        f"{name}:{span['start']['row']}-{span['end']['row']}: not covered"
        for name, file in sorted(report["files"].items())
        for span in file.get("not_covered", [])
    ]
    if missed or report["coverage"] != 100:
        raise GateError("\n".join([*missed, f"coverage is {report['coverage']} %, not 100 %"]))
    return f"coverage: 100 % of {report['covered_lines']} lines in {len(report['files'])} files"


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise GateError(f"{done.stdout}{done.stderr}".rstrip())
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
