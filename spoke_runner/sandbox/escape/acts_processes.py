"""Acts on other processes, and on what this one may become."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import resource
import signal
import socket
import struct
import sys
from pathlib import Path

from spoke_runner.sandbox.escape.kit import LIBC, ROOT, World, act, checked, read, syscall


@act()
def read_proc_of_other(world: World) -> None:
    assert read(f"/proc/{world['victim']}/status")


@act()
def read_own_mounts(world: World) -> None:
    assert read("/proc/self/mountinfo")


@act()
def read_kernel_version(world: World) -> None:
    assert read("/proc/version")


@act(control=ROOT)
def write_proc_sys(world: World) -> None:
    os.close(os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY))


@act()
def kill_other(world: World) -> None:
    os.kill(world["victim"], signal.SIGCONT)


@act(control="would signal every process of this user")
def kill_everybody(world: World) -> None:
    os.kill(-1, signal.SIGCONT)


@act()
def ptrace_other(world: World) -> None:
    attach, detach = 16, 17
    checked(LIBC.ptrace(ctypes.c_long(attach), world["victim"], None, None))
    os.waitpid(world["victim"], 0x4000_0000)
    checked(LIBC.ptrace(ctypes.c_long(detach), world["victim"], None, None))


@act()
def read_memory_of_other(world: World) -> None:
    own = ctypes.create_string_buffer(8)
    vector = (ctypes.c_size_t * 2)(ctypes.addressof(own), 8)
    # Inside, the filter answers before the kernel looks at the address.
    address = 4096
    if not world["inside"]:
        address = int(Path(f"/proc/{world['victim']}/maps").read_text().split("-")[0], 16)
    far = (ctypes.c_size_t * 2)(address, 8)
    syscall("process_vm_readv", world["victim"], vector, 1, far, 1, 0)


@act()
def pidfd_of_other(world: World) -> None:
    os.close(os.pidfd_open(world["victim"]))


@act(given=("programs",))
def fork(world: World) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


@act(given=("command",))
def execute(world: World) -> None:
    os.execv(sys.executable, [sys.executable, "-c", "pass"])


@act()
def execute_setuid(world: World) -> None:
    os.execv(world["setuid"], [world["setuid"], "--version"])


@act()
def outlive_the_hub(world: World) -> None:
    checked(LIBC.prctl(1, ctypes.c_ulong(0), 0, 0, 0))


@act()
def raise_limits(world: World) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, resource.getrlimit(resource.RLIMIT_NOFILE))


@act()
def change_personality(world: World) -> None:
    checked(LIBC.personality(ctypes.c_ulong(0x0040000)))


@act()
def list_processes(world: World) -> None:
    assert [name for name in os.listdir("/proc") if name.isdigit() and int(name) == world["victim"]]


@act()
def read_command_line_of_other(world: World) -> None:
    assert Path(f"/proc/{world['victim']}/cmdline").read_bytes()


@act()
def read_environment_of_other(world: World) -> None:
    assert Path(f"/proc/{world['victim']}/environ").read_bytes()


@act()
def open_memory_of_other(world: World) -> None:
    os.close(os.open(f"/proc/{world['victim']}/mem", os.O_RDWR))


@act()
def open_descriptor_of_other(world: World) -> None:
    os.close(os.open(f"/proc/{world['victim']}/fd/0", os.O_RDONLY))


@act()
def open_own_memory_file(world: World) -> None:
    """Write to memory that is mapped read-only."""
    os.close(os.open("/proc/self/mem", os.O_RDWR))


@act()
def make_itself_hard_to_kill(world: World) -> None:
    """Ask the kernel's out-of-memory killer to look elsewhere, as far as it lets one."""
    os.close(os.open("/proc/self/oom_score_adj", os.O_WRONLY))


@act()
def probe_for_process(world: World) -> None:
    """Learn whether a process exists from a call that names it and changes nothing."""
    os.getpgid(world["victim"])


@act()
def read_limits_of_other(world: World) -> None:
    resource.prlimit(world["victim"], resource.RLIMIT_NOFILE)


@act()
def read_scheduling_of_other(world: World) -> None:
    os.sched_getaffinity(world["victim"])


@act()
def change_priority_of_other(world: World) -> None:
    os.setpriority(os.PRIO_PROCESS, world["victim"], 1)


@act()
def pin_other(world: World) -> None:
    os.sched_setaffinity(world["victim"], os.sched_getaffinity(0))


@act()
def tgkill_other(world: World) -> None:
    syscall("tgkill", world["victim"], world["victim"], int(signal.SIGCONT))


@act()
def tkill_other(world: World) -> None:
    syscall("tkill", world["victim"], int(signal.SIGCONT))


@act()
def queue_signal_to_other(world: World) -> None:
    information = ctypes.create_string_buffer(struct.pack("iii", signal.SIGCONT, 0, -1) + bytes(116))
    syscall("rt_sigqueueinfo", world["victim"], int(signal.SIGCONT), information)


@act()
def signal_other_by_descriptor_owner(world: World) -> None:
    """Let the kernel send the signal: whoever owns a descriptor is told when there is something to read."""
    first, second = socket.socketpair()
    with first, second:
        fcntl.fcntl(first, fcntl.F_SETOWN, world["victim"])


@act()
def compare_with_other(world: World) -> None:
    same_memory = 1
    syscall("kcmp", os.getpid(), world["victim"], same_memory, 0, 0)


@act()
def take_descriptor_of_other(world: World) -> None:
    pidfd = os.pidfd_open(world["victim"])
    os.close(syscall("pidfd_getfd", pidfd, 0, 0))


@act(control=ROOT)
def advise_memory_of_other(world: World) -> None:
    pidfd, cold = os.pidfd_open(world["victim"]), 20
    address = int(Path(f"/proc/{world['victim']}/maps").read_text().split("-")[0], 16)
    syscall("process_madvise", pidfd, (ctypes.c_size_t * 2)(address, 4096), 1, cold, 0)


@act(control=ROOT)
def become_root(world: World) -> None:
    os.setresuid(0, 0, 0)


@act(given=("programs",))
def clone_process(world: World) -> None:
    pid = syscall("clone", int(signal.SIGCHLD), 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


@act()
def clone_process_by_its_newer_call(world: World) -> None:
    arguments = ctypes.create_string_buffer(struct.pack("8Q", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0))
    pid = syscall("clone3", arguments, 64)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


@act()
def allow_itself_to_be_traced(world: World) -> None:
    checked(LIBC.prctl(4, ctypes.c_ulong(1), 0, 0, 0))


@act()
def leave_a_core_dump(world: World) -> None:
    """Ask for what a dump may be: the memory of a spoke in a file."""
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        raise OSError(errno.EPERM, "the limit is zero")
