"""What a spec refuses."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from spoke_runner.sandbox import Limits, SandboxSpec, discover_python


def spec(**changes: Any) -> SandboxSpec:
    given: dict[str, Any] = {"app": "mail", "app_dir": Path("/a"), "data_dir": Path("/d"), "socket_dir": Path("/s")}
    return SandboxSpec(**{**given, **changes})


@pytest.mark.parametrize("uid", [0, -1])
def test_no_spec_asks_for_root(uid: int) -> None:
    with pytest.raises(ValueError, match="never runs as uid 0"):
        spec(uid=uid)


@pytest.mark.parametrize("name", ["app_dir", "data_dir", "socket_dir"])
def test_every_path_is_absolute(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be absolute"):
        spec(**{name: Path("here")})


def test_a_socket_path_that_no_socket_can_have_is_refused() -> None:
    assert len(bytes(spec(socket_dir=Path("/" + "s" * 95)).socket_path)) == 107
    with pytest.raises(ValueError, match="longer than 107 bytes"):
        spec(socket_dir=Path("/" + "s" * 96))


@pytest.mark.parametrize("name", ["memory_bytes", "file_bytes", "open_files", "processes", "stack_bytes"])
def test_a_limit_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be positive"):
        Limits(**{name: 0})


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec().uid = 1  # type: ignore[misc]


def test_the_discovered_python_shows_the_project_without_the_hub() -> None:
    python = discover_python()

    shown = {str(mount.target): mount.source for mount in python.mounts}
    assert shown["/opt/spokegate/lib/spoke_runner"].name == "spoke_runner"
    assert (shown["/opt/spokegate/lib/spokegate"] / "v1").is_dir()
    for target, source in shown.items():
        assert not (source / "hub" / "mediation").is_dir() or Path(target) / "hub" in python.hidden
