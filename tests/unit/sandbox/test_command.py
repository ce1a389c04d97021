"""The command lines of a spoke, compared whole."""

from dataclasses import replace
from pathlib import Path

import pytest

from spoke_runner.sandbox import HostProgram, Level, Limits, Mount, PythonRuntime, SandboxSpec
from spoke_runner.sandbox.command import Tools, argv, closed_directories, sources, unreadable
from spoke_runner.sandbox.own_program import OwnProgram
from spoke_runner.sandbox.setup import setup

TOOLS = Tools(bwrap="/usr/bin/bwrap", prlimit="/usr/bin/prlimit", setpriv="/usr/bin/setpriv", cat="/usr/bin/cat")
PYTHON = PythonRuntime(
    executable=Path("/home/ann/py/bin/python3.11"),
    mounts=(
        Mount(Path("/usr/lib/x86_64-linux-gnu"), Path("/usr/lib/x86_64-linux-gnu")),
        Mount(Path("/home/ann/py/bin/python3.11"), Path("/home/ann/py/bin/python3.11")),
        Mount(Path("/home/ann/py/lib"), Path("/home/ann/py/lib")),
        Mount(Path("/srv/hub/packages"), Path("/opt/spokegate/site-packages")),
        Mount(Path("/srv/hub/spoke_runner"), Path("/opt/spokegate/lib/spoke_runner")),
    ),
    links=(("usr/lib", "/lib"), ("usr/lib64", "/lib64")),
    hidden=(Path("/home/ann/py/lib/python3.11/site-packages"),),
    import_path=(Path("/opt/spokegate/lib"), Path("/opt/spokegate/site-packages")),
)


def words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


INNER = (
    *words("""
    /usr/bin/bwrap
    --unshare-user --unshare-pid --unshare-net --unshare-ipc --unshare-uts --unshare-cgroup --disable-userns
    --uid 1000 --gid 1000 --hostname spoke
    --die-with-parent --new-session --as-pid-1 --clearenv --cap-drop ALL
    --size 67108864 --tmpfs /tmp
    --proc /proc
    --size 65536 --tmpfs /dev
    --dev-bind /dev/null /dev/null --dev-bind /dev/full /dev/full
    --dev-bind /dev/random /dev/random --dev-bind /dev/urandom /dev/urandom
    --ro-bind /usr/lib/x86_64-linux-gnu /usr/lib/x86_64-linux-gnu
    --ro-bind /home/ann/py/bin/python3.11 /home/ann/py/bin/python3.11
    --ro-bind /home/ann/py/lib /home/ann/py/lib
    --ro-bind /srv/hub/packages /opt/spokegate/site-packages
    --ro-bind /srv/hub/spoke_runner /opt/spokegate/lib/spoke_runner
    --symlink usr/lib /lib --symlink usr/lib64 /lib64
    --tmpfs /home/ann/py/lib/python3.11/site-packages --remount-ro /home/ann/py/lib/python3.11/site-packages
    --ro-bind /srv/apps/mail /app --bind /srv/state/data/mail@ann /data --bind /srv/state/run/1 /run/spoke
    --remount-ro /dev --remount-ro / --chdir /data --
    /home/ann/py/bin/python3.11 -I -S -B -u -X utf8 -c
    """),
    "import sys; sys.path += ['/opt/spokegate/lib', '/opt/spokegate/site-packages'];"
    " from spoke_runner.sandbox.inside import main; main()",
)
LIMITED = words("/usr/bin/prlimit --stack=1048576:1048576 --core=0:0 --")
AS_58007 = words("""
    /usr/bin/setpriv --reuid 58007 --regid 58007 --clear-groups
    --inh-caps=-all --ambient-caps=-all --bounding-set=-all --no-new-privs --
""")


def spec(*, uid: int | None = None, limits: Limits | None = None, level: Level = "strict") -> SandboxSpec:
    return SandboxSpec(
        app="mail",
        app_dir=Path("/srv/apps/mail"),
        data_dir=Path("/srv/state/data/mail@ann"),
        socket_dir=Path("/srv/state/run/1"),
        level=level,
        uid=uid,
        limits=limits or Limits(),
        certificates=Mount(Path("/etc/ssl/bundle.crt"), Path("/etc/ssl/certs/ca-certificates.crt")),
        python=PYTHON,
    )


def test_an_ordinary_user_runs_bubblewrap_behind_the_limits_that_precede_an_exec() -> None:
    assert argv(spec(), tools=TOOLS) == LIMITED + INNER


def test_a_warm_start_runs_the_same_bubblewrap_around_a_program_that_waits() -> None:
    cold, warm = argv(spec(uid=58007), tools=TOOLS), argv(spec(uid=58007), tools=TOOLS, warm=True)

    shown = cold.index("--remount-ro", cold.index("/run/spoke"))
    end = cold.index("--chdir") + 3
    assert warm == (*cold[:shown], "--ro-bind", "/usr/bin/cat", "/usr/bin/cat", *cold[shown:end], "/usr/bin/cat")


