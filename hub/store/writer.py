"""Group commit: many writers, one transaction, one sync.

A single thread takes all that waits, writes it in one transaction and wakes the writers when it is durable. So a write
costs a sync only when it is alone, and order of submission is order in the database. What nobody waits for is kept for
a moment, so that it can share the sync of what somebody does.

Invariants:
    * `submit` returns only after the commit of its writes returned.
    * A batch is written whole or not at all; every writer of a failed batch gets the error.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import Connection, Engine, Executable

from hub.errors import AuditUnavailable

_BATCH = 256
_COMPANY_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Write:
    """One row to write: a statement and its parameters."""

    statement: Executable
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Unit:
    writes: tuple[Write, ...]
    done: asyncio.Future[None] | None


class GroupWriter:
    """Writes to the database, in order, many at a time. Use as `async with`.

    Args:
        engine: The database.
        prepare: Called in the writer thread with each batch, in order, inside its transaction; it may fill in
            parameters that depend on what was written before.
    """

    def __init__(self, engine: Engine, *, prepare: Callable[[Connection, list[Write]], None]) -> None:
        self._engine = engine
        self._prepare = prepare
        self._queue: queue.SimpleQueue[_Unit | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="group-writer", daemon=True)
        self._closed = False

    async def __aenter__(self) -> Self:
        self._thread.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._closed = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    async def submit(self, *writes: Write) -> None:
        """Write, and return when it is durable, with all that was submitted before.

        Raises:
            AuditUnavailable: It could not be written.
        """
        if self._closed:
            raise AuditUnavailable("the store is closed")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put(_Unit(writes, done))
        await done

    def submit_later(self, *writes: Write) -> None:
        """Write with the next batch, without waiting; a failure is lost with its batch."""
        if not self._closed:
            self._queue.put(_Unit(writes, None))

    def _run(self) -> None:
        with self._engine.connect() as connection:
            open_for_more = True
            while open_for_more:
                units, open_for_more = self._take()
                if units:
                    self._wake(units, self._write(connection, units))

    def _take(self) -> tuple[list[_Unit], bool]:
        units: list[_Unit] = []
        item = self._queue.get()
        patience_ends = time.monotonic() + _COMPANY_SECONDS
        while item is not None:
            units.append(item)
            if item.done is not None:
                patience_ends = 0.0
            if len(units) == _BATCH:
                return units, True
            try:
                item = self._queue.get(timeout=max(0.0, patience_ends - time.monotonic()))
            except queue.Empty:
                return units, True
        return units, False

    def _write(self, connection: Connection, units: list[_Unit]) -> Exception | None:
        writes = [write for unit in units for write in unit.writes]
        try:
            with connection.begin():
                self._prepare(connection, writes)
                start = 0
                while start < len(writes):
                    statement = writes[start].statement
                    end = start
                    while end < len(writes) and writes[end].statement is statement:
                        end += 1
                    connection.execute(statement, [write.parameters for write in writes[start:end]])
                    start = end
        except Exception as error:  # whatever it is: without this thread nothing is ever written again
            return error
        return None

    @staticmethod
    def _wake(units: list[_Unit], error: Exception | None) -> None:
        waiting = [unit.done for unit in units if unit.done is not None]
        if not waiting:
            return

        def settle() -> None:
            for done in waiting:
                if done.done():
                    continue
                if error is None:
                    done.set_result(None)
                else:
                    done.set_exception(AuditUnavailable(f"the store could not be written: {error}"))

        loop = waiting[0].get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle)
