"""The command line: `spokegate`.

Exit codes: 0 done, 1 the app or the hub failed, 2 usage, 3 denied, 4 consent missing, 5 unavailable.
"""

from hub.cli.commands import main

__all__ = ["main"]
