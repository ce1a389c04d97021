"""Say which layer is missing, why, and what mends it, from what the tools of this host answer.

Invariants:
    * Every refusal names a layer and a mend; what is not known is passed on in the tool's own words.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Final

from spoke_runner.sandbox.command import Tools
from spoke_runner.sandbox.errors import SandboxUnavailable

MINIMUM_BWRAP: Final = (0, 8, 0)
_PACKAGES: Final = {"bwrap": "bubblewrap", "prlimit": "util-linux", "setpriv": "util-linux", "cat": "coreutils"}
_INSTALLERS: Final = (
    ("apt-get", "sudo apt-get install -y {package}"),
    ("dnf", "sudo dnf install -y {package}"),
    ("pacman", "sudo pacman -S --noconfirm {package}"),
    ("zypper", "sudo zypper install -y {package}"),
    ("apk", "sudo apk add {package}"),
)
_CONTAINER_MEND: Final = (
    "start the container with --security-opt seccomp=unconfined --security-opt apparmor=unconfined "
    "--security-opt systempaths=unconfined, or run on the host"
)
_SWITCHES: Final = (
    ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0", "1"),
    ("/proc/sys/user/max_user_namespaces", "0", "10000"),
)


def find_tools(*, needs_bwrap: bool = True) -> Tools:
    """Return where the programs are that build a sandbox.

    Raises:
        SandboxUnavailable: One is not installed.
    """
    bwrap = _find("bwrap") if needs_bwrap else None
    return Tools(bwrap=bwrap, prlimit=_find("prlimit"), setpriv=_find("setpriv"), cat=_find("cat"))


def _find(program: str) -> str:
    # Administrators' directories are not on every user's PATH.
    found = shutil.which(program) or shutil.which(program, path="/usr/bin:/usr/sbin:/bin:/sbin")
    if found is None:
        package = _PACKAGES[program]
        layer = "bubblewrap" if program == "bwrap" else "tools"
        raise SandboxUnavailable(layer, f"the program {program} is not installed", install(package))
    return found


def install(package: str) -> str:
    """Return the command that installs an OS package here."""
    for program, command in _INSTALLERS:
        if shutil.which(program):
            return command.format(package=package)
    return f"install the OS package {package}"


def check_version(answer: str) -> str:
    """Return the version that `bwrap --version` printed.

    Raises:
        SandboxUnavailable: It is too old, or is not a version.
    """
    numbers = re.search(r"(\d+)\.(\d+)\.(\d+)", answer)
    if numbers is None:
        raise SandboxUnavailable("bubblewrap", f"`bwrap --version` prints {answer!r}", install("bubblewrap"))
    if tuple(map(int, numbers.groups())) < MINIMUM_BWRAP:
        raise _too_old(numbers.group())
    return numbers.group()


def _too_old(found: str) -> SandboxUnavailable:
    least = ".".join(map(str, MINIMUM_BWRAP))
    return SandboxUnavailable(
        "bubblewrap", f"{found} is too old, {least} is needed", f"{install('bubblewrap')}, from a newer release"
    )


def explain(lines: tuple[str, ...]) -> SandboxUnavailable:
    """Return why a sandbox did not come up, from what its programs wrote.

    Args:
        lines: What came out of the command before the first stage reported.
    """
    said = " / ".join(line for line in lines if line.strip()) or "the command ended without a word"
    if "Unknown option" in said:
        return _too_old(f"the installed version ({said})")
    if "mount proc" in said:
        return SandboxUnavailable("proc", f"a new /proc cannot be mounted: {said}", _CONTAINER_MEND)
    if any(hint in said for hint in ("namespace", "uid map", "RTM_NEWADDR", "loopback", "max_user_namespaces")):
        return SandboxUnavailable("namespaces", said, _namespaces_mend())
    if "setpriv" in said:
        return SandboxUnavailable("uid", said, "run the hub as an ordinary user, or as root with all capabilities")
    if "Permission" in said:
        return SandboxUnavailable(
            "runtime", said, "let every user read this project, its .venv and its Python: chmod -R o+rX on each"
        )
    return SandboxUnavailable("first stage", said, "run `spokegate doctor`")


def _namespaces_mend() -> str:
    for path, wrong, right in _SWITCHES:
        switch = Path(path)
        if switch.exists() and switch.read_text().strip() == wrong:
            name = path.removeprefix("/proc/sys/").replace("/", ".")
            return f"sudo sysctl -w {name}={right}"
    return _CONTAINER_MEND
