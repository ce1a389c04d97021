"""The apps' data directories: kept for a user, or thrown away with the session, as the app's manifest says.

All of them lie side by side below one root, since as root their owners are the spokes' uids, which must differ:
`<app>@<user>` is kept, `<app>@<user>@<session>` is not.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from hub.spokes.registry import RegisteredApp

_SEPARATOR: Final = "@"


class DataDirectories:
    """The data directories below a root.

    Args:
        root: The root; made when there is none.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self) -> None:
        """Make the root, and remove what the sessions of a hub that was killed have left."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._remove("*")

    def of(self, app: RegisteredApp, user: str, session: str) -> Path:
        """Return the directory of an app for a user's session, made when there is none."""
        if app.keeps_data:
            return self.kept(app.name, user)
        return self._made(app.name, user, session)

    def kept(self, app: str, user: str) -> Path:
        """Return the directory that an app keeps for a user, made when there is none."""
        return self._made(app, user)

    def close_session(self, session: str) -> None:
        """Remove what was kept for a session alone. Its spokes have ended."""
        self._remove(session)

    def _made(self, *parts: str) -> Path:
        directory = self.root / _SEPARATOR.join(parts)
        directory.mkdir(mode=0o700, exist_ok=True)
        return directory

    def _remove(self, session: str) -> None:
        for directory in self.root.glob(_SEPARATOR.join(("*", "*", session))):
            # What an app has made unreadable for the hub stays until root looks after it; nobody is given it again.
            shutil.rmtree(directory, ignore_errors=True)
