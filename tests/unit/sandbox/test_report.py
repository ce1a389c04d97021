"""When a report has breaches."""

from dataclasses import replace
from typing import Any

import pytest

from spoke_runner.sandbox import Canary, CanaryFailed, Outside, SandboxReport
from spoke_runner.sandbox.report import judge

GOOD = Outside(
    seccomp=2,
    no_new_privs=1,
    capabilities={"CapEff": 0, "CapBnd": 0},
    uids=(58001,) * 4,
    gids=(58001,) * 4,
    shared_namespaces=(),
)
CANARY = Canary(name="fork", expected=("EPERM",), answer="EPERM")


def judged(outside: Outside = GOOD, canaries: tuple[Canary, ...] = (CANARY,)) -> SandboxReport:
    return judge(landlock_abi=7, canaries=canaries, required=("fork",), outside=outside, uid=58001, gid=58001)


def test_a_spoke_that_is_walled_in_as_it_should_be_has_no_breaches() -> None:
    assert judged().breaches == ()


@pytest.mark.parametrize(
    ("change", "breach"),
    [
        ({"seccomp": 0}, "Seccomp is 0, not 2 (filter)"),
        ({"no_new_privs": 0}, "NoNewPrivs is not set"),
        ({"capabilities": {"CapEff": 0, "CapBnd": 1 << 21}}, "CapBnd is 0x200000, not 0"),
        ({"uids": (58001, 0, 58001, 58001)}, "the uids are (58001, 0, 58001, 58001), not 58001"),
        ({"uids": (58002,) * 4}, "the uids are (58002, 58002, 58002, 58002), not 58001"),
        ({"gids": (0,) * 4}, "the gids are (0, 0, 0, 0), not 58001"),
        ({"shared_namespaces": ("net",)}, "the net namespace is the hub's own"),
        ({"strange_namespaces": ("net",)}, "the net namespace is not the one made for it"),
    ],
)
def test_each_fact_seen_from_outside_is_a_breach_when_it_is_wrong(change: dict[str, Any], breach: str) -> None:
    assert judged(replace(GOOD, **change)).breaches == (breach,)


def test_a_canary_that_came_through_is_a_breach() -> None:
    report = judged(canaries=(Canary("fork", ("EPERM",), "done"),))

    assert report.breaches == ("canary fork: answered done, not EPERM",)
    assert "canary fork" in str(CanaryFailed(report))


@pytest.mark.parametrize("canaries", [(), (CANARY, CANARY), (replace(CANARY, name="other"),)])
def test_canaries_that_are_missing_or_unknown_are_a_breach(canaries: tuple[Canary, ...]) -> None:
    assert judged(canaries=canaries).breaches == ("the canaries that reported are not those that were sent",)
