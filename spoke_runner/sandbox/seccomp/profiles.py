"""The filters that ship: variants of the allow-list in `rules`, each for what one kind of spoke needs more, or less.

`plain`
    A spoke in namespaces of its own.
`no-userns`
    A spoke without namespaces: less, because more of the host is within reach.
`egress`
    `plain`, and connections to the hub's proxy: `connect`, and sockets of TCP over IPv4 and IPv6. Neither a filter nor
    landlock sees more of a connection than its port, so where it may lead is for the network namespace, in which there
    is nothing but the proxy's listener. Other protocols that share the type of TCP (MPTCP, SCTP, SMC) landlock does not
    count as TCP, so they are forbidden here. `setsockopt` shrinks to what clients set: TCP_ULP would put a second
    protocol, and its part of the kernel, on top of a connection.
`programs`
    `plain`, and children: new processes without new namespaces, `execve`, and signals, which the pid namespace bounds.
    Which programs may be executed is for landlock. `execveat` stays out, which could execute what has no path.
`egress-programs`
    Both.
`command`, `egress-command`, `no-userns-command`
    The same without `command`, and `execve`, by which the first stage puts the app's own program in its place. What may
    be executed is for landlock.

Invariants:
    * For one syscall, the allowed and the forbidden conditions of a profile never both hold (see `rules`).
    * No profile allows a socket of datagrams, raw packets or a family beside AF_UNIX, AF_INET and AF_INET6.
    * No profile allows a new namespace.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from spoke_runner.sandbox.seccomp.rules import (
    AF_UNIX,
    ALLOWED,
    CLONE_NAMESPACES,
    FORBIDDEN,
    INT,
    SOCK_STREAM,
    SOCK_TYPE_MASK,
    Condition,
    Rule,
    names,
)


class Profile(NamedTuple):
    """The allowed and the forbidden calls of one filter."""

    allowed: tuple[Rule, ...]
    forbidden: tuple[Rule, ...]


# Landlock has no say in modes, times and extended attributes, so where no mount namespace takes the host's files out of
# reach, a spoke with the hub's own uid could change or read those of any file.
_WITHOUT_NAMESPACES: Final = frozenset(
    names("""
    chmod fchmod fchmodat futimesat getxattr lgetxattr listxattr llistxattr utime utimensat utimes
""")
)

_INET: Final = (2, 10)  # AF_INET, AF_INET6
_TCP: Final = (0, 6)  # what the kernel takes for SOCK_STREAM unless told otherwise, and its name
_OTHER_STREAMS: Final = {"IPPROTO_SCTP": 132, "IPPROTO_SMC": 256, "IPPROTO_MPTCP": 262}
_FAMILIES: Final = 46  # beyond the last that the kernel has, the answer is ENOSYS
_SOL_SOCKET: Final = 1
_TCP_OPTIONS: Final = {
    "TCP_NODELAY": 1,
    "TCP_CORK": 3,
    "TCP_KEEPIDLE": 4,
    "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 6,
    "TCP_QUICKACK": 12,
    "TCP_USER_TIMEOUT": 18,
}
_TCP_ULP: Final = 31

_CHILDREN: Final = names("execve fork kill vfork")
# What shells and servers of children ask for besides; not known to `plain`, where it means nothing.
_CHILDREN_TOO: Final = names("alarm pause setpgid setsid")


def _is(position: int, value: int, mask: int = INT) -> Condition:
    return Condition(position, value, mask=mask)


def _without_namespaces(profile: Profile) -> Profile:
    return Profile(
        tuple(rule for rule in profile.allowed if rule.syscall not in _WITHOUT_NAMESPACES),
        (*profile.forbidden, *(Rule(name) for name in sorted(_WITHOUT_NAMESPACES))),
    )


def _with_egress(profile: Profile) -> Profile:
    stream = _is(1, SOCK_STREAM, SOCK_TYPE_MASK)
    allowed = [rule for rule in profile.allowed if rule.syscall != "setsockopt"]
    allowed.append(Rule("connect"))
    allowed += [Rule("socket", (_is(0, family), stream, _is(2, number))) for family in _INET for number in _TCP]
    allowed.append(Rule("setsockopt", (_is(1, _SOL_SOCKET),)))
    allowed += [Rule("setsockopt", (_is(1, _TCP[1]), _is(2, option))) for option in _TCP_OPTIONS.values()]
    any_other_family = Rule("socket", (Condition(0, AF_UNIX, equal=False),))
    forbidden = [rule for rule in profile.forbidden if rule not in (any_other_family, Rule("connect"))]
    forbidden += [Rule("socket", (_is(0, family),)) for family in range(_FAMILIES) if family not in (AF_UNIX, *_INET)]
    for family in _INET:
        forbidden += [
            Rule("socket", (_is(0, family), _is(1, kind, SOCK_TYPE_MASK)))
            for kind in range(SOCK_TYPE_MASK + 1)
            if kind != SOCK_STREAM
        ]
        forbidden += [Rule("socket", (_is(0, family), stream, _is(2, number))) for number in _OTHER_STREAMS.values()]
    forbidden.append(Rule("setsockopt", (_is(1, _TCP[1]), _is(2, _TCP_ULP))))
    return Profile(tuple(allowed), tuple(forbidden))


def _with_programs(profile: Profile) -> Profile:
    namespaces = CLONE_NAMESPACES.values()
    allowed = [rule for rule in profile.allowed if rule.syscall != "clone"]
    allowed += [Rule(name) for name in (*_CHILDREN, *_CHILDREN_TOO)]
    allowed.append(Rule("clone", (Condition(0, 0, mask=sum(namespaces)),)))
    forbidden = [rule for rule in profile.forbidden if rule.syscall not in ("clone", *_CHILDREN)]
    forbidden += [Rule("clone", (Condition(0, bit, mask=bit),)) for bit in namespaces]
    return Profile(tuple(allowed), tuple(forbidden))


def _with_command(profile: Profile) -> Profile:
    forbidden = tuple(rule for rule in profile.forbidden if rule.syscall != "execve")
    return Profile((*profile.allowed, Rule("execve")), forbidden)


_PLAIN: Final = Profile(ALLOWED, FORBIDDEN)

PROFILES: Final[dict[str, Profile]] = {
    "plain": _PLAIN,
    "no-userns": _without_namespaces(_PLAIN),
    "egress": _with_egress(_PLAIN),
    "programs": _with_programs(_PLAIN),
    "egress-programs": _with_programs(_with_egress(_PLAIN)),
    "command": _with_command(_PLAIN),
    "egress-command": _with_command(_with_egress(_PLAIN)),
    "no-userns-command": _with_command(_without_namespaces(_PLAIN)),
}
"""The allowed and the forbidden calls, by the name of the filter."""

ABSENT: Final[dict[str, frozenset[str]]] = {
    "x86_64": frozenset(),
    # Younger architectures have only the newer call of each pair: `openat` and no `open`.
    "aarch64": frozenset(
        names("""
    access alarm arch_prctl chmod creat dup2 epoll_create epoll_wait eventfd fork futimesat getdents getpgrp ioperm iopl
    link lstat mkdir mknod modify_ldt open pause pipe poll readlink rename rmdir select stat symlink time unlink utime
    utimes vfork
""")
    ),
}
"""The calls that a machine does not have, and whose rules its filters therefore lack."""
