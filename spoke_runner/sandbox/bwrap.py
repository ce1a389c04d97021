"""The bubblewrap command line of a spoke: a pure function of its spec.

Order matters, because bubblewrap builds the view from left to right: the empty `/tmp` and `/dev` come first, since an
interpreter or a test directory below `/tmp` would otherwise be hidden by them; what must be empty or read-only comes
after what it covers.

Tried and rejected:
    * `--unshare-all`: it asks for a cgroup namespace only where there is one, and would go on silently without.
    * `--dev /dev`: it brings ptys, a terminal, an unbounded `/dev/shm`, and `/dev/zero`, whose shared mapping is memory
      that RLIMIT_DATA does not count.
    * a reaper as pid 1 (the default): it would be an unfiltered process inside the sandbox for the spoke to attack.
    * `--seccomp`: the filter must be loaded after landlock and the limits, by the process that it will bind.

Invariants:
    * Every namespace is unshared by name, and user namespaces are disabled inside.
    * Only `/data`, `/run/spoke` and `/tmp` are writable.
    * The environment is empty, and no capability is kept.
    * bubblewrap, and with it the spoke, dies with its parent.
"""

from __future__ import annotations

from typing import Final

from spoke_runner.sandbox.places import APP_DIR, DATA_DIR, INSIDE_UID, SOCKET_DIR
from spoke_runner.sandbox.spec import SandboxSpec

_DEVICES: Final = ("/dev/null", "/dev/full", "/dev/random", "/dev/urandom")
_DEV_BYTES: Final = 64 * 1024
BOOTSTRAP: Final = "import sys; sys.path += {path!r}; from spoke_runner.sandbox.inside import main; main()"


def argv(spec: SandboxSpec, *, program: str, holder: str | None = None) -> tuple[str, ...]:
    """Return the command that runs a spoke's first stage in its namespaces, or a holder for it to enter them later.

    Args:
        spec: What the spoke is given.
        program: The path of `bwrap`.
        holder: The path of a program that waits on its stdin and does nothing; it becomes visible inside, too.
    """
    runtime = spec.python
    line = [program]
    line += ["--unshare-user", "--unshare-pid", "--unshare-net"]
    line += ["--unshare-ipc", "--unshare-uts", "--unshare-cgroup", "--disable-userns"]
    line += ["--uid", str(INSIDE_UID), "--gid", str(INSIDE_UID), "--hostname", "spoke"]
    line += ["--die-with-parent", "--new-session", "--as-pid-1"]
    line += ["--clearenv", "--cap-drop", "ALL"]
    line += ["--size", str(spec.limits.temporary_bytes), "--tmpfs", "/tmp"]  # noqa: S108 - the spoke's own
    if spec.proc:
        line += ["--proc", "/proc"]
    line += ["--size", str(_DEV_BYTES), "--tmpfs", "/dev"]
    for device in _DEVICES:
        line += ["--dev-bind", device, device]
    for mount in runtime.mounts:
        line += ["--ro-bind", str(mount.source), str(mount.target)]
    for content, link in runtime.links:
        line += ["--symlink", content, link]
    for hidden in runtime.hidden:
        line += ["--tmpfs", str(hidden), "--remount-ro", str(hidden)]
    for mount in spec.shown:
        line += ["--ro-bind", str(mount.source), str(mount.target)]
    line += ["--ro-bind", str(spec.app_dir), str(APP_DIR)]
    line += ["--bind", str(spec.data_dir), str(DATA_DIR)]
    line += ["--bind", str(spec.socket_dir), str(SOCKET_DIR)]
    if holder is not None:
        line += ["--ro-bind", holder, holder]
    line += ["--remount-ro", "/dev", "--remount-ro", "/"]
    line += ["--chdir", str(DATA_DIR), "--"]
    if holder is not None:
        return (*line, holder)
    line += [str(runtime.executable), "-I", "-S", "-B", "-u", "-X", "utf8"]
    line += ["-c", BOOTSTRAP.format(path=[str(path) for path in runtime.import_path])]
    return tuple(line)
