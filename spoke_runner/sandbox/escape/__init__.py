"""The escape suite: hostile acts, tried by an app inside a live spoke against a world planted outside.

`spokegate doctor` runs it against this host, and `tests/attack/sandbox` runs it per level and user, with a control for
each act. The acts live here, and not with the tests, so that both try the same.

Invariants:
    * No act does lasting harm where it comes through: what it makes it removes, and what would harm has no control.
"""

from spoke_runner.sandbox.escape import (
    acts_egress,
    acts_files,
    acts_kernel,
    acts_network,
    acts_processes,
    acts_programs,
    acts_resources,
)
from spoke_runner.sandbox.escape.kit import ACTS, DONE, PLAIN, ROOT, Act, attempt

__all__ = [
    "ACTS",
    "DONE",
    "PLAIN",
    "ROOT",
    "Act",
    "acts_egress",
    "acts_files",
    "acts_kernel",
    "acts_network",
    "acts_processes",
    "acts_programs",
    "acts_resources",
    "attempt",
]
