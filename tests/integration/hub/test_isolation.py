"""How the hub starts spokes: warm unless the manifest says cold, and in the log which way it was."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from hub.client import HubError
from hub.spokes.starting import Runner
from spoke_runner.sandbox import Zygote
from tests.support.live import VAULT, Live, app, live, until, workplace


async def ways(hub: Live, times: int) -> list[str]:
    """Wait for so many starts, and return how each was made."""
    await until(lambda: sum(body["what"] == "started" for _, _, body in hub.rows("spoke")) >= times)
    return [body["isolation"] for _, _, body in hub.rows("spoke") if body["what"] == "started"]


def zygote_of(hub: Live) -> Zygote:
    runner = hub.hub.supervisor.starter
    assert isinstance(runner, Runner)
    return runner.zygote


def cold_vault(root: Path, more: str = "isolation: cold") -> Path:
    directory = root / "vault"
    shutil.copytree(VAULT, directory)
    root.chmod(0o755)
    manifest = directory / "app.yaml"
    manifest.write_text(manifest.read_text() + f"\n{more}\n")
    return directory


async def test_an_app_is_started_warm_unless_its_manifest_says_cold() -> None:
    async with live(VAULT) as hub, hub.client.session() as session:
        await session.invoke("vault.runs", {})
        assert await ways(hub, 1) == ["warm"]
        assert (await hub.row("spoke", lambda body: body["what"] == "started"))["sandbox"] == "strict"
    async with workplace() as root, live(app(cold_vault(root))) as hub, hub.client.session() as session:
        await session.invoke("vault.runs", {})
        assert await ways(hub, 1) == ["cold"]


async def test_without_namespaces_every_start_is_cold_and_there_is_no_zygote() -> None:
    async with live(VAULT, unsafe_no_sandbox=True) as hub, hub.client.session() as session:
        await session.invoke("vault.runs", {})

        started = await hub.row("spoke", lambda body: body["what"] == "started")
        assert (started["isolation"], started["sandbox"]) == ("cold", "none")
        assert [body for _, _, body in hub.rows("spoke") if body["what"] != "started"] == []
        assert zygote_of(hub).pids == ()


async def test_an_app_with_programs_is_started_cold_without_a_word() -> None:
    async with (
        workplace() as root,
        live(app(cold_vault(root, "programs: [/bin/sh]"))) as hub,
        hub.client.session() as session,
    ):
        await session.invoke("vault.runs", {})
        assert await ways(hub, 1) == ["cold"]
        assert [body["what"] for _, _, body in hub.rows("spoke")] == ["started"]


async def test_an_app_whose_program_this_host_does_not_have_is_not_started_and_the_log_says_why() -> None:
    async with (
        workplace() as root,
        live(app(cold_vault(root, "programs: [/usr/bin/nothing]"))) as hub,
        hub.client.session() as session,
    ):
        with pytest.raises(HubError, match="not available"):
            await session.invoke("vault.runs", {})
        row = await hub.row("spoke", lambda body: body["what"] == "start failed")
        assert "programs: /usr/bin/nothing: it cannot be found" in row["error"]


async def test_a_start_that_cannot_be_warm_is_cold_and_the_log_says_why() -> None:
    async with live(VAULT) as hub, hub.client.session() as session:
        # Closed before its time, as nothing outside does it, so that it stays away.
        await zygote_of(hub).__aexit__(None, None, None)
        await session.invoke("vault.runs", {})

        row = await hub.row("spoke", lambda body: body["what"] == "no warm start, so a cold one")
        assert "the zygote is closed" in row["error"]
        assert await ways(hub, 1) == ["cold"]


async def test_a_zygote_that_dies_is_on_record_and_the_next_call_is_served_warm() -> None:
    async with live(VAULT) as hub, hub.client.session() as session:
        await session.invoke("vault.runs", {})
        os.kill(zygote_of(hub).pids[0], signal.SIGKILL)

        await hub.row("zygote", lambda body: "ended unasked" in body["what"])
        await until(lambda: not hub.hub.supervisor.running)  # its spokes end with it, each noticed by itself
        assert (await session.invoke("vault.runs", {})).result == []
        assert await ways(hub, 2) == ["warm", "warm"]
