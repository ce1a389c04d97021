"""What a sealed spoke may ask of the kernel: the seccomp allow-list, as data; `profiles` makes variants of it.

Three answers: ALLOWED calls happen; FORBIDDEN calls fail with EPERM, so that an attempt is seen for what it is; every
other call, also one that the kernel learns tomorrow, fails with ENOSYS, which makes a C library take an older path
(`clone3` to `clone`, `openat2` to `openat`). A call of a foreign architecture kills the process.

Invariants:
    * For one syscall, the ALLOWED and the FORBIDDEN conditions never both hold, so the order of rules does not matter.
      The one overlap is `socket` with garbage in the upper half of the domain, where either answer is sound.
    * No allowed call makes memory that RLIMIT_DATA does not count: no memfd_create, no shared anonymous mapping, no
      System V or POSIX queue. (A shared mapping of /dev/zero would be a way, so the sandbox has no /dev/zero.)
    * No allowed call does anything to another process: `kill` and its kin are forbidden, `tgkill` stays for `abort()`,
      and the pid namespace, or where there is none a second filter of the seal, leaves it nobody else to reach.
    * Arguments that the kernel reads as 32 bits are compared as 32 bits.
    * AF_UNIX means SOCK_STREAM: a datagram socket could send to any path without ever calling `connect`.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Condition(NamedTuple):
    """Holds when the argument at `position`, masked, equals `value`; with `equal` False, when it differs."""

    position: int
    value: int
    mask: int = 0xFFFF_FFFF_FFFF_FFFF
    equal: bool = True


class Rule(NamedTuple):
    """One syscall, and the conditions that must all hold."""

    syscall: str
    conditions: tuple[Condition, ...] = ()


def names(text: str) -> tuple[str, ...]:
    """Return the words of a text, as names of calls."""
    return tuple(text.split())


INT: Final = 0xFFFF_FFFF
_CLONE_THREAD: Final = 0x0001_0000
# NEWTIME shares its bit with the exit signal of `clone`, where it means nothing; `clone3` is not allowed.
CLONE_NAMESPACES: Final = {
    "mnt": 0x0002_0000,
    "cgroup": 0x0200_0000,
    "uts": 0x0400_0000,
    "ipc": 0x0800_0000,
    "user": 0x1000_0000,
    "pid": 0x2000_0000,
    "net": 0x4000_0000,
}
_MAP_SHARED: Final = 0x01
_MAP_ANONYMOUS: Final = 0x20
AF_UNIX: Final = 1
SOCK_STREAM: Final = 1
SOCK_TYPE_MASK: Final = 0xF

_PLAIN_FILES: Final = names("""
    access chdir chmod close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64
    fchdir fchmod fchmodat fdatasync fgetxattr flistxattr flock fstat fstatfs fsync ftruncate futimesat getcwd
    getdents getdents64 getxattr lgetxattr link linkat listxattr llistxattr lseek lstat mkdir mkdirat newfstatat open
    openat pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv rename
    renameat renameat2 rmdir sendfile stat statfs statx sync_file_range truncate umask unlink unlinkat utime
    utimensat utimes write writev
""")
_PLAIN_MEMORY: Final = names("brk madvise membarrier mprotect mremap msync munmap")
_PLAIN_THREADS: Final = names("""
    arch_prctl exit exit_group futex get_robust_list getcpu gettid rseq sched_get_priority_max sched_get_priority_min
    sched_getaffinity sched_getparam sched_getscheduler sched_yield set_robust_list set_tid_address tgkill wait4 waitid
""")
_PLAIN_SIGNALS: Final = names("""
    restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigtimedwait sigaltstack
""")
_PLAIN_TIME: Final = names("""
    clock_getres clock_gettime clock_nanosleep getitimer gettimeofday nanosleep setitimer time timerfd_create
    timerfd_gettime timerfd_settime
""")
_PLAIN_WAITING: Final = names("""
    epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 poll ppoll pselect6 select
""")
_PLAIN_SOCKETS: Final = names("""
    accept accept4 bind getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg sendmsg sendto
    setsockopt shutdown
""")
_PLAIN_FACTS: Final = names("""
    capget getegid geteuid getgid getgroups getpgid getpgrp getpid getppid getpriority getrandom getresgid getresuid
    getrlimit getrusage getsid getuid sysinfo times uname