@pytest.mark.parametrize("level", ["no-userns", "none"])
def test_without_namespaces_the_interpreter_runs_where_it_is(level: Level) -> None:
    direct = (
        *words("/home/ann/py/bin/python3.11 -I -S -B -u -X utf8 -c"),
        "import sys; sys.path += ['/srv/hub', '/srv/hub/packages'];"
        " import spokegate; from spoke_runner.sandbox.inside import main; main()",
    )

    assert argv(spec(level=level), tools=replace(TOOLS, bwrap=None)) == LIMITED + direct
    assert argv(spec(level=level, uid=58007), tools=TOOLS) == LIMITED + AS_58007 + direct


def test_a_masked_proc_is_left_out_and_nothing_else_changes() -> None:
    with_proc, without = argv(spec(), tools=TOOLS), argv(replace(spec(), proc=False), tools=TOOLS)
    position = with_proc.index("--proc")

    assert without == with_proc[:position] + with_proc[position + 2 :]
    document = setup(replace(spec(), proc=False), entry="mail:app", report_fd=7, seccomp_filter="plain.bpf")
    assert not any(path.startswith("/proc") for path in document["grants"]["read"])


def test_a_program_is_all_that_may_be_executed_and_gets_four_variables() -> None:
    program = OwnProgram(("/app/server", "--quiet"), ("/app/server", "/lib64/ld.so"))
    plain = setup(spec(), entry="mail:app", report_fd=7, seccomp_filter="command.bpf")
    document = setup(spec(), entry=program, report_fd=7, seccomp_filter="command.bpf")

    assert document["grants"] == {**plain["grants"], "execute": ["/app/server", "/lib64/ld.so"]}
    assert document["command"] == {
        "words": ["/app/server", "--quiet"],
        "environment": {
            "SPOKEGATE_SOCKET": "/run/spoke/spoke.sock",
            "SPOKEGATE_DATA_DIR": "/data",
            "HOME": "/data",
            "TMPDIR": "/tmp",
        },
    }
    outside = setup(spec(level="no-userns"), entry=program, report_fd=7, seccomp_filter="no-userns-command.bpf")
    assert outside["command"]["environment"]["TMPDIR"] == "/srv/state/data/mail@ann"


def test_without_namespaces_only_the_spokes_own_host_paths_are_granted() -> None:
    document = setup(
        spec(level="no-userns"), entry="mail:app", report_fd=7, seccomp_filter="no-userns.bpf", other_threads=5
    )

    assert document["limits"]["processes"] == 64 + 5
    assert document["grants"]["write"] == ["/srv/state/data/mail@ann"]
    assert document["grants"]["listen"] == ["/srv/state/run/1"]
    assert document["grants"]["read"] == [
        "/usr/lib/x86_64-linux-gnu",
        "/home/ann/py/bin/python3.11",
        "/home/ann/py/lib",
        "/srv/hub/packages",
        "/srv/hub/spoke_runner",
        "/srv/apps/mail",
        "/proc/self/stat",
        "/proc/self/statm",
        "/proc/self/status",
    ]


def with_more(given: SandboxSpec) -> SandboxSpec:
    shell = HostProgram(path=Path("/bin/sh"), source=Path("/usr/bin/dash"), loader=Path("/lib64/ld.so"))
    copy = HostProgram(path=Path("/usr/bin/cp"), source=Path("/usr/bin/cp"), loader=None)
    return replace(given, egress=True, programs=(shell, copy))


def test_programs_and_certificates_are_bound_at_their_own_paths_and_nothing_else_changes() -> None:
    position = INNER.index("--ro-bind", INNER.index("--remount-ro"))
    bound = words("""
        --ro-bind /usr/bin/dash /bin/sh --ro-bind /usr/bin/cp /usr/bin/cp
        --ro-bind /etc/ssl/bundle.crt /etc/ssl/certs/ca-certificates.crt
    """)

    assert argv(with_more(spec()), tools=TOOLS) == LIMITED + INNER[:position] + bound + INNER[position:]
    assert {Path("/usr/bin/dash"), Path("/etc/ssl/bundle.crt")} <= sources(with_more(spec())).keys()


def test_the_set_up_with_egress_and_programs_grants_them_a_port_and_no_more() -> None:
    without = setup(spec(), entry="mail:app", report_fd=7, seccomp_filter="x.bpf")
    document = setup(with_more(spec()), entry="mail:app", report_fd=7, seccomp_filter="x.bpf")

    shown = ["/bin/sh", "/usr/bin/cp", "/etc/ssl/certs/ca-certificates.crt"]
    read = without["grants"]["read"]
    assert document == {
        **without,
        "profile": "egress-programs",
        "reaper": True,
        "environment": dict.fromkeys(
            ["HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"], "http://127.0.0.1:3128"
        ),
        "port": 3128,
        "grants": {
            **without["grants"],
            "read": [*read[: read.index("/app")], *shown, *read[read.index("/app") :]],
            "execute": ["/bin/sh", "/usr/bin/cp", "/lib64/ld.so"],
        },
    }


