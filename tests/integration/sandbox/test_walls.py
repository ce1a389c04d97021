"""A wall that is missing is noticed, whichever it is: each is taken away once, by the lower-level parts."""

import os
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spoke_runner.sandbox import (
    CanaryFailed,
    SandboxSpec,
    SandboxUnavailable,
    Zygote,
    ZygoteUnavailable,
    find_host_programs,
    settle,
)
from spoke_runner.sandbox import command as commands
from spoke_runner.sandbox import setup as setups
from spoke_runner.sandbox.diagnosis import find_tools
from spoke_runner.sandbox.launcher import COLD, Way, start
from spoke_runner.sandbox.ownership import give
from tests.integration.sandbox.spokes import (
    APPS,
    both_ways,
    call,
    running,
    workshop,
    zygotes_and_forks,
)
from tests.support.processes import processes_of

Line = tuple[str, ...]
Document = dict[str, Any]
Weaken = Callable[[Line, Document], tuple[Line, Document]]


def covers_of(spec: SandboxSpec) -> tuple[Path, ...]:
    return commands.closed_directories(commands.sources(spec), spec.uid) if spec.uid is not None else ()


async def start_weakened(spec: SandboxSpec, weaken: Weaken, way: Way = COLD) -> None:
    covers: tuple[Path, ...] = ()
    if spec.uid is not None:
        give(spec.data_dir, spec.uid)
        give(spec.socket_dir, spec.uid)
        covers = covers_of(spec)

    def recipe(report_fd: int) -> tuple[Line, Document]:
        line = commands.argv(spec, tools=find_tools(), covers=covers, warm=way.warm)
        document = setups.setup(
            spec, entry="plain:app", report_fd=report_fd, seccomp_filter=setups.filter_name(spec.profile)
        )
        return weaken(line, document)

    uid = spec.uid or os.geteuid()
    await start(spec, recipe, uid=uid, gid=spec.uid or os.getegid(), timeout_seconds=20, way=way)


def without(*words: str) -> Weaken:
    def weaken(line: Line, document: Document) -> tuple[Line, Document]:
        assert set(words) <= set(line)
        return tuple(word for word in line if word not in words), document

    return weaken


def landlock_grants_everything(line: Line, document: Document) -> tuple[Line, Document]:
    return line, {**document, "grants": {**document["grants"], "read": ["/"]}}


def host_files_are_shown(line: Line, document: Document) -> tuple[Line, Document]:
    position = line.index("--remount-ro")
    shown = (*line[:position], "--ro-bind", "/etc", "/etc", *line[position:])
    return shown, {**document, "grants": {**document["grants"], "read": [*document["grants"]["read"], "/etc"]}}


def unknown_option(line: Line, document: Document) -> tuple[Line, Document]:
    end = len(line) - 1 - line[::-1].index("--")
    return (*line[:end], "--no-such-thing", *line[end:]), document


def an_empty_filter(line: Line, document: Document) -> tuple[Line, Document]:
    return line, {**document, "filter": "/app/allow.bpf"}


def app_with_an_empty_filter(root: Path) -> Path:
    """Copy the app, with a filter of one instruction beside it: return ALLOW."""
    app_dir = root / "plain"
    app_dir.mkdir(mode=0o755)
    (app_dir / "plain.py").write_bytes((APPS / "plain" / "plain.py").read_bytes())
    (app_dir / "allow.bpf").write_bytes(struct.pack("HBBI", 0x06, 0, 0, 0x7FFF_0000))
    return app_dir


@asynccontextmanager
async def going(way: str) -> AsyncIterator[Way]:
    if way == "cold":
        yield COLD
        return
    async with Zygote() as zygote:
        yield zygote.way


NAMESPACES = [
    (without("--unshare-net"), "the net namespace is the hub's own"),
    (without("--unshare-ipc"), "the ipc namespace is the hub's own"),
    (without("--unshare-uts", "--hostname", "spoke"), "the uts namespace is the hub's own"),
    (without("--unshare-cgroup"), "the cgroup namespace is the hub's own"),
]


