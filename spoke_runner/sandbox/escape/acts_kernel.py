"""Acts on namespaces, mounts and the kernel's less usual doors."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import signal
import socket
import struct
import time

from spoke_runner.sandbox.escape.kit import LIBC, ROOT, World, act, checked, syscall

CLONE_NEWUSER = 0x1000_0000


@act()
def clone_new_user(world: World) -> None:
    pid = syscall("clone", CLONE_NEWUSER | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


@act()
def unshare_user(world: World) -> None:
    checked(LIBC.unshare(CLONE_NEWUSER))


@act(control=ROOT)
def unshare_mounts(world: World) -> None:
    checked(LIBC.unshare(0x0002_0000))


@act(control=ROOT)
def enter_namespace(world: World) -> None:
    syscall("setns", world["namespace"], 0)


@act(control=ROOT)
def mount_tmpfs(world: World) -> None:
    target = world["data"].encode()
    checked(LIBC.mount(b"none", target, b"tmpfs", ctypes.c_ulong(0), None))
    checked(LIBC.umount2(target, 0))


@act(control=ROOT)
def change_root(world: World) -> None:
    os.chroot(world["data"])


@act(control=ROOT)
def set_hostname(world: World) -> None:
    socket.sethostname(socket.gethostname())


@act()
def join_keyring(world: World) -> None:
    syscall("keyctl", 1, None)


@act()
def add_key(world: World) -> None:
    syscall("add_key", b"user", b"spokegate-test", b"x", 1, -1)


@act(control=ROOT)
def bpf_map(world: World) -> None:
    attributes = ctypes.create_string_buffer(struct.pack("IIII", 2, 4, 4, 1) + bytes(112))
    os.close(syscall("bpf", 0, attributes, 128))


@act(control="hosts differ in what they let users count")
def perf_event(world: World) -> None:
    # A software clock of the own process, without the kernel: what an ordinary user may count.
    attributes = ctypes.create_string_buffer(
        struct.pack("IIQ", 1, 112, 1) + bytes(24) + struct.pack("Q", 0b1100001) + bytes(64)
    )
    os.close(syscall("perf_event_open", attributes, 0, -1, -1, 0))


@act(control="hosts may switch it off")
def io_uring(world: World) -> None:
    os.close(syscall(425, 1, ctypes.create_string_buffer(120)))


@act(control="hosts may switch it off")
def userfaultfd(world: World) -> None:
    user_mode_only = 1
    os.close(syscall("userfaultfd", user_mode_only))


@act(control=ROOT)
def kernel_log(world: World) -> None:
    syscall("syslog", 10, None, 0)


@act(control="needs a terminal, which a test run has not")
def push_terminal_input(world: World) -> None:
    end = os.open("/dev/tty", os.O_RDWR) if not world["inside"] else 0
    checked(LIBC.ioctl(end, ctypes.c_ulong(0x5412), b"x"))


@act(control="needs a terminal, which a test run has not")
def push_terminal_input_with_high_bits(world: World) -> None:
    checked(LIBC.ioctl(0, ctypes.c_ulong(0x1_0000_5412), b"x"))


def run_code(code: bytes) -> None:
    page = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    if function() != os.getpid():
        raise OSError(errno.ENOSYS, "the kernel has no such entry")


@act(control="the kernel may have no such entry", ends_spoke=True, machine="x86_64")
def foreign_syscall(world: World) -> None:
    """Ask for the pid through the 32-bit entry."""
    run_code(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")


@act(control="the kernel may have no such entry", ends_spoke=True, machine="x86_64")
def x32_syscall(world: World) -> None:
    """Ask for the pid by its x32 number."""
    run_code(b"\xb8\x27\x00\x00\x40\x0f\x05\xc3")


@act()
def clone_new_user_by_the_newer_call(world: World) -> None:
    arguments = ctypes.create_string_buffer(struct.pack("8Q", CLONE_NEWUSER, 0, 0, 0, signal.SIGCHLD, 0, 0, 0))
    pid = syscall("clone3", arguments, 64)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


@act(control=ROOT)
def open_mount_tree(world: World) -> None:
    clone_it = 1
    os.close(syscall("open_tree", -100, b"/", clone_it))


@act(control=ROOT)
def open_file_system(world: World) -> None:
    os.close(syscall("fsopen", b"tmpfs", 0))


@act()
def make_descriptor_tables(world: World) -> None:
    """The other asynchronous interface, which a filter of file calls does not see."""
    context = ctypes.c_ulong(0)
    syscall("io_setup", 1, ctypes.byref(context))


@act(machine="x86_64")
def change_segments(world: World) -> None:
    syscall("modify_ldt", 0, ctypes.create_string_buffer(16), 16)


@act(control="would change the clock of the host")
def set_clock(world: World) -> None:
    time.clock_settime(time.CLOCK_REALTIME, time.time())


@act(control="would load code into the kernel")
def load_module(world: World) -> None:
    syscall("finit_module", 0, b"", 0)


@act(control="would restart the host")
def restart_host(world: World) -> None:
    checked(LIBC.reboot(0x0000_0000))


@act(control="not every kernel has it", machine="x86_64")
def port_access(world: World) -> None:
    checked(LIBC.ioperm(ctypes.c_ulong(0x80), ctypes.c_ulong(1), 1))
    checked(LIBC.ioperm(ctypes.c_ulong(0x80), ctypes.c_ulong(1), 0))


@act(control="a filter of one's own cannot be taken off again")
def load_own_filter(world: World) -> None:
    checked(LIBC.prctl(22, ctypes.c_ulong(2), ctypes.c_void_p(None), 0, 0))
