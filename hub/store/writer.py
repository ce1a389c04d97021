"""Group commit: many writers, one transaction, one sync.

A single thread takes all that waits, writes it in one transaction and wakes the writers when it is durable. So a write
costs a sync only when it is alone, and order of submission is order in the database. What nobody waits for is kept for
a moment, so that it can share the sync of what somebody does.

A guard is a change that stands for a race: of all who want to make it, the database lets one. Where it finds nothing to
change, what was submitted with it is not written either.

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
    guard: Write | None
    done: asyncio.Future[bool] | None


class GroupWriter:
    """Writes to the database, in order, many at a time. Use as `async with`.

    Args:
        engine: The database.
        enter: Called in the writer thread at the start of a batch with guards, inside its transaction: takes the lock
            that puts the batches of hubs that share the database in an order.
        prepare: Called in the writer thread with each batch, in order, inside its transaction; it may fill in
            parameters that depend on what was written before.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        enter: Callable[[Connection], None],
        prepare: Callable[[Connection, list[Write]], None],
    ) -> None:
        self._engine = engine
        self._enter = enter
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

    async def submit(self, *writes: Write, guard: Write | None = None) -> bool:
        """Write, and return when it is durable, with all that was submitted before.

        Returns:
            Whether it was written: False when there is a guard, and it found nothing to change.

        Raises:
            AuditUnavailable: It could not be written.
        """
        if self._closed:
            raise AuditUnavailable("the store is closed")
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._queue.put(_Unit(writes, guard, done))
        return await done

    def submit_later(self, *writes: Write, guard: Write | None = None) -> None:
        """Write with the next batch, without waiting; a failure is lost with its batch."""
        if not self._closed:
            self._queue.put(_Unit(writes, guard, None))

    def _run(self) -> None:
        with self._engine.connect() as connection:
            open_for_more = True
            while open_for_more:
                units, open_for_more = self._take()
                if units:
                    self._wake(units, *self._write(connection, units))

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

    def _write(self, connection: Connection, units: list[_Unit]) -> tuple[set[int], Exception | None]:
        """Write a batch; return which of its units were not written because of their guards, or why none was."""
        dropped: set[int] = set()
        try:
            with connection.begin():
                if any(unit.guard is not None for unit in units):
                    self._enter(connection)
                    dropped = {index for index, unit in enumerate(units) if not _passes(connection, unit)}
                writes = [write for index, unit in enumerate(units) if index not in dropped for write in unit.writes]
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
            return set(), error
        return dropped, None

    @staticmethod
    def _wake(units: list[_Unit], dropped: set[int], error: Exception | None) -> None:
        waiting = [(unit.done, index not in dropped) for index, unit in enumerate(units) if unit.done is not None]
        if not waiting:
            return

        def settle() -> None:
            for done, written in waiting:
                if done.done():
                    continue
                if error is None:
                    done.set_result(written)
                else:
                    done.set_exception(AuditUnavailable(f"the store could not be written: {error}"))

        loop = waiting[0][0].get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle)


def _passes(connection: Connection, unit: _Unit) -> bool:
    return unit.guard is None or connection.execute(unit.guard.statement, unit.guard.parameters).rowcount > 0