@pytest.mark.parametrize(("weaken", "breach"), NAMESPACES)
async def test_a_spoke_with_a_namespace_missing_is_killed_before_the_app_runs(weaken: Weaken, breach: str) -> None:
    with workshop() as shop:
        with pytest.raises(CanaryFailed) as caught:
            await start_weakened(shop.spec(APPS / "plain"), weaken)

        assert breach in caught.value.report.breaches
        assert processes_of(shop.root) == []


@pytest.mark.parametrize(("weaken", "breach"), NAMESPACES)
async def test_a_zygotes_child_cannot_even_enter_a_namespace_that_is_the_hubs(weaken: Weaken, breach: str) -> None:
    with workshop() as shop:
        async with going("warm") as how:
            with pytest.raises(ZygoteUnavailable, match="Operation not permitted"):
                await start_weakened(shop.spec(APPS / "plain"), weaken, how)

            assert processes_of(shop.root) == []
            assert len(zygotes_and_forks()) == 1


@both_ways
@pytest.mark.parametrize(
    ("weaken", "breach"),
    [
        (without("--as-pid-1"), "canary alone"),
        (landlock_grants_everything, "canary read_ungranted: answered done"),
        (host_files_are_shown, "canary read_outside: answered done"),
        (an_empty_filter, "canary fork: answered done"),
    ],
)
async def test_a_spoke_with_a_wall_missing_is_killed_before_the_app_runs(weaken: Weaken, breach: str, way: str) -> None:
    with workshop() as shop:
        async with going(way) as how:
            with pytest.raises(CanaryFailed) as caught:
                await start_weakened(shop.spec(app_with_an_empty_filter(shop.root)), weaken, how)

            assert any(breach in found for found in caught.value.report.breaches), caught.value.report.breaches
            assert processes_of(shop.root) == []
            assert len(zygotes_and_forks()) == how.warm


@both_ways
async def test_a_command_that_does_not_come_up_names_the_layer(way: str) -> None:
    with workshop() as shop:
        async with going(way) as how:
            with pytest.raises(SandboxUnavailable) as caught:
                await start_weakened(shop.spec(APPS / "plain"), unknown_option, how)

        assert caught.value.mend
        assert processes_of(shop.root) == []


def what_is_allowed_without_more(line: Line, document: Document) -> tuple[Line, Document]:
    """Take the filter of `strict`, in which modes may be changed, to where that is not enough."""
    return line, {**document, "filter": document["filter"].replace("no-userns-", "plain-")}


@pytest.mark.parametrize(
    ("weaken", "breach"),
    [
        (landlock_grants_everything, "canary read_ungranted: answered done"),
        (what_is_allowed_without_more, "canary change_mode: answered ENOENT"),
    ],
)
async def test_without_namespaces_each_layer_that_is_left_is_missed_too(weaken: Weaken, breach: str) -> None:
    with workshop() as shop:
        spec = replace(shop.spec(APPS / "plain"), level="no-userns")
        with pytest.raises(CanaryFailed) as caught:
            await start_weakened(spec, weaken)

        assert any(breach in found for found in caught.value.report.breaches), caught.value.report.breaches
        assert processes_of(shop.root) == []


def everything_written_may_be_executed(line: Line, document: Document) -> tuple[Line, Document]:
    return line, {**document, "grants": {**document["grants"], "execute": ["/data"]}}


def the_filter_of(profile: str) -> Weaken:
    def weaken(line: Line, document: Document) -> tuple[Line, Document]:
        return line, {**document, "filter": document["filter"].replace(f"{document['profile']}-", f"{profile}-")}

    return weaken


