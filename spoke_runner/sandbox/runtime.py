"""Find the Python that a spoke runs: the interpreter and what it needs, wherever this host keeps them.

The interpreter and its library stay at their own paths inside, because an interpreter finds its library, and often its
`libpython`, by absolute path. Packages move to `/opt/spokegate`, so a spoke does not learn where the hub is installed.

Invariants:
    * The `hub` package is never visible inside, whether the project is installed or run from its source tree.
    * The packages are visible in one place only, with the hub taken out; the base interpreter's own are hidden.
"""

from __future__ import annotations

import importlib.util
import sys
import sysconfig
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from spoke_runner.sandbox.errors import SandboxUnavailable
from spoke_runner.sandbox.places import PACKAGES_DIR, PROJECT_DIR

_ZONEINFO: Final = Path("/usr/share/zoneinfo")
# Where the distributions' TLS libraries look; the first is Debian's, and what most others have too.
_CERTIFICATES: Final = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


@dataclass(frozen=True, slots=True)
class Mount:
    """A host path, and where the spoke sees it."""

    source: Path
    target: Path


@dataclass(frozen=True, slots=True)
class PythonRuntime:
    """The Python that runs inside: what must be visible for it, all of it read-only.

    Attributes:
        executable: The interpreter itself, not a virtual environment's link to it.
        mounts: The interpreter, its standard library, shared libraries, installed packages, and this project's own
            packages without the hub.
        links: The symbolic links of a merged `/usr`, as (target, path).
        hidden: Directories below the mounts that the spoke must find empty.
        import_path: What `sys.path` begins with, after the standard library.
    """

    executable: Path
    mounts: tuple[Mount, ...]
    links: tuple[tuple[str, str], ...]
    hidden: tuple[Path, ...]
    import_path: tuple[Path, ...]

    @property
    def host_import_path(self) -> tuple[Path, ...]:
        """What `sys.path` begins with where no mount has moved the packages."""
        found = [mount.source.parent for mount in self.mounts if mount.target.parent == PROJECT_DIR]
        found += [mount.source for mount in self.mounts if mount.target == PACKAGES_DIR]
        return tuple(dict.fromkeys(found))


@lru_cache(maxsize=1)
def discover_python() -> PythonRuntime:
    """Return the runtime of the interpreter that is running now.

    Raises:
        SandboxUnavailable: The project's own packages cannot be found as directories.
    """
    executable = Path(sys.executable).resolve()
    prefix = executable.parent.parent
    stdlib = Path(sysconfig.get_path("stdlib"))
    packages = Path(sysconfig.get_path("purelib")).resolve()
    mounts, links = _shared_libraries()
    mounts.append(Mount(executable, executable))
    if prefix == Path("/usr"):
        mounts.append(Mount(stdlib, stdlib))
    else:
        # A prefix of its own (pyenv, uv, conda, /usr/local) keeps libpython and other libraries beside the library.
        mounts += [Mount(prefix / name, prefix / name) for name in sorted({"lib", sys.platlibdir})]
        stdlib = prefix / sys.platlibdir / stdlib.name
    if _ZONEINFO.is_dir():
        mounts.append(Mount(_ZONEINFO, _ZONEINFO))
    mounts.append(Mount(packages, PACKAGES_DIR))
    mounts += [Mount(_package(name), PROJECT_DIR / name) for name in ("spoke_runner", "spokegate")]
    hidden = [path for path in (stdlib / "site-packages", stdlib / "dist-packages") if path.is_dir()]
    if (packages / "hub").is_dir():
        hidden.append(PACKAGES_DIR / "hub")
    return PythonRuntime(
        executable=executable,
        mounts=tuple(mounts),
        links=links,
        hidden=tuple(hidden),
        import_path=(PROJECT_DIR, PACKAGES_DIR),
    )


def find_certificates() -> Mount | None:
    """Return this host's bundle of trusted certificates, as a mount at its own path; None when it has none."""
    for name in map(Path, _CERTIFICATES):
        if name.is_file():
            return Mount(name.resolve(), name)
    return None


def _package(name: str) -> Path:
    found = importlib.util.find_spec(name)
    locations = list(found.submodule_search_locations or ()) if found else []
    if not locations:
        raise SandboxUnavailable("runtime", f"the package {name} cannot be found", "run the set-up again")
    return Path(locations[0]).resolve()


def _shared_libraries() -> tuple[list[Mount], tuple[tuple[str, str], ...]]:
    """Return the narrowest directories that hold the loader and the C library, and the links of a merged /usr."""
    multiarch = sysconfig.get_config_var("MULTIARCH")
    candidates = [Path("/usr/lib") / multiarch] if multiarch else []
    candidates.append(Path("/usr/lib64"))
    found = [path for path in candidates if path.is_dir() and not path.is_symlink()]
    libraries = [Mount(path, path) for path in found or [Path("/usr/lib")]]
    links = []
    for path in (Path("/lib"), Path("/lib64"), Path("/usr/lib64")):
        if path.is_symlink():
            links.append((str(path.readlink()), str(path)))
        elif path.is_dir() and path not in found:
            libraries.append(Mount(path, path))
    return libraries, tuple(links)
