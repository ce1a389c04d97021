from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import json, os
from pathlib import Path
from lab.environment import leave_credentials_behind
leave_credentials_behind()
print(json.dumps([sorted(os.environ), Path("/proc/self/environ").read_text()]))
"""


def test_no_credential_is_left_in_the_process_that_unprotected_apps_run_in(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    project = str(Path(__file__).parents[3])
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": project, "SOME_API_KEY": "canary", "OTHER": "kept"}
    done = subprocess.run(
        [sys.executable, str(program)], env=environment, capture_output=True, text=True, timeout=30, check=True
    )
    names, started_with = json.loads(done.stdout)
    assert "OTHER" in names
    assert "SOME_API_KEY" not in names
    assert "canary" not in started_with
