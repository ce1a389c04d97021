"""An app that tries to get out, act by act: per level, as root and as an ordinary user, each act with its control.

`python -m pytest tests/attack/sandbox -s` prints the table; `build/attack.json` holds the same.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from spoke_runner.sandbox import Level, SpokeProcess, command, discover_python
from spoke_runner.sandbox.diagnosis import find_tools
from spoke_runner.sandbox.escape import ACTS
from spoke_runner.sandbox.escape.suite import APP, ENTRY, PROFILES, acts_of, run_in
from spoke_runner.sandbox.escape.world import world_outside
from tests.integration.sandbox.spokes import call, launcher, running, workshop

PROJECT = Path(__file__).resolve().parents[3]
AS_ROOT = os.geteuid() == 0
LEVELS: tuple[Level, ...] = ("strict", "no-userns")
USERS = ("root", "ordinary user") if AS_ROOT else ("ordinary user",)
STRANGER = 57990
SECONDS = 150
AT_ONCE = 3
OPEN_AT_NO_USERNS = ["squat_on_abstract_name", "stat_outside"]


def prefix(user: str) -> list[str]:
    """Return what a command must begin with to run as a user to whom this project and its Python can be read.

    Where they lie below a closed directory, such as root's home, it is replaced by one that holds nothing else.
    """
    if not AS_ROOT:
        return []
    bwrap, setpriv = find_tools().bwrap, find_tools().setpriv
    needed = {mount.source for mount in discover_python().mounts} | {PROJECT, Path(sys.prefix)}
    # The virtual environment's link to its interpreter must be found too.
    needed.add(Path(sys.executable).resolve().parent)
    covers = command.closed_directories(needed, STRANGER)
    line: list[str] = []
    if covers and bwrap:
        line = [bwrap, "--cap-add", "ALL", "--die-with-parent", "--dev-bind", "/", "/"]
        for cover in covers:
            line += ["--tmpfs", str(cover)]
        for path in sorted(path for path in needed if any(cover in path.parents for cover in covers)):
            for parent in reversed(path.parents):
                # By itself bubblewrap makes the parents of a mount for its own uid only.
                if any(cover in parent.parents for cover in covers) and not needed & {parent, *parent.parents}:
                    line += ["--dir", str(parent)]
            line += ["--ro-bind", str(path), str(path)]
        line.append("--")
    if user != "root":
        line += [setpriv, "--reuid", str(STRANGER), "--regid", str(STRANGER), "--clear-groups"]
        line += ["--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all", "--"]
    return line


async def rows_of(level: str, profile: str, user: str) -> list[dict[str, str]]:
    process = await asyncio.create_subprocess_exec(
        *prefix(user),
        *(sys.executable, "-B", "-m", "tests.attack.sandbox.matrix", level, profile),
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"]},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(SECONDS):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, err.decode()
    found: list[dict[str, str]] = json.loads(out.splitlines()[-1])
    return found


def as_table(rows: list[dict[str, str]]) -> str:
    lines = [f"{'action':<46} {'level':<10} {'profile':<16} {'user':<14} {'outcome':<8} {'stopped by':<34} control"]
    lines += [
        f"{row['action']:<46} {row['level']:<10} {row['profile']:<16} {row['user']:<14} {row['outcome']:<8} "
        f"{row['layer']:<34} " + row["control"]
        for row in rows
    ]
    for (level, profile, user, outcome), count in sorted(
        Counter((row["level"], row["profile"], row["user"], row["outcome"]) for row in rows).items()
    ):
        lines.append(f"{level}, {profile}, as {user}: {count} {outcome}")
    return "\n".join(lines)


@pytest.mark.timeout(300)
async def test_every_act_is_stopped_inside_a_spoke_and_comes_through_without_one() -> None:
    kinds = [(level, profile, user) for user in USERS for level in LEVELS for profile in PROFILES[level]]
    rows: list[dict[str, str]] = []
    for some in (kinds[at : at + AT_ONCE] for at in range(0, len(kinds), AT_ONCE)):
        for found in await asyncio.gather(*(rows_of(*kind) for kind in some)):
            rows += found
    build = PROJECT / "build"
    build.mkdir(exist_ok=True)
    (build / "attack.json").write_text(json.dumps(rows, indent=1))
    print("\n" + as_table(rows))

    for level, profile, user in kinds:
        mine = [row for row in rows if (row["level"], row["profile"], row["user"]) == (level, profile, user)]
        came_through = sorted(row["action"] for row in mine if row["outcome"] == "open")
        assert came_through == (OPEN_AT_NO_USERNS if level == "no-userns" else [])
        assert [row for row in mine if row["control"] not in ("succeeded", "impossible")] == []
        assert [row for row in mine if row["outcome"] == "blocked" and not row["layer"]] == []
        assert sorted(row["action"] for row in mine) == sorted(act.name for act in acts_of(profile))
    assert len(ACTS) >= 80


@pytest.mark.timeout(150)
@pytest.mark.parametrize("profile", ["plain", "egress"])
async def test_every_act_is_stopped_inside_a_spoke_that_was_started_warm_too(profile: str) -> None:
    # With the same acts as above, whose controls hold for them here as well: they run without any spoke.
    with workshop() as shop, world_outside(shop.root) as world:
        async with launcher("warm") as start:
            outcomes = await run_in(shop.root, world, "strict", start=start, profile=profile)

    assert [outcome for outcome in outcomes if not outcome.blocked] == []
    assert sorted(outcome.act for outcome in outcomes) == sorted(ACTS)


@pytest.fixture(params=["cold", "warm"])
async def spoke(request: pytest.FixtureRequest) -> AsyncIterator[SpokeProcess]:
    with workshop() as shop:
        async with running(shop.spec(APP), ENTRY, way=request.param) as started:
            yield started


@pytest.mark.parametrize("act", ["connect_tcp", "fork", "read_own_mounts", "unshare_user", "memory_file"])
async def test_a_thread_that_the_app_starts_is_as_sealed_as_the_first(spoke: SpokeProcess, act: str) -> None:
    world: dict[str, Any] = {"tcp": 1, "inside": True}

    assert (await call(spoke, "act_in_thread", name=act, world=world))["answer"] in ("EPERM", "EACCES")


async def test_the_app_sees_nothing_of_who_runs_it(spoke: SpokeProcess) -> None:
    seen = await call(spoke, "see")

    # The second process of a warm spoke's namespace; the first holds it and does nothing.
    assert seen.pop("pid") in (1, 2)
    assert seen == {"environment": {}, "uid": 1000, "host": "spoke"}
