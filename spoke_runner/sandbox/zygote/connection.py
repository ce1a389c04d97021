"""The hub's side of one zygote: its process, and requests over its control socket, one at a time.

Invariants:
    * Every request is answered within `ANSWER_SECONDS`, or the zygote is killed: an answer that comes late would be
      taken for the next one's.
    * When the zygote is gone, `lost` is done, and every request fails.
    * Its environment is empty, and the control socket is the only descriptor that it gets besides its output.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from spoke_runner.sandbox import command
from spoke_runner.sandbox.diagnosis import find_tools
from spoke_runner.sandbox.errors import ZygoteUnavailable
from spoke_runner.sandbox.logs import LogPipe, LogTail
from spoke_runner.sandbox.process import execute
from spoke_runner.sandbox.runtime import PythonRuntime
from spoke_runner.sandbox.spec import Limits

ANSWER_SECONDS: Final = 5.0
_START_SECONDS: Final = 20.0
_STOP_SECONDS: Final = 5.0
_MAX_ANSWER_BYTES: Final = 4096
_BOOT: Final = Path(__file__).with_name("boot.py")
_FLAGS: Final = ("-I", "-S", "-B", "-u", "-X", "utf8")


class Connection:
    """One running zygote; made by `connect`."""

    def __init__(
        self, process: asyncio.subprocess.Process, control: socket.socket, tail: LogTail, log_pipe: LogPipe
    ) -> None:
        self._process = process
        self._control = control
        self._tail = tail
        self._log_pipe = log_pipe
        self._turn = asyncio.Lock()
        self._answer: asyncio.Future[dict[str, Any]] | None = None
        self._loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[None] = self._loop.create_future()
        self.forks = 0
        self.living = 0
        self._loop.add_reader(control, self._read)

    @property
    def pid(self) -> int:
        """The zygote's pid."""
        return self._process.pid

    @property
    def said(self) -> str:
        """The last line that the zygote wrote."""
        lines = self._tail.lines()
        return lines[-1] if lines else "nothing"

    async def ready(self) -> None:
        """Wait until it has imported everything.

        Raises:
            ZygoteUnavailable: It did not.
        """
        async with self._turn:
            await self._answered(_START_SECONDS)

    async def fork(self, descriptors: Sequence[int], uid: int | None) -> int:
        """Have a spoke forked, and return its pid; `reap` it when it has ended.

        Args:
            descriptors: Its set-up, its output, its report socket, and a pidfd of the holder.
            uid: Whose uid it gets, when the hub is root.

        Raises:
            ZygoteUnavailable: It could not be.
        """
        self.forks += 1
        answer = await self._ask({"fork": True, "uid": uid}, descriptors)
        if not isinstance(pid := answer.get("pid"), int):
            raise ZygoteUnavailable(f"the zygote could not fork a spoke: {answer.get('error')}")
        self.living += 1
        return pid

    async def reap(self, pid: int) -> int:
        """Return how a spoke that has ended did so: its exit code, or 128 and the signal's number.

        Raises:
            ZygoteUnavailable: Nobody knows any more.
        """
        self.living -= 1
        code = os.waitstatus_to_exitcode((await self._ask({"reap": pid}))["status"])
        return code if code >= 0 else 128 - code

    async def close(self) -> None:
        """End the zygote, and wait until it has."""
        self._lose()
        try:
            await asyncio.wait_for(self._process.wait(), _STOP_SECONDS)
        except TimeoutError:
            self.kill()
            await self._process.wait()
        with suppress(TimeoutError):
            await self._log_pipe.ended(_STOP_SECONDS)

    def kill(self) -> None:
        """End the zygote at once."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def _ask(self, request: dict[str, Any], descriptors: Sequence[int] = ()) -> dict[str, Any]:
        async with self._turn:
            if self.lost.done():
                raise ZygoteUnavailable(f"the zygote has ended; it said: {self.said}")
            try:
                socket.send_fds(self._control, [json.dumps(request).encode()], list(descriptors))
            except OSError as error:
                raise ZygoteUnavailable(f"the zygote cannot be reached: {error}") from error
            return await self._answered(ANSWER_SECONDS)

    async def _answered(self, seconds: float) -> dict[str, Any]:
        if self.lost.done():
            raise ZygoteUnavailable(f"the zygote has ended; it said: {self.said}")
        self._answer = self._loop.create_future()
        try:
            async with asyncio.timeout(seconds):
                return await self._answer
        except TimeoutError:
            self.kill()
            raise ZygoteUnavailable(f"the zygote did not answer in {seconds} s") from None
        except asyncio.CancelledError:
            self.kill()
            raise
        finally:
            self._answer = None

    def _read(self) -> None:
        try:
            data = self._control.recv(_MAX_ANSWER_BYTES)
        except OSError:
            data = b""
        if not data:
            self._lose()
        elif self._answer is not None and not self._answer.done():
            self._answer.set_result(json.loads(data))

    def _lose(self) -> None:
        if self.lost.done():
            return
        self._loop.remove_reader(self._control)
        self._control.close()
        self.lost.set_result(None)
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ZygoteUnavailable(f"the zygote ended; it said: {self.said}"))


async def connect(python: PythonRuntime, limits: Limits) -> Connection:
    """Start a zygote and return it once it can fork.

    Args:
        python: What its spokes run.
        limits: Of which those count that a program reads when it is executed.

    Raises:
        ZygoteUnavailable: It did not come up.
        SandboxUnavailable: A program that is needed is not installed.
    """
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    near.setblocking(False)
    output_read, output_write = os.pipe()
    line = [*command.limited(limits, find_tools()), str(python.executable), *_FLAGS, str(_BOOT), str(far.fileno())]
    try:
        process = await execute(
            line,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output_write,
            stderr=output_write,
            pass_fds=(far.fileno(),),
        )
    except BaseException:
        near.close()
        os.close(output_read)
        raise
    finally:
        far.close()
        os.close(output_write)
    tail = LogTail(limits.log_bytes_per_second)
    log_pipe = LogPipe(tail, limits.log_bytes_per_second)
    connection = Connection(process, near, tail, log_pipe)
    try:
        await asyncio.get_running_loop().connect_read_pipe(lambda: log_pipe, os.fdopen(output_read, "rb", buffering=0))
        moves = [(str(mount.source), str(mount.target)) for mount in python.mounts]
        near.send(json.dumps({"moves": moves, "import_path": [str(path) for path in python.import_path]}).encode())
        await connection.ready()
    except BaseException as error:
        connection.kill()
        await asyncio.shield(connection.close())
        if isinstance(error, ZygoteUnavailable):
            raise ZygoteUnavailable(f"the zygote did not come up; it said: {connection.said}") from error
        raise
    return connection
