"""A disk that is full under the audit log: nothing is forwarded, nothing is lost, and room mends it."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from tests.support.live import VAULT, live, refused, runs


@contextmanager
def no_room_beyond(size: int) -> Iterator[None]:
    """Let no file of this process, and so of the hub in it, grow beyond a size: the kernel refuses to write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def size_of_log(state_dir: Path) -> int:
    return max(path.stat().st_size for path in state_dir.glob("hub.db*"))


async def test_a_full_disk_refuses_every_call_and_room_mends_it() -> None:
    async with live(VAULT) as hub, hub.client.session() as session:
        # Started before: a spoke inherits the limit.
        await session.invoke("vault.note", {"text": "before"})
        before = len(hub.rows())
        with no_room_beyond(size_of_log(hub.config.state_dir)):
            for _ in range(5):
                error = await refused(session.invoke("vault.note", {"text": "while it is full"}))
                assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "AUDIT_UNAVAILABLE")
                assert str(error) == "The decision cannot be recorded now."
        assert len(hub.rows()) <= before + 1
        assert await runs(session) == ["note"]
        done = await session.invoke("vault.note", {"text": "after"})
        assert await runs(session) == ["note", "note"]
        assert await hub.outcome(done.decision_id) == "done"
