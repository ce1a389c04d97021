"""Acts that only begin where programs can be executed: to run others, and to reach further by one that may be run."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from spoke_runner.sandbox.escape.kit import World, act, syscall

_AT_EMPTY_PATH = 0x1000
_SECONDS = 5


def run(*line: str) -> None:
    """Execute a program in a child, so that coming through is not the end of whoever tries."""
    ended = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False)
    if ended.returncode:
        raise OSError(errno.EACCES, ended.stderr.decode(errors="replace"))


def own_program(world: World) -> str:
    """Return a program that the app has written itself."""
    path = Path(world["data"], f"program-{os.getpid()}")
    path.write_text("#!/bin/sh\nexit 0\n")
    path.chmod(0o700)
    return str(path)


@act()
def execute_what_it_wrote(world: World) -> None:
    path = own_program(world)
    try:
        run(path)
    finally:
        os.unlink(path)


@act()
def execute_its_interpreter(world: World) -> None:
    run(str(Path(sys.executable).resolve()), "-I", "-S", "-c", "")


@act()
def execute_itself_by_proc(world: World) -> None:
    run("/proc/self/exe", "-I", "-S", "-c", "")


@act()
def execute_what_it_wrote_by_descriptor(world: World) -> None:
    """Without a path, for which `execve` has no way."""
    path = own_program(world)
    end = os.open(path, os.O_RDONLY)
    os.set_inheritable(end, True)  # a script is opened again by who interprets it
    try:
        syscall("execveat", end, b"", None, None, _AT_EMPTY_PATH)
    finally:
        os.close(end)
        os.unlink(path)


@act()
def execute_from_memory(world: World) -> None:
    end = os.memfd_create("program")
    try:
        os.write(end, b"#!/bin/sh\nexit 0\n")
        subprocess.run([f"/proc/self/fd/{end}"], pass_fds=(end,), timeout=_SECONDS, check=True)
    finally:
        os.close(end)


@act()
def execute_what_it_wrote_in_temporary_files(world: World) -> None:
    path = own_program({**world, "data": world["temporary"]})
    try:
        run(path)
    finally:
        os.unlink(path)


@act()
def execute_by_another_name(world: World) -> None:
    """Have a listed program's file under a name of its own."""
    path = world["data"] + f"/shell-{os.getpid()}"
    try:
        shutil.copy("/bin/sh", path)
        run(path, "-c", "exit 0")
    finally:
        Path(path).unlink(missing_ok=True)


@act()
def read_other_apps_data_by_a_program(world: World) -> None:
    run("/bin/sh", "-c", f"read line < '{world['other_data']}'; test \"$line\"")


@act()
def write_outside_by_a_program(world: World) -> None:
    run("/bin/sh", "-c", f"echo x > '{world['outside']}/planted'")


@act()
def read_other_apps_data_through_the_loader(world: World) -> None:
    """The loader of a listed program runs any file that can be read: code of one's own, in a process of one's own."""
    path = world["data"] + f"/shell-{os.getpid()}"
    try:
        shutil.copy("/bin/sh", path)
        run(world["loader"], path, "-c", f"read line < '{world['other_data']}'; test \"$line\"")
    finally:
        Path(path).unlink(missing_ok=True)


@act()
def signal_other_by_a_program(world: World) -> None:
    run("/bin/sh", "-c", f"kill -CONT {world['victim']}")


@act(control="would end the host")
def end_the_first_process(world: World) -> None:
    """Which everything inside would end with, and behind which there is nobody to reap."""
    os.kill(1, signal.SIGKILL)
    time.sleep(0.05)
    if os.getppid() == 1:
        raise OSError(errno.ESRCH, "what is the first here hears nothing from inside")
