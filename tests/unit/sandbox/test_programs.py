"""Which programs of the host an app may be given."""

import os
import stat
from pathlib import Path

import pytest

from spoke_runner.sandbox import HostProgram, SandboxSpec, SandboxUnavailable, find_host_programs
from spoke_runner.sandbox.host_programs import MAX_PROGRAMS, problem_with_path


def test_a_program_is_found_behind_its_links_with_what_loads_it() -> None:
    (shell,) = find_host_programs(["/bin/sh"])

    assert shell.path == Path("/bin/sh")
    assert shell.source == Path("/bin/sh").resolve()
    assert shell.loader is not None
    assert shell.loader.exists()
    assert shell.loader.name.startswith("ld-")


@pytest.mark.parametrize(
    "path",
    ["bin/sh", "./sh", "/usr/bin/../bin/sh", "//bin/sh", "/data/x", "/tmp/x", "/app/x", "/proc/1/exe"],
)
def test_a_path_that_is_not_plain_or_that_a_spoke_can_write_to_is_refused(path: str) -> None:
    assert problem_with_path(path)
    with pytest.raises(SandboxUnavailable, match="cannot be a program's path"):
        find_host_programs([path])


def test_a_spec_takes_no_program_where_a_spoke_can_write() -> None:
    program = HostProgram(path=Path("/data/x"), source=Path("/bin/sh"), loader=None)
    with pytest.raises(ValueError, match="not below"):
        SandboxSpec(app="x", app_dir=Path("/a"), data_dir=Path("/d"), socket_dir=Path("/s"), programs=(program,))


def test_more_programs_than_a_reviewer_reads_are_refused() -> None:
    shell = find_host_programs(["/bin/sh"]) * (MAX_PROGRAMS + 1)
    with pytest.raises(ValueError, match="are more than 16"):
        SandboxSpec(app="x", app_dir=Path("/a"), data_dir=Path("/d"), socket_dir=Path("/s"), programs=shell)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/usr/bin/there-is-none", "cannot be found"),
        ("/usr/bin", "no regular file"),
        ("/dev/null", "cannot be a program's path"),
        ("/etc/passwd", "read and execute"),
        ("/usr/bin/su", "changes the uid"),
        ("/usr/bin/ldd", "no 64-bit program"),
    ],
)
def test_what_is_no_program_or_too_much_of_one_is_refused(path: str, why: str) -> None:
    with pytest.raises(SandboxUnavailable, match=why) as caught:
        find_host_programs([path])

    assert path in str(caught.value)
    assert caught.value.mend


@pytest.mark.parametrize("what", ["file", "directory"])
def test_what_others_than_root_can_change_is_refused(what: str) -> None:
    directory = Path("/var/lib") / f"spokegate-test-{os.getpid()}" if os.geteuid() == 0 else Path.home()
    if os.geteuid() == 0:
        directory.mkdir()
    program = directory / f"program-{os.getpid()}"
    try:
        program.write_bytes(Path("/bin/sh").resolve().read_bytes())
        program.chmod(0o755)
        if os.geteuid() == 0:
            assert find_host_programs([program])[0].path == program
            (program if what == "file" else directory).chmod(0o757 | stat.S_IXUSR)
        with pytest.raises(SandboxUnavailable, match=r"others than root can change|cannot be a program's path"):
            find_host_programs([program])
    finally:
        program.unlink()
        if os.geteuid() == 0:
            directory.rmdir()
