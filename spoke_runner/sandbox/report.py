"""What is in force around a spoke, wall by wall, as tried from inside and seen from outside.

Invariants:
    * A report is whole or it is a breach: a canary that is missing, unknown or answered otherwise than expected, and
      a fact that could not be read, all stand in `breaches`.
    * `breaches` is empty exactly when the spoke may be talked to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from spoke_runner.sandbox.places import NONE, STRICT, Level

NAMESPACES: Final = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of the sandbox, and whether this host can do it; one that is not required may be absent."""

    name: str
    in_force: bool
    detail: str
    mend: str | None = None
    required: bool = True


@dataclass(frozen=True, slots=True)
class Canary:
    """One forbidden act, tried inside: what the kernel should answer, and what it did."""

    name: str
    expected: tuple[str, ...]
    answer: str

    @property
    def held(self) -> bool:
        """Whether the act was refused as it should be."""
        return self.answer in self.expected


@dataclass(frozen=True, slots=True)
class Outside:
    """What `/proc` of the host says about the sealed process.

    Attributes:
        seccomp: The mode, 2 for a filter.
        no_new_privs: 1 when set.
        capabilities: The five sets, as bits.
        uids: Real, effective, saved and of the file system.
        gids: The same.
        shared_namespaces: Those that are the hub's own.
        strange_namespaces: Those that are not the ones made for this spoke, when it had to enter them.
    """

    seccomp: int
    no_new_privs: int
    capabilities: dict[str, int]
    uids: tuple[int, ...]
    gids: tuple[int, ...]
    shared_namespaces: tuple[str, ...]
    strange_namespaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SandboxReport:
    """What is in force around one spoke.

    Attributes:
        level: The level that was asked for, and holds when `breaches` is empty.
        landlock_abi: The version of the kernel's landlock that the rules were made for.
        canaries: What was tried inside.
        outside: What was read outside, before any app code ran.
        breaches: One line for every wall that does not hold.
        cgroup: The one layer that is not required: in force as it was read back from outside, or absent and why.
    """

    level: Level
    landlock_abi: int
    canaries: tuple[Canary, ...]
    outside: Outside
    breaches: tuple[str, ...]
    cgroup: Layer = Layer("cgroup", False, "absent: not asked for", required=False)


def judge(
    *,
    level: Level = STRICT,
    landlock_abi: int,
    canaries: tuple[Canary, ...],
    required: tuple[str, ...],
    outside: Outside,
    uid: int,
    gid: int,
    own_uid: bool = True,
    listener_fault: str = "",
) -> SandboxReport:
    """Compare what was found with what must be.

    Args:
        level: What was asked for, all of which must be found.
        landlock_abi: As the spoke reports it.
        canaries: As the spoke reports them.
        required: The names of all canaries there are.
        outside: As read from the host's `/proc`.
        uid: The host uid that the spoke must have.
        gid: The host gid that the spoke must have.
        own_uid: Whether the spoke was given a uid by root, which also took its bounding set away.
        listener_fault: What is wrong with the listener that it handed over, if it should have one.
    """
    breaches = [
        f"canary {canary.name}: answered {canary.answer}, not {' or '.join(canary.expected)}"
        for canary in canaries
        if not canary.held
    ]
    if tuple(canary.name for canary in canaries) != required:
        breaches.append("the canaries that reported are not those that were sent")
    if level != NONE:
        breaches += _unsealed(outside, bounding=level == STRICT or own_uid)
    if 0 in outside.uids or set(outside.uids) != {uid}:
        breaches.append(f"the uids are {outside.uids}, not {uid}")
    if 0 in outside.gids or set(outside.gids) != {gid}:
        breaches.append(f"the gids are {outside.gids}, not {gid}")
    if level == STRICT:
        breaches += [f"the {name} namespace is the hub's own" for name in outside.shared_namespaces]
        breaches += [f"the {name} namespace is not the one made for it" for name in outside.strange_namespaces]
    if listener_fault:
        breaches.append(listener_fault)
    return SandboxReport(
        level=level, landlock_abi=landlock_abi, canaries=canaries, outside=outside, breaches=tuple(breaches)
    )


def _unsealed(outside: Outside, *, bounding: bool) -> list[str]:
    found = []
    if outside.seccomp != 2:
        found.append(f"Seccomp is {outside.seccomp}, not 2 (filter)")
    if outside.no_new_privs != 1:
        found.append("NoNewPrivs is not set")
    sets = {name: value for name, value in outside.capabilities.items() if bounding or name != "CapBnd"}
    return found + [f"{name} is {value:#x}, not 0" for name, value in sets.items() if value]
