"""Hostile acts, each a function that raises OSError when it is stopped and returns when it came through.

The same code runs inside a spoke and, as the control, in a plain process: `python acts.py NAME WORLD_JSON`.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import platform
import resource
import signal
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

World = dict[str, Any]
LIBC = ctypes.CDLL(None, use_errno=True)
ACTS: dict[str, Callable[[World], object]] = {}

SYSCALLS = {
    "x86_64": {
        "clone": 56,
        "bpf": 321,
        "perf_event_open": 298,
        "userfaultfd": 323,
        "keyctl": 250,
        "add_key": 248,
        "setns": 308,
        "process_vm_readv": 310,
        "name_to_handle_at": 303,
        "syslog": 103,
    },
}
CLONE_NEWUSER = 0x1000_0000
AF_VSOCK, AF_NETLINK, AF_PACKET = 40, 16, 17


def act(function: Callable[[World], object]) -> Callable[[World], object]:
    ACTS[function.__name__] = function
    return function


def checked(result: int) -> int:
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def syscall(name: str | int, *arguments: Any) -> int:
    number = SYSCALLS[platform.machine()][name] if isinstance(name, str) else name
    wide = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return checked(LIBC.syscall(ctypes.c_long(number), *wide))


def attempt(name: str, world: World) -> str:
    """Return `done`, or what stopped the act."""
    try:
        ACTS[name](world)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error.errno))
    except ImportError:
        return "ImportError"
    except ValueError as error:
        return "EPERM" if "not allowed" in str(error) else f"ValueError {error}"
    return "done"


def read(path: str) -> bytes:
    return Path(path).read_bytes()


# -- files ---------------------------------------------------------------------------------------------------------


@act
def read_passwd(world: World) -> None:
    read("/etc/passwd")


@act
def read_shadow(world: World) -> None:
    read("/etc/shadow")


@act
def read_other_apps_data(world: World) -> None:
    assert read(world["other_data"])


@act
def read_hub_database(world: World) -> None:
    assert read(world["database"])


@act
def read_hub_source(world: World) -> None:
    assert read(world["hub_source"])


@act
def import_hub(world: World) -> None:
    __import__("hub.errors")


@act
def list_root(world: World) -> None:
    list(Path("/").iterdir())


@act
def write_outside(world: World) -> None:
    Path(world["outside"], "planted").write_text("x")


@act
def change_own_code(world: World) -> None:
    Path(world["app"], "planted.py").write_text("x")


@act
def plant_link_for_the_hub(world: World) -> None:
    Path(world["data"], "link").symlink_to("/etc/shadow")


@act
def plant_fifo_for_the_hub(world: World) -> None:
    os.mkfifo(world["data"] + "/fifo")


@act
def plant_link_in_socket_directory(world: World) -> None:
    Path(world["sockets"], "link").symlink_to("/etc/shadow")


@act
def make_device(world: World) -> None:
    os.mknod(world["data"] + "/disk", 0o600 | 0o060000, os.makedev(7, 0))


@act
def file_handle(world: World) -> None:
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128))
    mount_id = ctypes.c_int()
    syscall("name_to_handle_at", -100, b"/", handle, ctypes.byref(mount_id), 0)


# -- processes -----------------------------------------------------------------------------------------------------


@act
def read_proc_of_other(world: World) -> None:
    assert read(f"/proc/{world['victim']}/status")


@act
def read_own_mounts(world: World) -> None:
    assert read("/proc/self/mountinfo")


@act
def read_kernel_version(world: World) -> None:
    assert read("/proc/version")


@act
def write_proc_sys(world: World) -> None:
    os.close(os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY))


@act
def kill_other(world: World) -> None:
    os.kill(world["victim"], signal.SIGCONT)


@act
def kill_everybody(world: World) -> None:
    os.kill(-1, signal.SIGCONT)


@act
def ptrace_other(world: World) -> None:
    attach, detach = 16, 17
    checked(LIBC.ptrace(ctypes.c_long(attach), world["victim"], None, None))
    os.waitpid(world["victim"], 0x4000_0000)
    checked(LIBC.ptrace(ctypes.c_long(detach), world["victim"], None, None))


@act
def read_memory_of_other(world: World) -> None:
    own = ctypes.create_string_buffer(8)
    vector = (ctypes.c_size_t * 2)(ctypes.addressof(own), 8)
    # Inside, the filter answers before the kernel looks at the address.
    address = 4096
    if not world["inside"]:
        address = int(Path(f"/proc/{world['victim']}/maps").read_text().split("-")[0], 16)
    far = (ctypes.c_size_t * 2)(address, 8)
    syscall("process_vm_readv", world["victim"], vector, 1, far, 1, 0)


@act
def pidfd_of_other(world: World) -> None:
    os.close(os.pidfd_open(world["victim"]))


@act
def fork(world: World) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


@act
def execute(world: World) -> None:
    os.execv(sys.executable, [sys.executable, "-c", "pass"])  # noqa: S606


@act
def execute_setuid(world: World) -> None:
    os.execv(world["setuid"], [world["setuid"], "--version"])  # noqa: S606


@act
def outlive_the_hub(world: World) -> None:
    checked(LIBC.prctl(1, ctypes.c_ulong(0), 0, 0, 0))


@act
def raise_limits(world: World) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, resource.getrlimit(resource.RLIMIT_NOFILE))


@act
def change_personality(world: World) -> None:
    checked(LIBC.personality(ctypes.c_ulong(0x0040000)))


# -- namespaces and mounts -----------------------------------------------------------------------------------------


@act
def clone_new_user(world: World) -> None:
    pid = syscall("clone", CLONE_NEWUSER | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


@act
def unshare_user(world: World) -> None:
    checked(LIBC.unshare(CLONE_NEWUSER))


@act
def unshare_mounts(world: World) -> None:
    checked(LIBC.unshare(0x0002_0000))


@act
def enter_namespace(world: World) -> None:
    syscall("setns", world["namespace"], 0)


@act
def mount_tmpfs(world: World) -> None:
    target = world["data"].encode()
    checked(LIBC.mount(b"none", target, b"tmpfs", ctypes.c_ulong(0), None))
    checked(LIBC.umount2(target, 0))


@act
def change_root(world: World) -> None:
    os.chroot(world["data"])


@act
def set_hostname(world: World) -> None:
    socket.sethostname(socket.gethostname())


# -- network -------------------------------------------------------------------------------------------------------


@act
def connect_tcp(world: World) -> None:
    socket.create_connection(("127.0.0.1", world["tcp"]), timeout=2).close()


@act
def send_udp(world: World) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.sendto(b"x", ("127.0.0.1", world["udp"]))


@act
def connect_unix(world: World) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        end.connect(world["unix"])


@act
def connect_abstract(world: World) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        end.connect("\0" + world["abstract"])


@act
def send_unix_datagram(world: World) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.sendto(b"x", world["unix_datagram"])


@act
def send_datagram_by_socketpair(world: World) -> None:
    first, second = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with first, second:
        first.sendto(b"x", world["unix_datagram"])


@act
def socket_with_high_bits(world: World) -> None:
    number = {"x86_64": 41}[platform.machine()]
    os.close(syscall(number, socket.AF_INET | (1 << 40), socket.SOCK_STREAM, 0))


@act
def raw_socket(world: World) -> None:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()


@act
def packet_socket(world: World) -> None:
    socket.socket(AF_PACKET, socket.SOCK_RAW).close()


@act
def netlink_socket(world: World) -> None:
    socket.socket(AF_NETLINK, socket.SOCK_RAW).close()


@act
def vsock_socket(world: World) -> None:
    socket.socket(AF_VSOCK, socket.SOCK_STREAM).close()


# -- the kernel ----------------------------------------------------------------------------------------------------


@act
def join_keyring(world: World) -> None:
    syscall("keyctl", 1, None)


@act
def add_key(world: World) -> None:
    syscall("add_key", b"user", b"spokegate-test", b"x", 1, -1)


@act
def bpf_map(world: World) -> None:
    attributes = ctypes.create_string_buffer(struct.pack("IIII", 2, 4, 4, 1) + bytes(112))
    os.close(syscall("bpf", 0, attributes, 128))


@act
def perf_event(world: World) -> None:
    # A software clock of the own process, without the kernel: what an ordinary user may count.
    attributes = ctypes.create_string_buffer(
        struct.pack("IIQ", 1, 112, 1) + bytes(24) + struct.pack("Q", 0b1100001) + bytes(64)
    )
    os.close(syscall("perf_event_open", attributes, 0, -1, -1, 0))


@act
def io_uring(world: World) -> None:
    os.close(syscall(425, 1, ctypes.create_string_buffer(120)))


@act
def userfaultfd(world: World) -> None:
    user_mode_only = 1
    os.close(syscall("userfaultfd", user_mode_only))


@act
def kernel_log(world: World) -> None:
    syscall("syslog", 10, None, 0)


@act
def push_terminal_input(world: World) -> None:
    end = os.open("/dev/tty", os.O_RDWR) if not world["inside"] else 0
    checked(LIBC.ioctl(end, ctypes.c_ulong(0x5412), b"x"))


@act
def push_terminal_input_with_high_bits(world: World) -> None:
    checked(LIBC.ioctl(0, ctypes.c_ulong(0x1_0000_5412), b"x"))


# -- memory that no limit counts -----------------------------------------------------------------------------------


@act
def memory_file(world: World) -> None:
    os.close(os.memfd_create("x"))


@act
def shared_anonymous_memory(world: World) -> None:
    mmap.mmap(-1, 4096).close()


@act
def shared_zero_device(world: World) -> None:
    end = os.open("/dev/zero", os.O_RDWR)
    mmap.mmap(end, 4096).close()


@act
def system_v_memory(world: World) -> None:
    number = checked(LIBC.shmget(0, ctypes.c_size_t(4096), 0o1600))
    checked(LIBC.shmctl(number, 0, None))


# -- what was left lying about -------------------------------------------------------------------------------------


@act
def read_secret_in_environment(world: World) -> None:
    if "SPOKEGATE_TEST_SECRET" not in os.environ:
        raise OSError(errno.ENOENT, "not set")


@act
def read_environment_in_proc(world: World) -> None:
    assert b"SPOKEGATE_TEST_SECRET" in read("/proc/self/environ")


@act
def use_inherited_descriptor(world: World) -> None:
    if os.fstat(world["descriptor"]).st_ino != world["database_inode"]:
        raise OSError(errno.EBADF, "the number is another file's")


# -- foreign architectures: these end a spoke, so they are tried one by one -----------------------------------------


def run_code(code: bytes) -> None:
    page = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    if function() != os.getpid():
        raise OSError(errno.ENOSYS, "the kernel has no such entry")


@act
def foreign_syscall(world: World) -> None:
    """Ask for the pid through the 32-bit entry."""
    run_code(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")


@act
def x32_syscall(world: World) -> None:
    """Ask for the pid by its x32 number."""
    run_code(b"\xb8\x27\x00\x00\x40\x0f\x05\xc3")


def main() -> None:
    print(attempt(sys.argv[1], json.loads(sys.argv[2])))


if __name__ == "__main__":
    main()
