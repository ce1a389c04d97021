"""The command of a spoke without namespaces: its interpreter, and nothing around it but what it does to itself.

Files are where the host has them, so what bubblewrap would hide is refused by landlock instead.

Invariants:
    * The packages that lie beside the hub are imported before the seal, because the directory that holds them both may
      not be listed after it.
"""

from __future__ import annotations

from typing import Final

from spoke_runner.sandbox.spec import SandboxSpec

_BOOTSTRAP: Final = (
    "import sys; sys.path += {path!r}; import spokegate; from spoke_runner.sandbox.inside import main; main()"
)


def argv(spec: SandboxSpec) -> tuple[str, ...]:
    """Return the command that runs a spoke's first stage where it stands."""
    path = [str(directory) for directory in spec.python.host_import_path]
    flags = ("-I", "-S", "-B", "-u", "-X", "utf8")
    return (str(spec.python.executable), *flags, "-c", _BOOTSTRAP.format(path=path))
