"""The seccomp filters that ship."""

import ctypes.util
import itertools
from collections import defaultdict
from pathlib import Path

import pytest

import spoke_runner.sandbox.seccomp
from spoke_runner.sandbox.seccomp.profiles import ABSENT, PROFILES
from spoke_runner.sandbox.seccomp.rules import ALLOWED, FORBIDDEN, Rule

SHIPPED = Path(spoke_runner.sandbox.seccomp.__file__).parent


def test_each_shipped_filter_is_what_the_rules_generate() -> None:
    if ctypes.util.find_library("seccomp") is None:
        pytest.fail("libseccomp is not installed; on Debian and Ubuntu: apt-get install libseccomp2")
    from spoke_runner.sandbox.seccomp.generate import FILTERS, generate

    assert {path.name for path in SHIPPED.glob("*.bpf")} == {
        f"{profile}-{machine}.bpf" for profile in PROFILES for machine in FILTERS
    }
    for profile, machine in itertools.product(PROFILES, FILTERS):
        assert generate(profile, machine) == (SHIPPED / f"{profile}-{machine}.bpf").read_bytes(), (
            f"{profile}-{machine}.bpf is not current (made with libseccomp 2.5): "
            "run `python -m spoke_runner.sandbox.seccomp.generate`"
        )


@pytest.mark.parametrize("profile", PROFILES)
def test_no_syscall_is_both_allowed_and_forbidden_without_a_condition(profile: str) -> None:
    seen: dict[str, set[str]] = defaultdict(set)
    for kind, rules in zip(("allowed", "forbidden"), PROFILES[profile], strict=True):
        for rule in rules:
            seen[rule.syscall].add(kind)
            assert Rule(rule.syscall) not in (set(rules) - {rule}), f"{rule.syscall} stands there twice"

    both = {name for name, kinds in seen.items() if len(kinds) == 2}
    conditional = {"clone", "fcntl", "ioctl", "mmap", "prctl", "prlimit64", "socket", "socketpair"}
    assert both == conditional | ({"setsockopt"} if profile.startswith("egress") else set())


def test_what_a_machine_does_not_have_is_listed_and_part_of_some_profile() -> None:
    used = {rule.syscall for profile in PROFILES.values() for rules in profile for rule in rules}

    assert all(missing <= used for missing in ABSENT.values())


def test_the_calls_that_lead_out_of_a_sandbox_are_forbidden_by_name() -> None:
    named = {rule.syscall for rule in FORBIDDEN if not rule.conditions}

    assert named >= {"connect", "ptrace", "keyctl", "bpf", "io_uring_setup", "execve", "setns", "unshare", "mount"}
    assert named >= {"perf_event_open", "userfaultfd", "memfd_create", "kill", "tkill", "fork", "vfork", "execveat"}


@pytest.mark.parametrize(
    ("profile", "than"), [("command", "plain"), ("egress-command", "egress"), ("no-userns-command", "no-userns")]
)
def test_a_program_may_call_execve_and_nothing_else_beyond_what_an_app_may(profile: str, than: str) -> None:
    (allowed, forbidden), (less, more) = PROFILES[profile], PROFILES[than]

    assert set(allowed) - set(less) == {Rule("execve")} == set(more) - set(forbidden)
    assert set(less) < set(allowed)
    assert set(forbidden) < set(more)


def test_without_namespaces_no_call_changes_the_mode_or_the_times_of_a_file() -> None:
    allowed, forbidden = PROFILES["no-userns"]
    changing = {"chmod", "fchmod", "fchmodat", "utime", "utimes", "utimensat", "futimesat"}

    assert changing <= {rule.syscall for rule in forbidden}
    assert not changing & {rule.syscall for rule in allowed}
    assert {rule.syscall for rule in allowed} < {rule.syscall for rule in ALLOWED}
