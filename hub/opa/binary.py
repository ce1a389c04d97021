"""Which `opa` the hub runs.

Three places, in this order: the file that SPOKEGATE_OPA names, the first `opa` on PATH, the one that
set-up built from the Go module in `opa/tools/opa`. That module is also the only place that says which version
is wanted: anything from there up to, and without, the next major version will do.

An `opa` on PATH that does not fit is passed over. A SPOKEGATE_OPA that does not fit is an error: whoever set
it meant it, and a hub that quietly decides with another engine than it was told to use is not to be trusted.

The hub only ever looks. Building is for `scripts/build_tool.py`, which shares this module; that is why
nothing but the standard library is imported here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

ENVIRONMENT_VARIABLE = "SPOKEGATE_OPA"
PIN = Path("opa/tools/opa/go.mod")
BUILT = Path(".tools/bin/opa")

_PROBE_TIMEOUT_SECONDS = 20
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(-[0-9A-Za-z.-]+)?")
_PINNED = re.compile(r"^\s*(?:require\s+)?github\.com/open-policy-agent/opa\s+v(\S+)", re.MULTILINE)
_REPORTED = re.compile(r"^Version:[ \t]*(\S+)", re.MULTILINE)


class OpaBinaryError(Exception):
    """There is no `opa` that can be used; the text says why, and what to do about it."""


class OpaNotBuiltError(OpaBinaryError):
    """Neither SPOKEGATE_OPA nor PATH gives an `opa` that fits, and none is built: set-up mends that."""


class OpaOrigin(StrEnum):
    """Where an `opa` was found."""

    ENVIRONMENT = ENVIRONMENT_VARIABLE
    PATH = "PATH"
    BUILT = "built"


@dataclass(frozen=True, slots=True)
class OpaBinary:
    """An `opa` that fits.

    Attributes:
        path: The executable, absolute.
        version: What it says of itself, without a leading v.
        origin: Where it was found.
        passed_over: Why the `opa` on PATH was not taken, when there is one and it was not.
    """

    path: Path
    version: str
    origin: OpaOrigin
    passed_over: str | None = None

    def __str__(self) -> str:
        """Say in one line which way the search went."""
        source = {
            OpaOrigin.ENVIRONMENT: f"named by {ENVIRONMENT_VARIABLE}",
            OpaOrigin.PATH: "found on PATH",
            OpaOrigin.BUILT: f"built from {PIN.parent}",
        }[self.origin]
        aside = f"; {self.passed_over}" if self.passed_over else ""
        return f"opa {self.version}, {source}: {self.path}{aside}"


def find_opa(project_root: Path, environ: Mapping[str, str] = os.environ) -> OpaBinary:
    """Return the `opa` to run.

    Args:
        project_root: The folder with `opa/tools/opa/go.mod`.
        environ: Where SPOKEGATE_OPA and PATH are read from.

    Raises:
        OpaNotBuiltError: No `opa` fits, and building one would help.
        OpaBinaryError: SPOKEGATE_OPA cannot be used, or the pin cannot be read.
    """
    pinned = pinned_version(project_root)
    if named := environ.get(ENVIRONMENT_VARIABLE):
        path = Path(named).absolute()
        try:
            return OpaBinary(path, _fitting_version(path, pinned), OpaOrigin.ENVIRONMENT)
        except _UnfitError as error:
            raise OpaBinaryError(f"{ENVIRONMENT_VARIABLE} cannot be used: {error}") from error

    passed_over = None
    if on_path := shutil.which("opa", path=environ.get("PATH", os.defpath)):
        path = Path(on_path).absolute()
        try:
            return OpaBinary(path, _fitting_version(path, pinned), OpaOrigin.PATH)
        except _UnfitError as error:
            passed_over = f"passed over on PATH: {error}"

    path = (project_root / BUILT).absolute()
    try:
        return OpaBinary(path, _fitting_version(path, pinned), OpaOrigin.BUILT, passed_over)
    except _UnfitError as error:
        aside = f" ({passed_over})" if passed_over else ""
        raise OpaNotBuiltError(
            f"no opa that fits {pinned}{aside}: {error}. `make setup` gets it, "
            f"or let {ENVIRONMENT_VARIABLE} name an opa from {pinned} up to the next major version."
        ) from error


def pinned_version(project_root: Path) -> str:
    """Return the oldest version of `opa` that will do, as its Go module pins it.

    Raises:
        OpaBinaryError: The module is not there, or names no version.
    """
    file = project_root / PIN
    try:
        match = _PINNED.search(file.read_text())
    except OSError as error:
        raise OpaBinaryError(f"the version of opa is pinned in {file}, which cannot be read: {error}") from error
    if match is None:
        raise OpaBinaryError(f"{file} names no version of opa")
    return match[1]


class _UnfitError(Exception):
    """This executable cannot be used."""


def _fitting_version(path: Path, pinned: str) -> str:
    if not path.is_file():
        raise _UnfitError(f"{path} is not there")
    if not os.access(path, os.X_OK):
        raise _UnfitError(f"{path} is not executable")
    try:
        probe = subprocess.run(
            [path, "version"], capture_output=True, text=True, timeout=_PROBE_TIMEOUT_SECONDS, check=True
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise _UnfitError(f"{path} does not run: {error}") from error
    match = _REPORTED.search(probe.stdout)
    if match is None:
        raise _UnfitError(f"{path} does not say its version")
    version = match[1].removeprefix("v")
    key, oldest = _order(version), _order(pinned)
    if key is None or oldest is None:
        raise _UnfitError(f"{path} says a version that cannot be read: {version}")
    if key < oldest:
        raise _UnfitError(f"{path} is {version}, older than {pinned}")
    if key[0] > oldest[0]:
        raise _UnfitError(f"{path} is {version}, another major version than {pinned}")
    return version


def _order(version: str) -> tuple[int, int, int, bool] | None:
    """Return a key to compare versions by; as in SemVer, 1.2.3-anything comes before 1.2.3."""
    match = _VERSION.fullmatch(version.partition("+")[0])
    if match is None:
        return None
    return int(match[1]), int(match[2]), int(match[3]), match[4] is None
