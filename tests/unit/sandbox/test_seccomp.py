"""The seccomp filters that ship."""

import ctypes.util
from collections import defaultdict
from pathlib import Path

import pytest

import spoke_runner.sandbox.seccomp
from spoke_runner.sandbox.seccomp.rules import ALLOWED, FORBIDDEN, Rule

SHIPPED = Path(spoke_runner.sandbox.seccomp.__file__).parent


def test_each_shipped_filter_is_what_the_rules_generate() -> None:
    if ctypes.util.find_library("seccomp") is None:
        pytest.fail("libseccomp is not installed; on Debian and Ubuntu: apt-get install libseccomp2")
    from spoke_runner.sandbox.seccomp.generate import FILTERS, generate

    assert {path.name for path in SHIPPED.glob("*.bpf")} == {f"plain-{machine}.bpf" for machine in FILTERS}
    for machine in FILTERS:
        assert generate(machine) == (SHIPPED / f"plain-{machine}.bpf").read_bytes(), (
            f"plain-{machine}.bpf is not current (made with libseccomp 2.5): "
            "run `python -m spoke_runner.sandbox.seccomp.generate`"
        )


def test_no_syscall_is_both_allowed_and_forbidden_without_a_condition() -> None:
    seen: dict[str, set[str]] = defaultdict(set)
    for kind, rules in (("allowed", ALLOWED), ("forbidden", FORBIDDEN)):
        for rule in rules:
            seen[rule.syscall].add(kind)
            assert Rule(rule.syscall) not in (set(rules) - {rule}), f"{rule.syscall} stands there twice"

    both = {name for name, kinds in seen.items() if len(kinds) == 2}
    assert both == {"clone", "ioctl", "mmap", "prctl", "prlimit64", "socket", "socketpair"}


def test_the_calls_that_lead_out_of_a_sandbox_are_forbidden_by_name() -> None:
    named = {rule.syscall for rule in FORBIDDEN if not rule.conditions}

    assert named >= {"connect", "ptrace", "keyctl", "bpf", "io_uring_setup", "execve", "setns", "unshare", "mount"}
    assert named >= {"perf_event_open", "userfaultfd", "memfd_create", "kill", "tkill", "fork", "vfork", "execveat"}
