"""The floor of the sandbox, and the one way below it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.app import SandboxMissing, serve
from hub.config import ClientConfig, Config
from hub.spokes.starting import Runner
from spoke_runner.sandbox import Footing


def config(directory: Path) -> Config:
    return Config(state_dir=directory / "state", runtime_dir=directory / "run", clients=(ClientConfig(user="ann"),))


async def test_a_hub_below_its_minimum_does_not_start_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unable = tmp_path / "bwrap"
    unable.write_text("#!/bin/sh\necho bubblewrap 0.7.0\n")
    unable.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    with pytest.raises(SandboxMissing, match=r"strict is the minimum: bubblewrap: .*0\.7\.0 is too old"):
        async with serve(config(tmp_path)):
            pass


async def test_without_a_sandbox_the_hub_says_so_in_the_audit_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serve(config(tmp_path), unsafe_no_sandbox=True) as hub:
        assert hub.socket.exists()

    out = capsys.readouterr()
    assert "NO SANDBOX" in out.out + out.err
    assert b"none: the sandbox was switched off" in b"".join(
        path.read_bytes() for path in (tmp_path / "state").glob("hub.db*")
    )


async def test_nobody_starts_spokes_in_the_runners_place_where_walls_are_asked_for(tmp_path: Path) -> None:
    starter = Runner(Footing("none"), on_event=lambda event: None, on_zygote_event=lambda what: None)
    with pytest.raises(ValueError, match="builds no sandbox"):
        async with serve(config(tmp_path), starter=starter):
            pass
