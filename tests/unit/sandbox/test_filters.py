"""What the shipped filters answer, call by call, for every machine: the kernel's part is played by a model.

The numbers are those of the kernel's own tables, not libseccomp's, so a filter made with a wrong table is found out.
"""

from pathlib import Path

import pytest

import spoke_runner.sandbox.seccomp
from tests.unit.sandbox.kernel_model import ALLOW, ENOSYS, EPERM, KILL_PROCESS, answer

SHIPPED = Path(spoke_runner.sandbox.seccomp.__file__).parent
MACHINES = ("x86_64", "aarch64")
PROFILES = ("plain", "no-userns", "egress", "programs", "egress-programs")
NUMBERS = {
    "x86_64": {
        "read": 0, "mmap": 9, "ioctl": 16, "socket": 41, "connect": 42, "sendmsg": 46, "bind": 49, "socketpair": 53,
        "setsockopt": 54, "clone": 56, "fork": 57, "vfork": 58, "execve": 59, "wait4": 61, "kill": 62, "fcntl": 72,
        "fchmod": 91, "ptrace": 101, "setpgid": 109, "setsid": 112, "prctl": 157, "mount": 165, "tkill": 200,
        "io_setup": 206, "waitid": 247, "keyctl": 250, "openat": 257, "unshare": 272, "splice": 275, "accept4": 288,
        "pipe2": 293, "dup3": 292, "perf_event_open": 298, "setns": 308, "process_vm_readv": 310, "memfd_create": 319,
        "bpf": 321, "execveat": 322, "userfaultfd": 323, "pidfd_send_signal": 424, "io_uring_setup": 425,
        "pidfd_open": 434, "clone3": 435, "pidfd_getfd": 438,
    },
    "aarch64": {
        "io_setup": 0, "dup3": 24, "fcntl": 25, "ioctl": 29, "mount": 40, "fchmod": 52, "openat": 56, "pipe2": 59,
        "read": 63, "splice": 76, "waitid": 95, "unshare": 97, "ptrace": 117, "kill": 129, "tkill": 130, "setpgid": 154,
        "setsid": 157, "prctl": 167, "socket": 198, "socketpair": 199, "bind": 200, "connect": 203, "setsockopt": 208,
        "sendmsg": 211, "keyctl": 219, "clone": 220, "execve": 221, "mmap": 222, "perf_event_open": 241, "accept4": 242,
        "wait4": 260, "setns": 268, "process_vm_readv": 270, "memfd_create": 279, "bpf": 280, "execveat": 281,
        "userfaultfd": 282, "pidfd_send_signal": 424, "io_uring_setup": 425, "pidfd_open": 434, "clone3": 435,
        "pidfd_getfd": 438,
    },
}  # fmt: skip
AF_UNIX, AF_INET, AF_INET6, STREAM, DGRAM, RAW, SEQPACKET = 1, 2, 10, 1, 2, 3, 5
CLOEXEC, NONBLOCK, SIGCHLD = 0x80000, 0x800, 17
THREAD = 0x3D0F00  # what a C library asks `clone` for when it starts a thread
NAMESPACES = (0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000)
SHARED, ANONYMOUS, GARBAGE = 1, 0x20, 0xDEAD_BEEF << 32

with_machines = pytest.mark.parametrize("machine", MACHINES)
with_profiles = pytest.mark.parametrize("profile", PROFILES)


def ask(profile: str, machine: str, call: str, *arguments: int) -> int:
    program = (SHIPPED / f"{profile}-{machine}.bpf").read_bytes()
    return answer(program, machine, NUMBERS[machine][call], *arguments)


@with_machines
@with_profiles
def test_the_calls_that_lead_out_are_refused_by_every_filter(profile: str, machine: str) -> None:
    for call in (
        *("ptrace", "mount", "unshare", "setns", "keyctl", "bpf", "perf_event_open", "userfaultfd", "memfd_create"),
        *("io_uring_setup", "io_setup", "process_vm_readv", "execveat", "pidfd_open", "pidfd_getfd", "tkill", "splice"),
        "pidfd_send_signal",
    ):
        assert ask(profile, machine, call) == EPERM, call
    assert ask(profile, machine, "clone3") == ENOSYS
    assert ask(profile, machine, "mmap", 0, 4096, 3, SHARED | ANONYMOUS) == EPERM
    for bit in NAMESPACES:
        assert ask(profile, machine, "clone", bit | SIGCHLD) == EPERM
        assert ask(profile, machine, "clone", bit | THREAD) == EPERM


