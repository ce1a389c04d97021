"""What can go wrong with a sandbox: a host that cannot, a wall that does not hold, an app that does not start.

The tree::

    SandboxError
    ├── SandboxUnavailable    this host cannot build the level that was asked for; says which layer, why, and the mend
    ├── CanaryFailed          a wall was built and does not hold; the spoke was killed before any app code ran
    ├── SpokeStartFailed      the sandbox held, and the app did not come up in it
    └── ZygoteUnavailable     no warm start can be had now; a cold one, of the same level, can
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spoke_runner.sandbox.report import SandboxReport


class SandboxError(Exception):
    """A spoke that was not started."""


class SandboxUnavailable(SandboxError):
    """This host cannot build the sandbox.

    Args:
        layer: The layer that is missing, as `preflight` names it.
        why: What was tried and what the system answered.
        mend: What a person can do about it.
    """

    def __init__(self, layer: str, why: str, mend: str) -> None:
        super().__init__(f"{layer}: {why} ({mend})")
        self.layer = layer
        self.why = why
        self.mend = mend


class CanaryFailed(SandboxError):
    """A wall does not hold; the report says which."""

    def __init__(self, report: SandboxReport) -> None:
        super().__init__("the sandbox does not hold: " + "; ".join(report.breaches))
        self.report = report


class SpokeStartFailed(SandboxError):
    """The app did not come up.

    Args:
        detail: What happened, in one line.
        logs: The last lines that the spoke wrote: text from an untrusted source.
    """

    def __init__(self, detail: str, logs: tuple[str, ...] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.logs = logs


class ZygoteUnavailable(SandboxError):
    """There is no zygote to fork a spoke from, or it cannot."""
