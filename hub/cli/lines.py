"""Lines that a person types: asked for one at a time, read in a thread of its own, so that whatever waits can lapse.

At a terminal, lines can be edited and earlier ones come back with the arrow keys.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sys
import termios
import threading
from collections.abc import Iterator
from types import ModuleType

from rich.text import Text

from hub.cli.output import out

_HISTORY_LINES = 1_000


class Lines:
    """Whoever needs a line asks for it; one that nobody takes in time goes to who asks next."""

    def __init__(self) -> None:
        self._wanted: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._typed: asyncio.Queue[str | None] = asyncio.Queue()
        self._reading = False
        self._thread: threading.Thread | None = None

    async def next(self, prompt: str) -> str | None:
        """Return the next line, without its end; None where there are no more."""
        if self._thread is None:
            loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._read, args=(loop,), name="stdin", daemon=True)
            self._thread.start()
        if self._reading:
            out.print(Text(prompt), end="")
        else:
            self._reading = True
            self._wanted.put(prompt)
        line = await self._typed.get()
        self._reading = False
        return line

    def discard(self) -> None:
        """Forget what was typed before whatever is asked next was to be seen; a file's lines stay, one by one."""
        if not sys.stdin.isatty():
            return
        while not self._typed.empty():
            self._typed.get_nowait()
            self._reading = False
        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            prompt = self._wanted.get()
            line: str | None
            try:
                line = input(prompt)
            except (EOFError, OSError, UnicodeDecodeError):
                line = None
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits any more
                loop.call_soon_threadsafe(self._typed.put_nowait, line)
            if line is None:
                return


@contextlib.contextmanager
def editing() -> Iterator[None]:
    """Let lines be edited at a terminal while the context is open, and leave the terminal as it was found."""
    readline = _readline()
    if readline is None or not sys.stdin.isatty():
        yield
        return
    readline.set_history_length(_HISTORY_LINES)
    before = termios.tcgetattr(sys.stdin.fileno())
    try:
        yield
    finally:
        # A line that is being edited in the other thread would leave the terminal without echo.
        termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, before)


def _readline() -> ModuleType | None:
    try:
        import readline
    except ImportError:  # a Python that was built without it
        return None
    return readline