@with_machines
@with_profiles
def test_what_an_app_needs_is_allowed_by_every_filter(profile: str, machine: str) -> None:
    for call in ("read", "openat", "wait4", "waitid", "pipe2", "dup3", "sendmsg", "accept4", "bind"):
        assert ask(profile, machine, call) == ALLOW, call
    assert ask(profile, machine, "clone", THREAD) == ALLOW
    assert ask(profile, machine, "mmap", 0, 4096, 3, 2 | ANONYMOUS) == ALLOW
    assert ask(profile, machine, "socket", AF_UNIX, STREAM | CLOEXEC | NONBLOCK) == ALLOW
    assert ask(profile, machine, "setsockopt", 3, 1, 9) == ALLOW


@with_machines
@with_profiles
def test_a_foreign_architecture_ends_the_process(profile: str, machine: str) -> None:
    program = (SHIPPED / f"{profile}-{machine}.bpf").read_bytes()
    foreign = {"x86_64": ("i386", "aarch64", "arm"), "aarch64": ("arm", "x86_64")}[machine]

    assert [answer(program, other, 20) for other in foreign] == [KILL_PROCESS] * len(foreign)
    if machine == "x86_64":  # the other way of calling 64-bit code, which shares the architecture's name
        assert answer(program, machine, 0x4000_0000 | 39) != ALLOW


@with_machines
@with_profiles
def test_only_a_filter_with_egress_knows_sockets_of_the_internet_and_of_them_only_tcp(
    profile: str, machine: str
) -> None:
    tcp = ALLOW if profile.startswith("egress") else EPERM
    for family in (AF_INET, AF_INET6):
        assert ask(profile, machine, "socket", family, STREAM | CLOEXEC) == tcp
        assert ask(profile, machine, "socket", family, STREAM | NONBLOCK, 6) == tcp
        for kind in (DGRAM, RAW, SEQPACKET, 6, 10):
            assert ask(profile, machine, "socket", family, kind | CLOEXEC) == EPERM
        for protocol in (132, 256, 262):  # SCTP, SMC, MPTCP
            assert ask(profile, machine, "socket", family, STREAM, protocol) == EPERM
            assert ask(profile, machine, "socket", family, STREAM, GARBAGE | protocol) == EPERM
    for family in (0, 3, 16, 17, 31, 38, 40, 43, 44, 45):  # netlink, packets, bluetooth, crypto, vsock, SMC, XDP…
        assert ask(profile, machine, "socket", family, STREAM) == EPERM
    assert ask(profile, machine, "socket", 46, STREAM) != ALLOW
    assert ask(profile, machine, "socket", AF_UNIX, DGRAM) == EPERM
    assert ask(profile, machine, "socketpair", AF_INET, STREAM) == EPERM
    assert ask(profile, machine, "connect") == tcp


@with_machines
@pytest.mark.parametrize("profile", ["egress", "egress-programs"])
def test_with_egress_no_option_puts_another_protocol_onto_a_connection(profile: str, machine: str) -> None:
    assert ask(profile, machine, "setsockopt", 3, 6, 1) == ALLOW
    assert ask(profile, machine, "setsockopt", 3, 6, 31) == EPERM
    assert ask(profile, machine, "setsockopt", 3, GARBAGE | 6, GARBAGE | 31) == EPERM
    assert ask(profile, machine, "setsockopt", 3, 0, 64) == ENOSYS


@with_machines
@with_profiles
def test_only_a_filter_with_programs_knows_children(profile: str, machine: str) -> None:
    with_programs = profile.endswith("programs")
    for call in ("execve", "kill"):
        assert ask(profile, machine, call) == (ALLOW if with_programs else EPERM)
    for call in ("setpgid", "setsid"):
        assert ask(profile, machine, call) == (ALLOW if with_programs else ENOSYS)
    assert ask(profile, machine, "clone", SIGCHLD) == (ALLOW if with_programs else EPERM)
    if machine == "x86_64":
        for call in ("fork", "vfork"):
            assert ask(profile, machine, call) == (ALLOW if with_programs else EPERM)


@with_machines
@with_profiles
def test_only_without_namespaces_modes_cannot_be_changed(profile: str, machine: str) -> None:
    assert ask(profile, machine, "fchmod") == (EPERM if profile == "no-userns" else ALLOW)


def test_the_model_finds_out_a_filter_that_allows_everything() -> None:
    allow_all = b"\x06\x00\x00\x00" + ALLOW.to_bytes(4, "little")

    assert answer(allow_all, "aarch64", NUMBERS["aarch64"]["ptrace"]) == ALLOW
