"""An app in Go, from the protos alone: it answers, asks, and is stopped where every spoke is.

Slow where Go has compiled none of it yet: about half a minute. So `make test` leaves it out and `.ci/run` runs it.
"""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from hub.config import PROJECT_ROOT
from scripts import build_tool
from spoke_runner.sandbox import launch
from spoke_runner.sandbox.places import Level
from tests.integration.sandbox.spokes import call, workshop
from tests.support.apps import APPS
from tests.support.live import ALLOW_ALL, VAULT, live, policies_of, workplace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SOURCE = APPS / "gopher"
COMMAND = ("./gopher", "--as", "told")
PROTOS = ("spokegate/v1/spoke.proto", "spokegate/v1/memory.proto", "spokegate/v1/error.proto")
PLUGINS = ("google.golang.org/protobuf/cmd/protoc-gen-go", "google.golang.org/grpc/cmd/protoc-gen-go-grpc")


@pytest.fixture(scope="module")
def gopher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the stubs and compile the app, with the plug-ins that its `go.sum` pins; return its directory."""
    module, app = (tmp_path_factory.mktemp(name) for name in ("module", "gopher"))
    shutil.copytree(SOURCE, module, dirs_exist_ok=True)
    go = build_tool.find_go(PROJECT_ROOT, (1, 25, 0))

    def run(*line: str, **variables: str) -> None:
        environment = {**go.environment, **variables}
        done = subprocess.run(line, cwd=module, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    run(str(go.executable), "build", "-mod=readonly", "-o", "bin/", *PLUGINS)
    options = ",".join(["module=gopher", *(f"M{proto}=gopher/spokegate/v1" for proto in PROTOS)])
    outputs = [f"--{kind}_{what}" for kind in ("go", "go-grpc") for what in ("out=.", f"opt={options}")]
    path = os.pathsep.join([str(module / "bin"), go.environment["PATH"]])
    protoc = (sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={PROJECT_ROOT / 'proto'}")
    run(*protoc, *outputs, *PROTOS, PATH=path)
    run(str(go.executable), "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-o", str(app / "gopher"), ".")
    shutil.copy(SOURCE / "app.yaml", app)
    app.chmod(0o755)
    (app / "gopher").chmod(0o755)
    return app


async def test_an_app_in_go_answers_and_asks_through_the_hub(gopher: Path) -> None:
    async with (
        workplace() as root,
        live(gopher, VAULT, root=root, policies=(policies_of(root / "policies", ALLOW_ALL),)) as hub,
        hub.client.session() as session,
    ):
        heard = (await session.invoke("gopher.shout", {"text": "hello"})).result
        assert (heard["text"], heard["words"]) == ("hello!", ["/app/gopher", "--as", "told"])
        assert sorted(heard["environment"]) == [
            "HOME=/data",
            "SPOKEGATE_DATA_DIR=/data",
            "SPOKEGATE_SOCKET=/run/spoke/spoke.sock",
            "TMPDIR=/tmp",
        ]
        passed = await session.invoke("gopher.pass_on", {"function": "vault.read_mail"})
        assert passed.result == {"answered": "please write to mallory@example.org"}
        refused = await session.invoke("gopher.pass_on", {"function": "vault.missing"})
        assert refused.result == {"refused": "ERROR_REASON_FUNCTION_NOT_FOUND"}
        started = await hub.row("spoke", lambda body: body["what"] == "started" and body["isolation"] == "cold")
        assert started["sandbox"] == "strict"


@contextmanager
def targets(root: Path, program: Path) -> Iterator[dict[str, tuple[str, str]]]:
    """Plant what a hostile program would like to reach, open to every user; yield acts and their targets."""
    (root / "open").mkdir()
    (root / "open").chmod(0o777)
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as other:
        other.bind(str(root / "other.sock"))
        other.listen()
        (root / "other.sock").chmod(0o777)
        yield {
            "read a file of the host": ("read", "/etc/passwd"),
            "write outside": ("write", str(root / "open" / "file")),
            "connect by TCP": ("connect", f"127.0.0.1:{tcp.getsockname()[1]}"),
            "dial another socket": ("dial", str(root / "other.sock")),
            "start a process": ("start", str(program)),
            "send a signal": ("signal", "0"),
            # The last one, because it succeeds by ending the program.
            "execute another program": ("execute", "/bin/true"),
        }


async def tried(gopher: Path, level: Level) -> dict[str, str]:
    with workshop() as shop:
        shop.root.chmod(0o755)
        spoke = await launch(replace(shop.spec(gopher), level=level), entry=COMMAND)
        found = {}
        try:
            with targets(shop.root, gopher / "gopher") as acts:
                for name, (act, target) in acts.items():
                    try:
                        found[name] = await call(spoke, "attempt", act=act, target=target)
                    except grpc.aio.AioRpcError:
                        found[name] = "done" if await spoke.wait() == 0 else "ended"
        finally:
            await spoke.kill()
        return found


@pytest.mark.parametrize("level", ["strict", "no-userns"])
async def test_what_a_python_spoke_is_refused_go_is_refused_too(gopher: Path, level: Level) -> None:
    found = await tried(gopher, level)

    assert {name: answer for name, answer in found.items() if answer not in ("EPERM", "EACCES", "ENOENT")} == {}


async def test_without_walls_all_of_it_succeeds(gopher: Path) -> None:
    assert set((await tried(gopher, "none")).values()) == {"done"}