@pytest.mark.parametrize("level", ["no-userns", "none"])
def test_without_namespaces_egress_changes_nothing(level: Level) -> None:
    plain = spec(level=level)
    asking = replace(plain, egress=True)

    assert asking.profile == plain.profile
    assert argv(asking, tools=TOOLS) == argv(plain, tools=TOOLS)
    assert setup(asking, entry="m:a", report_fd=7, seccomp_filter="x") == setup(
        plain, entry="m:a", report_fd=7, seccomp_filter="x"
    )


def test_root_changes_to_the_spokes_uid_before_the_same_bubblewrap() -> None:
    assert argv(spec(uid=58007), tools=TOOLS) == LIMITED + AS_58007 + INNER


def test_root_covers_closed_directories_and_puts_back_only_what_the_spoke_is_given() -> None:
    view = words("""
        /usr/bin/bwrap --die-with-parent --unshare-pid --dev-bind / /
        --tmpfs /home/ann --tmpfs /srv/state
        --dir /home/ann/py --dir /home/ann/py/bin
        --ro-bind /home/ann/py/bin/python3.11 /home/ann/py/bin/python3.11
        --ro-bind /home/ann/py/lib /home/ann/py/lib
        --dir /srv/state/data --bind /srv/state/data/mail@ann /srv/state/data/mail@ann
        --dir /srv/state/run --bind /srv/state/run/1 /srv/state/run/1
        --
    """)

    line = argv(spec(uid=58007), tools=TOOLS, covers=(Path("/home/ann"), Path("/srv/state")))

    assert line == LIMITED + view + AS_58007 + INNER


def test_only_the_topmost_closed_directory_is_covered(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    closed = tmp_path / "closed"
    below = closed / "also_closed" / "app"
    below.mkdir(parents=True)
    closed.chmod(0o700)
    (closed / "also_closed").chmod(0o700)
    stranger = 58007

    found = closed_directories([below, closed / "data"], stranger)

    # The test's own directory may lie in a closed one, which is then the topmost.
    assert found == (closed,) or (len(found) == 1 and found[0] in closed.parents)


def test_a_directory_that_others_may_enter_is_not_covered() -> None:
    assert closed_directories([Path("/usr/lib/x")], 58007) == ()


def test_what_a_uid_cannot_read_is_named(tmp_path: Path) -> None:
    names = ("open", "closed", "enterable")
    paths = [tmp_path / name for name in names]
    for path, mode in zip(paths, (0o755, 0o700, 0o711), strict=True):
        path.mkdir()
        path.chmod(mode)

    assert unreadable(paths, 58007) == (tmp_path / "closed", tmp_path / "enterable")
    assert unreadable(paths, tmp_path.stat().st_uid) == ()


def test_only_data_and_socket_are_writable_sources() -> None:
    writable = {path for path, may_write in sources(spec()).items() if may_write}

    assert writable == {Path("/srv/state/data/mail@ann"), Path("/srv/state/run/1")}


def test_the_set_up_of_the_first_stage_grants_no_more_than_what_is_mounted() -> None:
    document = setup(spec(limits=Limits(open_files=99)), entry="mail:app", report_fd=7, seccomp_filter="plain.bpf")

    assert document == {
        "level": "strict",
        "profile": "plain",
        "proc": True,
        "own_uid": False,
        "entry": "mail:app",
        "command": None,
        "reaper": False,
        "app_dir": "/app",
        "data_dir": "/data",
        "socket_dir": "/run/spoke",
        "report_fd": 7,
        "filter": "/opt/spokegate/lib/spoke_runner/sandbox/seccomp/plain.bpf",
        "limits": {"memory_bytes": 268435456, "file_bytes": 67108864, "open_files": 99, "processes": 64},
        "environment": {},
        "port": None,
        "grants": {
            "list": [],
            "read": [
                "/usr/lib/x86_64-linux-gnu",
                "/home/ann/py/bin/python3.11",
                "/home/ann/py/lib",
                "/opt/spokegate/site-packages",
                "/opt/spokegate/lib/spoke_runner",
                "/app",
                "/proc/self/stat",
                "/proc/self/statm",
                "/proc/self/status",
            ],
            "execute": [],
            "write": ["/data", "/tmp"],
            "listen": ["/run/spoke"],
            "read_device": ["/dev/random", "/dev/urandom"],
            "write_device": ["/dev/null", "/dev/full"],
        },
    }
