"""Where things are inside a sandbox, and as whom the app believes to run. The first stage shares this with the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

APP_DIR: Final = Path("/app")
DATA_DIR: Final = Path("/data")
SOCKET_DIR: Final = Path("/run/spoke")
SOCKET_NAME: Final = "spoke.sock"
PROJECT_DIR: Final = Path("/opt/spokegate/lib")
PACKAGES_DIR: Final = Path("/opt/spokegate/site-packages")
# The host uid is nothing that a spoke has to know.
INSIDE_UID: Final = 1000
Level = Literal["strict", "no-userns", "none"]
STRICT: Final = "strict"
NO_USERNS: Final = "no-userns"
NONE: Final = "none"
PROXY_HOST: Final = "127.0.0.1"
PROXY_PORT: Final = 3128
PROXY_VARIABLES: Final = ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy")
LISTENER: Final = b'{"listener":true}\n'
READY: Final = b'{"ready":true}\n'
