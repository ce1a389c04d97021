"""The zygote's program: imports, from where the hub keeps them, under the names that they have inside a spoke.

It is run as a file, with the number of its control socket as the only argument, because none of the project's packages
can be found before it has run. An ordinary import would tie every module to a path of the host, which a spoke neither
sees nor should know: a submodule that an app imports late would be looked for where nothing is. So every module is read
from its host path, and is told the path at which the spoke sees the same file.

Tried and rejected:
    * Running the zygote in a mount namespace of its own, with the paths of the inside: an ordinary user's zygote would
      be in a user namespace beside that of its spokes, and could not enter theirs.
    * Rewriting `__file__` and `__path__` afterwards: code objects keep the path that they were compiled for.

Invariants:
    * When the spokes' first stage begins, no module, path entry or cache of the import system names a moved host path.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import sys
import types
from collections.abc import Iterable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ExtensionFileLoader, ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location
from typing import Any, Final

_MAX_BYTES: Final = 1 << 16
_HIGHEST_FD: Final = 2**31 - 1


class Moves:
    """Which directories are seen elsewhere inside: pairs of a host path and the path inside."""

    def __init__(self, pairs: Sequence[Sequence[str]]) -> None:
        self.pairs = [(source, target) for source, target in pairs if source != target]

    def host(self, path: str) -> str:
        """Return the host's path of a path inside; the path itself when nothing moved it."""
        return _exchanged(path, ((target, source) for source, target in self.pairs))

    def inside(self, path: str) -> str:
        """Return the path inside of a host path; the path itself when nothing moved it."""
        return _exchanged(path, self.pairs)


def _exchanged(path: str, pairs: Iterable[tuple[str, str]]) -> str:
    for old, new in pairs:
        if path == old or path.startswith(old + "/"):
            return new + path[len(old) :]
    return path


class MovedFinder(MetaPathFinder):
    """Finds what is moved; what is not, it leaves to the finders behind it.

    Args:
        moves: Where things are.
        import_path: Where the spoke will look, behind the standard library.
    """

    def __init__(self, moves: Moves, import_path: Sequence[str]) -> None:
        self._moves = moves
        self._import_path = import_path

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a moved module, as it would be found inside."""
        if path is None and (fullname in sys.builtin_module_names or PathFinder.find_spec(fullname) is not None):
            return None  # the standard library comes first, as it does inside
        directories = self._top(fullname) if path is None else [self._moves.host(entry) for entry in path]
        if path is not None and directories == list(path):
            return None
        spec = PathFinder.find_spec(fullname, directories)
        return None if spec is None else self._moved(spec)

    def _top(self, name: str) -> list[str]:
        found = []
        for entry in self._import_path:
            for source, target in self._moves.pairs:
                if target == entry:
                    found.append(source)
                elif target == f"{entry}/{name}":
                    found.append(os.path.dirname(source))  # noqa: PTH120 - pathlib is not needed for anything else here
        return found

    def _moved(self, spec: ModuleSpec) -> ModuleSpec:
        places = spec.submodule_search_locations
        inside_places = None if places is None else [self._moves.inside(place) for place in places]
        if spec.origin is None or spec.loader is None or not spec.has_location:
            namespace = ModuleSpec(spec.name, None, is_package=True)
            namespace.submodule_search_locations = inside_places
            return namespace
        path = self._moves.inside(spec.origin)
        loader: SourceFileLoader | ExtensionFileLoader
        if isinstance(spec.loader, SourceFileLoader):
            loader = _MovedSource(spec.name, path, self._moves)
        elif isinstance(spec.loader, ExtensionFileLoader):
            loader = _MovedExtension(spec.name, path, spec.origin)
        else:
            raise ImportError(f"{spec.name}: no way to move what {spec.loader!r} loads", name=spec.name)
        moved = spec_from_file_location(spec.name, path, loader=loader, submodule_search_locations=inside_places)
        if moved is None:
            raise ImportError(f"{spec.name}: not found at {path}", name=spec.name)
        return moved


class _MovedSource(SourceFileLoader):
    def __init__(self, fullname: str, path: str, moves: Moves) -> None:
        super().__init__(fullname, path)
        self._moves = moves

    def get_data(self, path: str) -> bytes:
        return super().get_data(self._moves.host(path))

    def path_stats(self, path: str) -> Mapping[str, Any]:
        return super().path_stats(self._moves.host(path))


class _MovedExtension(ExtensionFileLoader):
    def __init__(self, fullname: str, path: str, host_path: str) -> None:
        super().__init__(fullname, path)
        self._inside_path = path
        self._host_path = host_path

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        module = super().create_module(ModuleSpec(spec.name, self, origin=self._host_path))
        module.__file__ = self._inside_path
        return module


def settle(finder: MovedFinder, import_path: Sequence[str]) -> None:
    """Make the import system what it would be inside, and forget where things came from."""
    sys.meta_path.remove(finder)
    for module in list(sys.modules.values()):
        spec = getattr(module, "__spec__", None)
        loader = getattr(spec, "loader", None)
        if spec is None or not isinstance(loader, _MovedSource | _MovedExtension):
            continue
        usual = SourceFileLoader if isinstance(loader, _MovedSource) else ExtensionFileLoader
        spec.loader = module.__loader__ = usual(spec.name, str(spec.origin))
    sys.path += import_path
    sys.path_importer_cache.clear()
    sys.argv[:] = [""]
    sys.orig_argv.clear()
    main_module = types.ModuleType("__main__")
    sys.modules["__main__"] = main_module


def main() -> None:
    """Import everything, serve as zygote; and, in each process that it forks, run the first stage of a spoke."""
    number = int(sys.argv[1])
    # uvloop closes nothing in what it starts, so what the hub was left with by its own parent arrives here.
    os.closerange(3, number)
    os.closerange(number + 1, _HIGHEST_FD)
    control = socket.socket(fileno=number)
    given = json.loads(control.recv(_MAX_BYTES))
    finder = MovedFinder(Moves(given["moves"]), given["import_path"])
    sys.meta_path.insert(0, finder)
    birth = importlib.import_module("spoke_runner.sandbox.zygote.birth")
    inside = importlib.import_module("spoke_runner.sandbox.inside")
    settle(finder, given["import_path"])
    del finder, given
    birth.serve(control)
    inside.main(pid=birth.PID)


if __name__ == "__main__":
    main()
