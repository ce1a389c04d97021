from __future__ import annotations

import grpc
import pytest


@pytest.fixture(scope="session", autouse=True)
def grpc_stays() -> None:
    """Keep what all of gRPC's channels and servers share for as long as the process lives.

    It would end with the last of them, wherever that is collected: in a thread that happens to run the garbage
    collector, where it then may wait for an event loop that waits for the thread (grpc/grpc#22365).
    """
    grpc.aio.init_grpc_aio()
