"""Policies as one bundle with a revision: built from files, put in place at once, kept when an edit is broken.

The revision is the digest of the files, and OPA names it in every answer, so each decision says which policies made it.
OPA watches the directory of the bundle and loads a new one whole or not at all. Nothing else may be in that directory:
OPA reloads at any change in it.

Tried and rejected: `opa build --optimize 1`, a third faster where a site has settings. What it works out ahead a `with`
no longer changes, so that log-only mode loses its shadow, and `rego.metadata.chain()` gives other paths: the policies
that decide would not be the ones that their owner reads and tests.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from watchfiles import awatch

from hub.config import PROJECT_ROOT
from hub.errors import SpokegateError

_BUILD_SECONDS = 60.0
_PROBLEMS = "data.spokegate.settings.problems"
_SYSTEM_POLICIES = PROJECT_ROOT / "opa" / "system"
_SCHEMA = PROJECT_ROOT / "opa" / "schemas" / "input.json"
_WITHOUT_TESTS = ("--ignore", "*_test.rego")  # they decide nothing, and took four fifths of the time to check
_WATCH_STEP_MILLISECONDS = 50
_WATCH_DEBOUNCE_MILLISECONDS = 200


class PolicyInvalid(SpokegateError):
    """The policies do not compile; the text is OPA's, with file and line."""


@dataclass(frozen=True, slots=True)
class Change:
    """What came of an edit: a new revision in place, or the reason why the old one stays."""

    revision: str
    problem: str = ""


class PolicyBundle:
    """The policies in force.

    Args:
        opa: The `opa` program.
        sources: Directories of Rego.
        directory: Where the bundle is kept; its own, nothing else in it.
    """

    def __init__(self, opa: Path, sources: Sequence[Path], directory: Path) -> None:
        self._opa = opa
        self._sources = tuple(sources)
        self._directory = directory
        self.path = directory / "bundle.tar.gz"
        self.revision = ""

    async def build(self) -> str:
        """Build the bundle and put it in place; return its revision.

        Raises:
            PolicyInvalid: The policies do not compile; the bundle in place stays.
        """
        inputs = [str(path) for path in (*self._sources, _SYSTEM_POLICIES)]
        for directory in self._sources:
            if not directory.is_dir():
                raise PolicyInvalid(f"{directory}: there is no such directory of policies")
        revision = _revision(_rego_files((*self._sources, _SYSTEM_POLICIES)))
        await self._run("check", "--strict", "--schema", str(_SCHEMA), *_WITHOUT_TESTS, *inputs)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Beside the watched directory, not in it: OPA must see one change only, the whole new bundle.
        fresh = self._directory.parent / "bundle.new"
        await self._run("build", *_WITHOUT_TESTS, "--revision", revision, "--output", str(fresh), *inputs)
        await self._require_sound_settings(fresh)
        fresh.replace(self.path)
        self.revision = revision
        return revision

    async def changes(self) -> AsyncIterator[Change]:
        """Watch the sources; build after each edit and yield what came of it. Runs until cancelled."""
        async for _ in awatch(*self._sources, step=_WATCH_STEP_MILLISECONDS, debounce=_WATCH_DEBOUNCE_MILLISECONDS):
            before = self.revision
            try:
                revision = await self.build()
            except PolicyInvalid as error:
                yield Change(revision=before, problem=str(error))
                continue
            if revision != before:
                yield Change(revision=revision)

    async def _require_sound_settings(self, bundle: Path) -> None:
        """Refuse settings of the site that the policies themselves find a problem with."""
        text = await self._run("eval", "--format", "json", "--bundle", str(bundle), _PROBLEMS)
        try:
            answer = json.loads(text)
        except json.JSONDecodeError:
            raise PolicyInvalid(f"{_PROBLEMS}: {text.strip()}") from None
        match answer:
            case {"result": [{"expressions": [{"value": [*problems]}]}]}:
                if problems:
                    raise PolicyInvalid("the site's settings: " + "; ".join(map(str, problems)))
            case {"result": _}:
                raise PolicyInvalid(f"{_PROBLEMS}: not a set of sentences")
            # Policies without settings of this kind have no such set.

    async def _run(self, *arguments: str) -> str:
        return await run_opa(self._opa, *arguments, seconds=_BUILD_SECONDS)


async def run_opa(opa: Path, *arguments: str, seconds: float) -> str:
    """Return what a command of the `opa` program prints.

    Args:
        opa: The program.
        arguments: The command and its arguments.
        seconds: How long it may take; it is killed then.

    Raises:
        PolicyInvalid: It failed, and says why, or took too long.
    """
    process = await asyncio.create_subprocess_exec(
        str(opa),
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(seconds):
            output, complaints = await process.communicate()
    except TimeoutError:
        raise PolicyInvalid(f"opa {arguments[0]} took more than {seconds:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise PolicyInvalid((output + complaints).decode("utf-8", "replace").strip())
    return output.decode("utf-8", "replace")


def _rego_files(directories: Iterable[Path]) -> list[Path]:
    return sorted(
        path
        for directory in directories
        for pattern in ("*.rego", "*.json", "*.yaml", "*.yml")
        for path in directory.rglob(pattern)
        if not path.name.endswith("_test.rego")
    )


def _revision(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        content = path.read_bytes()
        digest.update(f"{path.name}\0{len(content)}\0".encode())
        digest.update(content)
    return f"sha256:{digest.hexdigest()}"
