"""What the processes of a spoke hold in sum."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from spoke_runner.sandbox.memory import can_count, used_bytes

MEBIBYTE = 1 << 20
HOLDING = """
import os, sys
held = b"x" * (64 << 20)
for _ in range(int(sys.argv[1])):
    if os.fork() == 0:
        own = b"y" * (int(sys.argv[2]) << 20)
        os.write(1, b"ready\\n")
        sys.stdin.read()
        os._exit(0)
os.write(1, b"ready\\n")
sys.stdin.read()
"""


@contextmanager
def holding(children: int, own_mebibytes: int) -> Iterator[int]:
    """Start a process that holds 64 MiB, and children that share them and hold some of their own."""
    line = [sys.executable, "-c", HOLDING, str(children), str(own_mebibytes)]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(children + 1):
            assert process.stdout.readline() == b"ready\n"
        yield process.pid


@pytest.mark.parametrize(("children", "own", "least", "most"), [(0, 0, 64, 90), (4, 0, 64, 110), (4, 32, 192, 240)])
def test_what_processes_share_is_counted_once_and_what_each_holds_is_counted(
    children: int, own: int, least: int, most: int
) -> None:
    with holding(children, own) as pid:
        assert least * MEBIBYTE < used_bytes(pid) < most * MEBIBYTE


def test_a_process_that_has_ended_holds_nothing() -> None:
    ended = subprocess.Popen(["/bin/true"])
    ended.wait()

    assert used_bytes(ended.pid) == 0


def test_this_kernel_can_tell() -> None:
    assert can_count()
    assert used_bytes(os.getpid()) > MEBIBYTE
