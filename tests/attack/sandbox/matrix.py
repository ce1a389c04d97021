"""Run the escape suite for a level and a profile as whoever runs this, with controls, and print one JSON list of rows.

python -m tests.attack.sandbox.matrix LEVEL PROFILE
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import spoke_runner.sandbox.seccomp
from spoke_runner.sandbox import Level, SandboxSpec, command
from spoke_runner.sandbox.diagnosis import find_tools
from spoke_runner.sandbox.escape import ACTS, DONE, PLAIN, ROOT
from spoke_runner.sandbox.escape.kit import World
from spoke_runner.sandbox.escape.suite import acts_of, run_in, spec_in
from spoke_runner.sandbox.escape.world import seen_from_inside, world_outside
from spoke_runner.sandbox.ownership import give
from spoke_runner.sandbox.setup import filter_name, setup

DRIVER: Final = (Path(__file__).parent / "driver.py").read_text()
FILTERS: Final = Path(spoke_runner.sandbox.seccomp.__file__).parent
PROJECT: Final = Path(__file__).resolve().parents[3]
SECONDS: Final = 100
AS_ROOT: Final = os.geteuid() == 0
SEALS: Final = ("landlock", "seccomp")


def drive(
    line: tuple[str, ...],
    world: World,
    layers: tuple[str, ...],
    spec: SandboxSpec,
    acts: list[str],
    seals: dict[str, Any] | None = None,
) -> Any:
    """Run the driver by a command line whose last word is the code; with other seals than the spec's, if any."""
    document = {**setup(spec, entry="", report_fd=0, seccomp_filter=filter_name(spec.profile)), **(seals or {})}
    ended = subprocess.run(
        [*line[:-1], f"{line[-1].partition('; from')[0]}\n{DRIVER.partition('from __future__ import annotations')[2]}"],
        input=json.dumps({"layers": layers, "setup": document, "world": world, "acts": acts}) + "\n",
        capture_output=True,
        text=True,
        timeout=SECONDS,
        cwd=PROJECT if os.access(PROJECT, os.X_OK) else "/",
        env={"SPOKEGATE_TEST_SECRET": "s"},
        pass_fds=(world["descriptor"], world["namespace"], world["log_fd"]),
    )
    if ended.returncode:
        raise RuntimeError(f"{layers}: {ended.stderr}")
    return json.loads(ended.stdout.splitlines()[-1])["answers"]


def seals_of(spec: SandboxSpec, bare: SandboxSpec) -> dict[str, Any]:
    """Return what a spec's seals are where files are at the host's paths."""
    there = setup(bare, entry="", report_fd=0, seccomp_filter="")
    seals = setup(spec, entry="", report_fd=0, seccomp_filter="")
    shown = [str(mount.target) for mount in spec.shown]
    grants = {**there["grants"], "execute": seals["grants"]["execute"]}
    grants["read"] = grants["read"] + shown
    own_filter = str(FILTERS / filter_name(spec.profile))
    return {"filter": own_filter, "grants": grants, **{name: seals[name] for name in ("level", "profile", "port")}}


def with_some_layers(root: Path, world: World, level: Level, profile: str) -> dict[str, dict[str, str]]:
    """Return every answer with one layer only, and with none, as the uid that a spoke has."""
    spec = spec_in(root, level, name="partial@ann", profile=profile)
    # The same command without namespaces, and with the seals of the profile.
    bare = spec_in(root, "no-userns", name="partial@ann")
    seals = seals_of(spec, bare)
    covers: tuple[Path, ...] = ()
    if spec.uid is not None:
        for directory in (spec.data_dir, spec.socket_dir):
            give(directory, spec.uid)
        covers = command.closed_directories(command.sources(spec), spec.uid)
    acts = [act.name for act in acts_of(profile) if not act.bomb and not act.control.startswith("would")]
    silent = [name for name in acts if not ACTS[name].ends_spoke]
    tools = find_tools()
    plain = command.argv(bare, tools=tools, covers=covers)
    inside = seen_from_inside(world, bare)
    answers = {
        "uid": drive(plain, inside, (), bare, acts),
        "landlock": drive(plain, inside, ("landlock",), bare, acts, seals),
        "seccomp": drive(plain, inside, ("seccomp",), bare, silent, seals),
    }
    if level == "strict":
        line = command.argv(spec, tools=tools, covers=covers)
        answers["namespaces"] = drive(line, seen_from_inside(world, spec), (), spec, acts)
    return answers


def layer_of(name: str, answer: str, alone: dict[str, dict[str, str]]) -> str:
    """Return which layers stop an act by themselves."""
    if ACTS[name].bomb:
        watch = "memory watch" if name == "memory_bomb_by_children" else "disk watch"
        return {"ENOSPC": "sized tmpfs", "ended": watch, "EACCES": "landlock", "EPERM": "seccomp"}.get(
            answer, "log rate" if name == "log_bomb" else "rlimits"
        )
    if answer == "SIGSYS":
        return "seccomp"
    if ACTS[name].control.startswith("would"):
        return {"EPERM": "seccomp", "EACCES": "landlock", "ESRCH": "namespaces"}.get(answer, "")
    found = [layer for layer, answers in alone.items() if answers.get(name, DONE) != DONE]
    return "+".join(found) or ("rlimits" if name == "leave_a_core_dump" else "clean start")


def why_open(name: str, answer: str, layer: str) -> str:
    return f"answered {answer}" if answer != DONE else f"open at {' and '.join(ACTS[name].open_at) or 'no level'}"


def rows(level: Level, profile: str) -> list[dict[str, str]]:
    user = "root" if AS_ROOT else "ordinary user"
    with tempfile.TemporaryDirectory(prefix="sg-") as directory, world_outside(Path(directory)) as world:
        root = Path(directory)
        outcomes = asyncio.run(run_in(root, world, level, profile=profile))
        wanted = [act.name for act in acts_of(profile) if act.control == PLAIN or (act.control == ROOT and AS_ROOT)]
        bare = spec_in(root, "no-userns", name="control@ann")
        python = (sys.executable, "-I", "-B", "-c", f"import sys; sys.path.insert(0, {str(PROJECT)!r})")
        controls = drive(python, world, (), bare, wanted)
        alone = with_some_layers(root, world, level, profile)
    found = []
    for outcome in outcomes:
        act = ACTS[outcome.act]
        layer = layer_of(act.name, outcome.answer, alone) if outcome.blocked else ""
        succeeded = controls.get(act.name) == DONE
        tried = act.name in controls
        found.append(
            {
                "action": act.name,
                "level": level,
                "profile": profile,
                "user": user,
                "outcome": "blocked" if outcome.blocked else "open",
                "layer": layer,
                "control": "succeeded" if succeeded else f"answered {controls[act.name]}" if tried else "impossible",
                "why": (f"answered {outcome.answer}" if outcome.blocked else why_open(act.name, outcome.answer, layer))
                + ("" if tried else f"; no control: {act.control}"),
            }
        )
    return found


if __name__ == "__main__":
    level: Any = sys.argv[1]
    print(json.dumps(rows(level, sys.argv[2])))
