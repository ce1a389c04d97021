"""Acts that use up what there is: memory, threads, descriptors, the disk, the log."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

from spoke_runner.sandbox.escape.kit import LIBC, World, act, checked, syscall

MEBIBYTE = 1 << 20


@act()
def memory_file(world: World) -> None:
    os.close(os.memfd_create("x"))


@act()
def shared_anonymous_memory(world: World) -> None:
    mmap.mmap(-1, 4096).close()


@act()
def shared_zero_device(world: World) -> None:
    end = os.open("/dev/zero", os.O_RDWR)
    mmap.mmap(end, 4096).close()


@act()
def system_v_memory(world: World) -> None:
    number = checked(LIBC.shmget(0, ctypes.c_size_t(4096), 0o1600))
    checked(LIBC.shmctl(number, 0, None))


@act(control="not every kernel has it")
def secret_memory(world: World) -> None:
    os.close(syscall("memfd_secret", 0))


@act()
def system_v_queue(world: World) -> None:
    number = checked(LIBC.msgget(0, 0o1600))
    checked(LIBC.msgctl(number, 0, None))


@act()
def system_v_semaphore(world: World) -> None:
    number = checked(LIBC.semget(0, 1, 0o1600))
    checked(LIBC.semctl(number, 0, 0))


@act()
def posix_queue(world: World) -> None:
    # landlock refuses to open it when it is made already, and a queue counts against its user until it is unlinked. So
    # it is, whatever happened; and all runs of a user have one name for it, so the next mends what the last has left.
    name = f"spokegate-{os.getuid()}".encode()
    try:
        os.close(syscall("mq_open", name, os.O_CREAT | os.O_RDWR, 0o600, None))
    finally:
        with suppress(OSError):
            syscall("mq_unlink", name)


@act()
def shared_memory_file(world: World) -> None:
    path = f"/dev/shm/spokegate-{os.getpid()}"
    Path(path).write_bytes(b"x")
    Path(path).unlink()


@act()
def lock_memory(world: World) -> None:
    with mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as page:
        address = ctypes.addressof(ctypes.c_char.from_buffer(page))
        checked(LIBC.mlock(ctypes.c_void_p(address), ctypes.c_size_t(4096)))


@act(bomb=True)
def heap_bomb(world: World) -> None:
    held = [bytearray(os.urandom(1) * MEBIBYTE) for _ in range(world["bomb"]["memory_mib"])]
    held.clear()


@act(bomb=True)
def map_bomb(world: World) -> None:
    pages = []
    try:
        for _ in range(world["bomb"]["memory_mib"]):
            pages.append(mmap.mmap(-1, MEBIBYTE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
    finally:
        for page in pages:
            page.close()


@act(bomb=True)
def thread_bomb(world: World) -> None:
    stop = threading.Event()
    started: list[threading.Thread] = []
    try:
        for _ in range(world["bomb"]["threads"]):
            thread = threading.Thread(target=stop.wait)
            thread.start()
            started.append(thread)
    finally:
        stop.set()
        for thread in started:
            thread.join()


def _child() -> int:
    """Fork past the libraries, of which gRPC would wait for its threads first."""
    return syscall("clone", int(signal.SIGCHLD), 0, 0, 0, 0)


@act(bomb=True)
def process_bomb(world: World) -> None:
    children: list[int] = []
    try:
        for _ in range(world["bomb"]["threads"]):
            pid = _child()
            if pid == 0:
                os._exit(0)
            children.append(pid)
    finally:
        for pid in children:
            os.waitpid(pid, 0)


@act(bomb=True)
def descriptor_bomb(world: World) -> None:
    opened: list[int] = []
    try:
        opened.extend(os.open("/dev/null", os.O_RDONLY) for _ in range(world["bomb"]["descriptors"]))
        for _ in range(world["bomb"]["descriptors"]):
            opened.append(os.open("/dev/null", os.O_RDONLY))
    finally:
        for number in opened:
            os.close(number)


@act(bomb=True)
def pipe_bomb(world: World) -> None:
    """Fill pipes, which no limit on memory counts."""
    ends: list[int] = []
    try:
        for _ in range(world["bomb"]["descriptors"]):
            ends += os.pipe()
            os.set_blocking(ends[-1], False)
            os.write(ends[-1], bytes(65536))
    finally:
        for number in ends:
            os.close(number)


@act()
def enlarge_pipe(world: World) -> None:
    first, second = os.pipe()
    try:
        fcntl.fcntl(second, 1031, MEBIBYTE)
    finally:
        os.close(first)
        os.close(second)


@act(bomb=True)
def file_bomb(world: World) -> None:
    path = Path(world["data"], "bomb")
    try:
        with path.open("wb", buffering=0) as file:
            for _ in range(world["bomb"]["file_mib"]):
                file.write(bytes(MEBIBYTE))
    finally:
        path.unlink()


@act(bomb=True)
def temporary_bomb(world: World) -> None:
    """Fill what is meant for temporary files, in sum."""
    made: list[Path] = []
    try:
        for number in range(world["bomb"]["temporary_mib"]):
            made.append(Path(world["temporary"], f"bomb-{number}"))
            made[-1].write_bytes(bytes(MEBIBYTE))
    finally:
        for path in made:
            path.unlink(missing_ok=True)


@act(bomb=True)
def log_bomb(world: World) -> None:
    """Write as fast as the hub takes it; what it keeps must stay bounded."""
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        os.write(world["log_fd"], b"x" * 65536 + b"\n")
    if world["inside"]:
        raise OSError(errno.EAGAIN, "the hub slows it down; what it keeps is looked at from outside")


@act(bomb=True, ends_spoke=True)
def disk_bomb(world: World) -> None:
    """Fill the data directory, file by file, each of them small enough."""
    made: list[Path] = []
    try:
        for number in range(world["bomb"]["disk_mib"]):
            made.append(Path(world["data"], f"fill-{number}"))
            made[-1].write_bytes(bytes(MEBIBYTE))
            time.sleep(0.002)
    finally:
        for path in made:
            path.unlink(missing_ok=True)


@act(bomb=True, ends_spoke=True)
def entry_bomb(world: World) -> None:
    """Fill it with empty files, of which none takes up a block."""
    made: list[Path] = []
    try:
        for number in range(world["bomb"]["entries"]):
            made.append(Path(world["data"], f"entry-{number}"))
            made[-1].touch()
        time.sleep(1.0 if world["inside"] else 0.0)
    finally:
        for path in made:
            path.unlink(missing_ok=True)


@act(bomb=True, ends_spoke=True)
def memory_bomb_by_children(world: World) -> None:
    """Hold in sum what no process may hold alone, each of them within its limit."""
    children: list[int] = []
    try:
        for _ in range(world["bomb"]["children"]):
            pid = _child()
            if pid == 0:
                with mmap.mmap(
                    -1, world["bomb"]["child_mib"] * MEBIBYTE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
                ) as held:
                    for offset in range(0, len(held), mmap.PAGESIZE):
                        held[offset] = 1
                    time.sleep(3.0 if world["inside"] else 0.0)
                os._exit(0)
            children.append(pid)
    finally:
        for pid in children:
            os.waitpid(pid, 0)
