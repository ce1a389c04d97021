"""Cgroups: in force where they are delegated, on a kernel of its own that has cgroup v2 alone; else absent, and why.

The kernel is Debian's user-mode-linux, an ordinary program that boots in a second on this host's files. Slow tests, run
by `.ci/run`, which installs it.
"""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import spoke_runner
from hub.config import PROJECT_ROOT
from spoke_runner.sandbox import SandboxUnavailable, command, delegated, launch, preflight
from spoke_runner.sandbox.spec import Delegation
from tests.integration.sandbox.spokes import APPS, workshop

USER = 1234
CONSOLE = ("con=null", "con0=null,fd:1")
INIT = """#!/bin/sh
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs tmp /run; mount -t cgroup2 cg /sys/fs/cgroup
ip link set lo up 2>/dev/null
{opened}
mkdir -m 1777 /run/tmp /run/sg; export TMPDIR=/run/tmp PATH=/usr/bin:/usr/sbin:/bin:/sbin
cp -r {runner} /run/sg/spoke_runner
sed -i 's/^    abi = version(minimum)$/    return 0/' /run/sg/spoke_runner/sandbox/inside/landlock.py
sed -i 's/^    if level == "none":$/    if level:/' /run/sg/spoke_runner/sandbox/inside/canaries.py
cd /sys/fs/cgroup; echo '+memory +pids' > cgroup.subtree_control
mkdir root user shared foreign; chown -R 1234 user
# Where the copy of the runner comes first.
cd /run/sg
trial() {{
    echo "@$1"
    sh -c 'echo 0 > "$0" && exec "$@"' /sys/fs/cgroup/$2/cgroup.procs $3 \
        env PYTHONPATH=/run/sg:{project} PYTHONDONTWRITEBYTECODE=1 {python} -m tests.integration.sandbox.cgroup_trial
}}
trial root root
trial user user 'setpriv --reuid 1234 --regid 1234 --clear-groups'
trial foreign foreign 'setpriv --reuid 1234 --regid 1234 --clear-groups'
sh -c 'echo 0 > /sys/fs/cgroup/shared/cgroup.procs && exec sleep 600' &
sleep 0.3
trial shared shared
echo @end
halt -f
"""


def opened() -> str:
    """Return the commands that let every user of that kernel walk to this project and its Python."""
    needed = sorted({PROJECT_ROOT, Path(sys.prefix), Path(sys.base_prefix).resolve()})
    covers = command.closed_directories(needed, USER)
    kept = [path for path in needed if any(cover in path.parents for cover in covers)]
    lines = [f"mkdir -p /run/keep/{number}; mount --bind {path} /run/keep/{number}" for number, path in enumerate(kept)]
    lines += [f"mount -t tmpfs -o mode=755 tmp {cover}" for cover in covers]
    lines += [f"mkdir -p {path}; mount --bind /run/keep/{number} {path}" for number, path in enumerate(kept)]
    return "\n".join(lines)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Boot, run the trials, and return what each printed."""
    kernel = shutil.which("linux.uml")
    if kernel is None:
        pytest.fail("linux.uml is not installed; on Debian: apt-get install user-mode-linux")
    init = tmp_path_factory.mktemp("uml") / "init"
    runner = Path(spoke_runner.__file__).parent
    init.write_text(INIT.format(opened=opened(), project=PROJECT_ROOT, runner=runner, python=sys.executable))
    init.chmod(0o755)
    done = subprocess.run(
        [kernel, "rootfstype=hostfs", "root=/dev/root", "ro", f"init={init}", "mem=1G", "quiet", *CONSOLE],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    said: dict[str, dict[str, Any]] = {}
    name = ""
    for line in done.stdout.splitlines():
        if line.startswith("@"):
            name = line[1:].strip()
        elif line.startswith("{"):
            said[name] = json.loads(line)
    assert set(said) == {"root", "user", "foreign", "shared"}, done.stdout
    return said


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("who", ["root", "user"])
def test_where_it_is_delegated_a_spoke_is_bounded_by_a_cgroup_of_its_own(
    found: dict[str, dict[str, Any]], who: str
) -> None:
    seen = found[who]

    assert seen["absent"] == []
    assert seen["the hub is in a leaf"]
    assert seen["cold: in force"]
    memory = (64 + 8 + 64) << 20
    assert seen["cold: detail"] == (f"memory.max={memory}, memory.swap.max=0, memory.oom.group=1, pids.max=48")
    assert seen["cold: all of its processes are inside"]
    # At this level no other limit stops either of the bombs.
    assert 30 < seen["cold: threads"]["count"] <= 48
    assert seen["cold: most processes at once"] <= 48
    assert seen["cold: a heap bomb ends it"] == 128 + 9
    assert "cold: heap" not in seen
    assert seen["cold: removed"]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_warm_spoke_and_its_holder_are_in_it_and_the_zygote_is_not(found: dict[str, dict[str, Any]]) -> None:
    seen = {name: value for name, value in found["root"].items() if name.startswith("warm")}

    assert seen == {
        "warm: in force": True,
        "warm: spoke and holder are inside": True,
        "warm: the zygote is not": True,
        "warm: it answers": {"text": "hello"},
        "warm: removed": True,
    }


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("who", ["root", "user"])
def test_nothing_is_left_of_it_nor_of_a_hub_that_was_killed(found: dict[str, dict[str, Any]], who: str) -> None:
    seen = found[who]

    assert seen["leftovers: killed and removed"] == [-9, False]
    assert seen["leftovers: those of a hub that lives stay"]
    assert seen["control: a process elsewhere is a breach"] == 1
    assert seen["control: another value is a breach"] == ["pids.max of the cgroup is max, not 48"]
    assert seen["nothing is left beside the hub"] == []
    assert seen["nothing is left at all"] == []
    assert seen["the hub is back"]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("where", "why"), [("foreign", "it is not delegated"), ("shared", "holds other processes than the hub's")]
)
def test_where_it_is_not_delegated_it_is_absent_and_the_mend_is_named(
    found: dict[str, dict[str, Any]], where: str, why: str
) -> None:
    said, mend = found[where]["absent"]

    assert why in said
    assert "Delegate=yes" in mend
    assert found[where]["the hub is back"]


def test_on_this_host_it_is_in_force_or_absent_with_a_reason_and_nothing_is_left() -> None:
    before = Path("/proc/self/cgroup").read_text()

    with delegated() as where:
        assert bool(where.path) != bool(where.why and where.mend)
    layer = preflight()[-1]

    assert (layer.name, layer.required) == ("cgroup", False)
    assert layer.in_force or (layer.detail.startswith("absent: ") and layer.mend)
    assert Path("/proc/self/cgroup").read_text() == before


async def test_a_cgroup_that_was_promised_and_cannot_be_made_refuses_the_start() -> None:
    with workshop() as shop:
        spec = shop.spec(APPS / "plain")
        gone = Delegation(shop.root / "nowhere", "/nowhere")

        with pytest.raises(SandboxUnavailable, match="cgroup"):
            await launch(replace(spec, cgroup=gone), entry="plain:app")


async def test_a_spoke_without_one_says_so_and_why() -> None:
    with workshop() as shop:
        spec = replace(shop.spec(APPS / "plain"), cgroup=Delegation(None, why="no reason", mend="none"))
        spoke = await launch(spec, entry="plain:app")
        await spoke.kill()

    assert (spoke.report.cgroup.in_force, spoke.report.cgroup.detail) == (False, "absent: no reason")
