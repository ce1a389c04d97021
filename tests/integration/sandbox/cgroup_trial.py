"""What is said of cgroups, tried on a kernel that has cgroup v2 alone: the program of `test_cgroup`, run inside it.

It prints one JSON object, of what was found under the names of the checks. That kernel has no landlock, so spokes are
started at the level `none`, where the cgroup is the only limit; and warm ones from a copy of the runner that leaves
landlock and the canaries out.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc

from spoke_runner.sandbox import Delegation, Limits, Zygote, delegated, launch, launcher, report
from spoke_runner.sandbox.cgroup import clear_leftovers, make
from tests.integration.sandbox.spokes import APPS, Workshop, call, workshop

MIB = 1 << 20
LIMITS = Limits(memory_bytes=64 * MIB, temporary_bytes=8 * MIB, processes=40)


def members(path: Path) -> set[int]:
    return {int(line) for line in (path / "cgroup.procs").read_text().split()}


def group_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cgroup").read_text().strip().rpartition("/")[2]


async def cold(shop: Workshop, where: Delegation, found: dict[str, Any]) -> None:
    assert where.path is not None
    spec = replace(shop.spec(APPS / "hungry", limits=LIMITS), level="none", cgroup=where)
    spoke = await launch(spec, entry="hungry:app")
    group = where.path / group_of(spoke.pid)
    found["cold: in force"] = spoke.report.cgroup.in_force
    found["cold: detail"] = spoke.report.cgroup.detail
    found["cold: all of its processes are inside"] = spoke.pid in members(group) and os.getpid() not in members(group)
    threads = await call(spoke, "start_threads")
    found["cold: threads"] = threads
    found["cold: most processes at once"] = int((group / "pids.peak").read_text())
    with suppress(grpc.aio.AioRpcError):
        found["cold: heap"] = await call(spoke, "eat_memory")
    found["cold: a heap bomb ends it"] = await asyncio.wait_for(spoke.wait(), 20)
    await spoke.kill()
    found["cold: removed"] = not group.exists()


async def warm(shop: Workshop, where: Delegation, found: dict[str, Any]) -> None:
    assert where.path is not None
    real = report.judge
    # As the launcher knows it: the copy's spokes try no canaries.
    vars(launcher)["judge"] = lambda **facts: replace(real(**{**facts, "required": ()}), breaches=())
    async with Zygote() as zygote:
        spoke = await zygote.launch(replace(shop.spec(APPS / "plain"), cgroup=where), entry="plain:app")
        group = where.path / group_of(spoke.pid)
        found["warm: in force"] = spoke.report.cgroup.in_force
        found["warm: spoke and holder are inside"] = spoke.pid in members(group) and len(members(group)) >= 3
        found["warm: the zygote is not"] = not set(zygote.pids) & members(group)
        found["warm: it answers"] = await call(spoke, "echo", text="hello")
        await spoke.kill()
        found["warm: removed"] = not group.exists()


def leftovers(where: Path, found: dict[str, Any]) -> None:
    gone, mine = where / "spoke-999999-1-1", make(Delegation(where, "/x"), LIMITS)
    assert mine is not None
    gone.mkdir()
    left = subprocess.Popen(["sleep", "100"])
    (gone / "cgroup.procs").write_text(str(left.pid))
    clear_leftovers(where)
    found["leftovers: killed and removed"] = (left.wait(10), gone.exists())
    found["leftovers: those of a hub that lives stay"] = mine.path.exists()
    found["control: a process elsewhere is a breach"] = len(mine.breaches(os.getpid()))
    (mine.path / "pids.max").write_text("max")
    found["control: another value is a breach"] = [line for line in mine.breaches(os.getpid()) if "pids.max" in line]
    mine.remove()


async def main() -> None:
    found: dict[str, Any] = {}
    before = group_of(os.getpid())
    with delegated() as where:
        found["absent"] = [where.why, where.mend] if where.path is None else []
        if where.path is not None:
            found["the hub is in a leaf"] = group_of(os.getpid()).startswith("hub-")
            leftovers(where.path, found)
            with workshop() as shop:
                await cold(shop, where, found)
                if os.geteuid() == 0:
                    await warm(shop, where, found)
            found["nothing is left beside the hub"] = [path.name for path in where.path.glob("spoke-*")]
    found["the hub is back"] = group_of(os.getpid()) == before
    if where.path is not None:
        found["nothing is left at all"] = [path.name for path in where.path.iterdir() if path.is_dir()]
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
