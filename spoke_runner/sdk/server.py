"""The gRPC server of a spoke: SpokeService and health, on the one socket that leads into the sandbox."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, FileFinder, SourceFileLoader
from pathlib import Path
from types import CodeType

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from spokegate.v1 import spoke_pb2_grpc

from spoke_runner.sdk.app import App
from spoke_runner.sdk.run import MAX_FRAME_BYTES, Context, run

_SERVICE = "spokegate.v1.SpokeService"
# What is sent is not capped here: the SDK checks its own frames, and an app that means harm is the hub's to stop.
_OPTIONS: Sequence[tuple[str, int]] = (("grpc.max_receive_message_length", MAX_FRAME_BYTES),)


class AppUnusable(Exception):
    """The entry names no module with an `App`."""


async def serve(*, entry: str, app_dir: Path, data_dir: Path, socket_path: Path, on_ready: Callable[[], None]) -> None:
    """Serve an app until cancelled.

    Args:
        entry: `module:attribute` of the app's `App` object, in `app_dir`.
        app_dir: The app's code.
        data_dir: The app's data directory, as its functions see it.
        socket_path: Where to listen.
        on_ready: Called once, when calls are taken.

    Raises:
        AppUnusable: The entry names no `App`.
        Exception: Whatever the app's module raises while it is imported.
    """
    await serve_app(load_app(entry, app_dir), data_dir=data_dir, socket_path=socket_path, on_ready=on_ready)


async def serve_app(app: App, *, data_dir: Path, socket_path: Path, on_ready: Callable[[], None]) -> None:
    """Serve an app that is there already, until cancelled; see `serve`."""
    server = grpc.aio.server(options=_OPTIONS)
    spoke_pb2_grpc.add_SpokeServiceServicer_to_server(_Spoke(app, data_dir), server)
    checks = health.aio.HealthServicer()
    await checks.set(_SERVICE, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    server.add_insecure_port(f"unix:{socket_path}")
    await server.start()
    try:
        on_ready()
        await server.wait_for_termination()
    finally:
        await server.stop(grace=None)


def load_app(entry: str, app_dir: Path) -> App:
    """Import the app's module and return its `App`.

    Raises:
        AppUnusable: The entry names no `App`.
        Exception: Whatever the module raises while it is imported.
    """
    module_name, _, attribute = entry.partition(":")
    if not module_name or not attribute:
        raise AppUnusable(f"the entry {entry!r} is not of the form module:attribute")
    root = str(app_dir)
    sys.path_hooks.insert(0, _source_only_below(root))
    sys.path.insert(0, root)
    app = getattr(importlib.import_module(module_name), attribute, None)
    if not isinstance(app, App):
        raise AppUnusable(f"{attribute!r} in {module_name!r} is not an App")
    return app


class _Spoke(spoke_pb2_grpc.SpokeServiceServicer):
    def __init__(self, app: App, data: Path) -> None:
        self._app = app
        self._data = data

    async def Run(self, request_iterator: object, context: Context) -> None:  # type: ignore[override]  # noqa: N802
        await run(self._app, self._data, context)


class _SourceOnly(SourceFileLoader):
    """Loads from source alone: a cached bytecode file in the app's directory is not part of its digest."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


def _source_only_below(root: str) -> Callable[[str], FileFinder]:
    def hook(path: str) -> FileFinder:
        if path != root and not path.startswith(root + "/"):
            raise ImportError
        return FileFinder(path, (ExtensionFileLoader, EXTENSION_SUFFIXES), (_SourceOnly, [".py"]))

    return hook
