"""The gRPC servers: one for each client socket, so that the socket says who the user is."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from spokegate.v1 import hub_pb2_grpc

from hub.config import ClientConfig
from hub.edge.interceptors import SERVICE, Guard, require_rules
from hub.edge.service import Backend, HubServicer
from hub.errors import SpokegateError

_MEBIBYTE = 1 << 20
_GRACE_SECONDS = 2.0
_MAX_SOCKET_PATH_BYTES = 107

_OPTIONS = (
    ("grpc.max_receive_message_length", 4 * _MEBIBYTE),
    ("grpc.max_send_message_length", 16 * _MEBIBYTE),
    ("grpc.max_metadata_size", 8 << 10),
    ("grpc.so_reuseport", 0),
)


class SocketUnusable(SpokegateError):
    """A client socket cannot be served."""


class EdgeServers:
    """Serves HubService, health and reflection on every client socket. Use as `async with`.

    Args:
        backend: What the surface stands on.
        clients: The sockets, and the users they stand for.
        directory: Where the sockets are; nobody but the hub's own user may enter it.
        call_seconds: The deadline of an Invoke that brings none.
    """

    def __init__(
        self, backend: Backend, *, clients: Sequence[ClientConfig], directory: Path, call_seconds: float
    ) -> None:
        require_rules()
        self._backend = backend
        self._clients = tuple(clients)
        self._directory = directory
        self._call_seconds = call_seconds
        self._servers: list[grpc.aio.Server] = []
        self._health = health.aio.HealthServicer()

    @property
    def sockets(self) -> list[Path]:
        """Where clients connect."""
        return [self._directory / client.socket for client in self._clients]

    async def __aenter__(self) -> Self:
        for client, path in zip(self._clients, self.sockets, strict=True):
            self._servers.append(await self._serve(client, path))
        for service in ("", SERVICE):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._health.enter_graceful_shutdown()
        self._backend.sessions.stop_conversing()
        for server in self._servers:
            await server.stop(_GRACE_SECONDS)
        for path in self.sockets:
            path.unlink(missing_ok=True)

    async def _serve(self, client: ClientConfig, path: Path) -> grpc.aio.Server:
        if len(os.fsencode(path)) > _MAX_SOCKET_PATH_BYTES:
            raise SocketUnusable(f"{path}: longer than {_MAX_SOCKET_PATH_BYTES} bytes: set a shorter runtime_dir")
        path.unlink(missing_ok=True)
        server = grpc.aio.server(interceptors=[Guard()], options=_OPTIONS)
        servicer = HubServicer(self._backend, user=client.user, roles=client.roles, call_seconds=self._call_seconds)
        hub_pb2_grpc.add_HubServiceServicer_to_server(servicer, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        if server.add_insecure_port(f"unix:{path}") == 0:
            raise SocketUnusable(f"{path}: cannot be listened on")
        await server.start()
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)
        return server


def private_directory(path: Path) -> Path:
    """Return a directory that nobody but this process's user may enter, made when there is none.

    Raises:
        SocketUnusable: It is another user's, a link, or open to others.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise SocketUnusable(f"{path}: not a directory of this user: remove it or set another runtime_dir")
    if status.st_mode & 0o077:
        raise SocketUnusable(f"{path}: others may enter it: chmod 700 {path}")
    return path
