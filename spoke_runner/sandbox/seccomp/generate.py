"""Write the seccomp filters as BPF with libseccomp: `python -m spoke_runner.sandbox.seccomp.generate`.

Build time only. What runs loads the written files, so neither libseccomp nor its binding is needed there, and a test
generates them again and compares byte by byte. The filters of every machine can be made on any of them, since
libseccomp knows the numbers of all.
"""

from __future__ import annotations

import tempfile
from errno import ENOSYS, EPERM
from pathlib import Path

import pyseccomp

from spoke_runner.sandbox.seccomp.profiles import ABSENT, PROFILES
from spoke_runner.sandbox.seccomp.rules import Condition

FILTERS = {"x86_64": pyseccomp.Arch.X86_64, "aarch64": pyseccomp.Arch.AARCH64}
_HERE = Path(__file__).parent


def generate(profile: str, machine: str) -> bytes:
    """Return the filter of a profile for a machine, as `uname -m` names it.

    Raises:
        KeyError: There are no filters for that profile or machine.
        OSError: libseccomp refuses a rule.
        ValueError: A call of the profile does not exist there and is not listed as absent, or the reverse.
    """
    filters = pyseccomp.SyscallFilter(pyseccomp.ERRNO(ENOSYS))
    target = FILTERS[machine]
    if target != pyseccomp.system_arch():
        filters.add_arch(target)
        filters.remove_arch(pyseccomp.system_arch())
    # The default for a foreign architecture kills one thread only, and leaves a spoke that hangs.
    filters.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.KILL_PROCESS)
    allowed, forbidden = PROFILES[profile]
    for action, rules in ((pyseccomp.ALLOW, allowed), (pyseccomp.ERRNO(EPERM), forbidden)):
        for rule in rules:
            # libseccomp leaves out a call that the machine does not have without a word.
            exists = pyseccomp.resolve_syscall(target, rule.syscall) >= 0
            if exists == (rule.syscall in ABSENT[machine]):
                raise ValueError(f"{rule.syscall} on {machine}: exists is {exists}, against the list in `profiles`")
            if not exists:
                continue
            filters.add_rule(action, rule.syscall, *map(_argument, rule.conditions))
    with tempfile.TemporaryFile() as file:
        filters.export_bpf(file)
        file.seek(0)
        return file.read()


def _argument(condition: Condition) -> pyseccomp.Arg:
    if not condition.equal:
        return pyseccomp.Arg(condition.position, pyseccomp.NE, condition.value)
    return pyseccomp.Arg(condition.position, pyseccomp.MASKED_EQ, condition.mask, condition.value)


def main() -> None:
    """Write every filter beside this module."""
    for profile in PROFILES:
        for machine in FILTERS:
            (_HERE / f"{profile}-{machine}.bpf").write_bytes(generate(profile, machine))


if __name__ == "__main__":
    main()