@both_ways
@pytest.mark.parametrize(
    ("weaken", "breach"),
    [
        (an_empty_filter, "canary socket_inet_datagram: answered done"),
        (the_filter_of("plain"), "canary socket_inet: answered EPERM, not done"),
        (the_filter_of("egress-programs"), "canary fork: answered done, not EPERM"),
    ],
)
async def test_with_egress_each_wall_that_remains_is_missed(weaken: Weaken, breach: str, way: str) -> None:
    with workshop() as shop:
        spec = replace(shop.spec(app_with_an_empty_filter(shop.root)), egress=True)
        async with going(way) as how:
            with pytest.raises(CanaryFailed) as caught:
                await start_weakened(spec, weaken, how)

        assert any(breach in found for found in caught.value.report.breaches), caught.value.report.breaches
        assert processes_of(shop.root) == []


@pytest.mark.parametrize(
    ("weaken", "breach"),
    [
        (an_empty_filter, "canary clone_into_namespace: answered ENOSPC"),
        (everything_written_may_be_executed, "canary execute_written: answered ENOEXEC"),
        (the_filter_of("plain"), "canary fork: answered EPERM, not done"),
        (the_filter_of("egress-programs"), "canary socket_inet: answered done, not EPERM"),
    ],
)
async def test_with_programs_each_wall_that_remains_is_missed(weaken: Weaken, breach: str) -> None:
    with workshop() as shop:
        spec = replace(shop.spec(app_with_an_empty_filter(shop.root)), programs=find_host_programs(["/bin/sh"]))
        with pytest.raises(CanaryFailed) as caught:
            await start_weakened(spec, weaken)

        assert any(breach in found for found in caught.value.report.breaches), caught.value.report.breaches
        assert processes_of(shop.root) == []


async def test_what_was_built_for_a_weaker_level_is_not_taken_for_strict() -> None:
    with workshop() as shop:
        weaker = replace(shop.spec(APPS / "plain"), level="no-userns")

        def built_weaker(line: Line, document: Document) -> tuple[Line, Document]:
            report_fd = document["report_fd"]
            other = setups.setup(
                weaker, entry="plain:app", report_fd=report_fd, seccomp_filter=setups.filter_name("no-userns")
            )
            return commands.argv(weaker, tools=find_tools(), covers=covers_of(weaker)), other

        with pytest.raises(CanaryFailed) as caught:
            await start_weakened(shop.spec(APPS / "plain"), built_weaker)

        assert "the net namespace is the hub's own" in caught.value.report.breaches


async def test_a_host_without_namespaces_is_refused_unless_the_minimum_allows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o755)
    unable = tmp_path / "bwrap"
    unable.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && { echo bubblewrap 0.8.0; exit; }\n'
        'case "$*" in *--unshare-user*) echo "bwrap: No permissions to create new namespace" >&2; exit 1;; esac\n'
        f'exec {find_tools().bwrap} "$@"\n'
    )
    unable.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    with pytest.raises(SandboxUnavailable) as caught:
        await settle("strict")
    allowed = await settle("no-userns")

    assert caught.value.layer == "namespaces"
    assert caught.value.mend
    assert allowed.level == "no-userns"
    assert allowed.report is not None
    assert allowed.report.level == "no-userns"
    assert "namespace" in allowed.why


async def test_where_strict_can_be_built_a_lower_minimum_changes_nothing() -> None:
    assert (await settle("no-userns")).level == "strict"


async def test_no_spoke_is_started_warm_where_there_are_no_namespaces() -> None:
    with workshop() as shop:
        spec = shop.spec(APPS / "plain")
        async with Zygote() as zygote:
            for level in ("no-userns", "none"):
                with pytest.raises(ZygoteUnavailable, match=f"at level {level}"):
                    await zygote.launch(replace(spec, level=level), entry="plain:app")

        assert processes_of(shop.root) == []


@both_ways
async def test_a_spoke_without_a_proc_is_as_sealed(way: str) -> None:
    with workshop() as shop:
        async with running(replace(shop.spec(APPS / "plain"), proc=False), "plain:app", way=way) as spoke:
            assert spoke.report.breaches == ()
            assert await call(spoke, "echo", text="x") == {"text": "x"}