""")

_IOCTLS: Final = {
    "TCGETS": 0x5401,  # isatty
    "TIOCGWINSZ": 0x5413,
    "FIONREAD": 0x541B,
    "FIONBIO": 0x5421,
    "FIONCLEX": 0x5450,
    "FIOCLEX": 0x5451,
}
_FORBIDDEN_IOCTLS: Final = {"TIOCSTI": 0x5412, "TIOCLINUX": 0x541C, "TIOCSCTTY": 0x540E}
_FCNTLS: Final = {
    "F_DUPFD": 0,
    "F_GETFD": 1,
    "F_SETFD": 2,
    "F_GETFL": 3,
    "F_SETFL": 4,
    "F_GETLK": 5,
    "F_SETLK": 6,
    "F_SETLKW": 7,
    "F_OFD_GETLK": 36,
    "F_OFD_SETLK": 37,
    "F_OFD_SETLKW": 38,
    "F_DUPFD_CLOEXEC": 1030,
    "F_GETPIPE_SZ": 1032,
}
_FORBIDDEN_FCNTLS: Final = {
    "F_SETOWN": 8,  # the kernel would send this process's signals for it
    "F_SETSIG": 10,
    "F_SETOWN_EX": 15,
    "F_SETLEASE": 1024,
    "F_NOTIFY": 1026,
    "F_SETPIPE_SZ": 1031,  # a pipe is memory that no limit of the process counts
}
_PRCTLS: Final = {"PR_GET_DUMPABLE": 3, "PR_SET_NAME": 15, "PR_GET_NAME": 16, "PR_GET_NO_NEW_PRIVS": 39}
_FORBIDDEN_PRCTLS: Final = {
    "PR_SET_PDEATHSIG": 1,  # a spoke that unsets it would outlive the hub
    "PR_SET_DUMPABLE": 4,
    "PR_SET_KEEPCAPS": 8,
    "PR_SET_SECCOMP": 22,
    "PR_SET_SECUREBITS": 28,
    "PR_SET_MM": 35,
    "PR_SET_CHILD_SUBREAPER": 36,
    "PR_CAP_AMBIENT": 47,
    "PR_SET_PTRACER": 0x5961_6D61,
}

_FORBIDDEN: Final = names("""
    acct add_key adjtimex bpf capset chroot clock_adjtime clock_settime connect delete_module execve execveat
    fanotify_init fanotify_mark finit_module fork fsconfig fsmount fsopen fspick get_mempolicy init_module io_cancel
    io_destroy io_getevents io_setup io_submit io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp
    kexec_file_load kexec_load keyctl kill lookup_dcookie mbind memfd_create memfd_secret migrate_pages mknod mknodat
    modify_ldt mount mount_setattr move_mount move_pages mq_open msgctl msgget msgrcv msgsnd name_to_handle_at
    open_by_handle_at open_tree perf_event_open personality pidfd_getfd pidfd_open pidfd_send_signal pivot_root
    process_madvise process_vm_readv process_vm_writev ptrace quotactl reboot request_key rt_sigqueueinfo
    rt_tgsigqueueinfo sched_setattr sched_setscheduler seccomp semctl semget semop set_mempolicy setdomainname setfsgid
    setfsuid setgid setgroups sethostname setns setregid setresgid setresuid setreuid setrlimit settimeofday setuid
    shmat shmctl shmdt shmget splice swapoff swapon symlink symlinkat syslog tee tkill umount2 unshare userfaultfd
    vfork vhangup vmsplice
""")

_THREAD_BITS: Final = _CLONE_THREAD | sum(CLONE_NAMESPACES.values())

ALLOWED: Final[tuple[Rule, ...]] = (
    *(
        Rule(name)
        for name in (
            *_PLAIN_FILES,
            *_PLAIN_MEMORY,
            *_PLAIN_THREADS,
            *_PLAIN_SIGNALS,
            *_PLAIN_TIME,
            *_PLAIN_WAITING,
            *_PLAIN_SOCKETS,
            *_PLAIN_FACTS,
        )
    ),
    Rule("clone", (Condition(0, _CLONE_THREAD, mask=_THREAD_BITS),)),
    Rule("mmap", (Condition(3, 0, mask=_MAP_ANONYMOUS),)),
    Rule("mmap", (Condition(3, _MAP_ANONYMOUS, mask=_MAP_ANONYMOUS | _MAP_SHARED),)),
    *(
        Rule(call, (Condition(0, AF_UNIX, mask=INT), Condition(1, SOCK_STREAM, mask=SOCK_TYPE_MASK)))
        for call in ("socket", "socketpair")
    ),
    Rule("prlimit64", (Condition(2, 0),)),
    *(Rule("ioctl", (Condition(1, request, mask=INT),)) for request in _IOCTLS.values()),
    *(Rule("fcntl", (Condition(1, command, mask=INT),)) for command in _FCNTLS.values()),
    *(Rule("prctl", (Condition(0, option, mask=INT),)) for option in _PRCTLS.values()),
)

FORBIDDEN: Final[tuple[Rule, ...]] = (
    *(Rule(name) for name in _FORBIDDEN),
    Rule("clone", (Condition(0, 0, mask=_CLONE_THREAD),)),
    *(
        Rule("clone", (Condition(0, bit | _CLONE_THREAD, mask=bit | _CLONE_THREAD),))
        for bit in CLONE_NAMESPACES.values()
    ),
    Rule("mmap", (Condition(3, _MAP_ANONYMOUS | _MAP_SHARED, mask=_MAP_ANONYMOUS | _MAP_SHARED),)),
    *(Rule(call, (Condition(0, AF_UNIX, equal=False),)) for call in ("socket", "socketpair")),
    *(
        Rule(call, (Condition(0, AF_UNIX, mask=INT), Condition(1, kind, mask=SOCK_TYPE_MASK)))
        for call in ("socket", "socketpair")
        for kind in range(SOCK_TYPE_MASK + 1)
        if kind != SOCK_STREAM
    ),
    Rule("prlimit64", (Condition(2, 0, equal=False),)),
    *(Rule("ioctl", (Condition(1, request, mask=INT),)) for request in _FORBIDDEN_IOCTLS.values()),
    *(Rule("fcntl", (Condition(1, command, mask=INT),)) for command in _FORBIDDEN_FCNTLS.values()),
    *(Rule("prctl", (Condition(0, option, mask=INT),)) for option in _FORBIDDEN_PRCTLS.values()),
)
