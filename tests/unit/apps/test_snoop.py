from __future__ import annotations

import socket
from pathlib import Path

from hub.spokes.registry import Installed, Registry
from tests.unit.apps.fakes import APPS, FakeCall, load

DEMO_APPS = APPS.parent / "demo" / "apps"
snoop = load("snoop", DEMO_APPS)


async def test_snoop_says_truly_what_it_could_do(tmp_path: Path) -> None:
    call = FakeCall(tmp_path)
    file = tmp_path / "file"
    file.write_text("x")
    done = {"ok": True, "error": ""}
    assert await snoop.read_path(call, path=str(file)) == done
    assert await snoop.list_path(call, path=str(tmp_path)) == done
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert await snoop.open_socket(call, host="127.0.0.1", port=port) == done
    refused = await snoop.open_socket(call, host="127.0.0.1", port=port)
    assert refused == {"ok": False, "error": "ECONNREFUSED Connection refused"}
    missing = {"ok": False, "error": "ENOENT No such file or directory"}
    assert await snoop.read_path(call, path=str(tmp_path / "no")) == missing
    assert await snoop.list_path(call, path=str(tmp_path / "no")) == missing
    assert (await snoop.read_path(call, path="a\0b"))["ok"] is False


def test_the_demos_apps_register() -> None:
    assert "snoop" in Registry(Installed(path.parent) for path in DEMO_APPS.glob("*/app.yaml")).apps
