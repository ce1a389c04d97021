"""The exchange behind the ask `fetch`: one HTTP request by the hub in a spoke's name, whole or not at all.

A redirect is an answer like any other: where it leads is another destination and needs a decision of its own, which the
app gets by fetching that.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from typing import Any

import h11

from hub.errors import HostUnavailable, QuotaExceeded, RequestInvalid
from hub.spokes.egress.destination import DestinationInvalid, Url, parse_url
from hub.spokes.egress.exchange import Connection, EgressLimits, Exchange
from hub.spokes.egress.http import Wire, each_chunk, framing_problem, head_of_response

DEFAULT_RESPONSE_BYTES = 1 << 20
MAX_RESPONSE_BYTES = 3 << 20  # a frame to a spoke takes 4 MiB
MAX_BODY_BYTES = 512 << 10  # with the rest, and as JSON, it must stay within what arguments may have
DEFAULT_SECONDS = 30.0

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_VALUE = re.compile(r"[\x20-\x7e\t]*")
# The hub says these itself, from what was decided.
_OWN = frozenset(
    (
        "host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect",
        "proxy-connection", "proxy-authorization",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """What a spoke asks to be fetched, as it wrote it. Zero of a limit means the hub's default."""

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    max_bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class FetchResponse:
    """What came back."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Fetch(Exchange):
    """One fetch.

    Raises:
        RequestInvalid: It cannot be made like this; the text says why.
    """

    # All that goes out is decided on; what the spoke learns later is not in it.
    streams = False

    def __init__(self, request: FetchRequest, limits: EgressLimits) -> None:
        self._url = _checked(request)
        self._request = request
        self._head_bytes = limits.head_bytes
        self._max_bytes = min(request.max_bytes or DEFAULT_RESPONSE_BYTES, MAX_RESPONSE_BYTES)
        self.response: FetchResponse | None = None
        seconds = min(request.seconds or DEFAULT_SECONDS, limits.connection_seconds)
        super().__init__(self._url.destination, self._url.scheme, seconds=seconds)

    @property
    def arguments(self) -> dict[str, Any]:
        """The whole request, so that what is decided is what is sent."""
        request = self._request
        arguments: dict[str, Any] = {"method": request.method, "url": str(self._url), "headers": request.headers}
        if request.body:
            try:
                arguments["body"] = request.body.decode()
            except UnicodeDecodeError:
                arguments["body_base64"] = base64.b64encode(request.body).decode()
        return arguments

    async def run(self, connection: Connection) -> None:
        """Send the request and keep the response."""
        host = self.destination.host
        wire = Wire(h11.CLIENT, connection, self._head_bytes, lambda what: HostUnavailable(f"{host}: {what}"))
        await wire.send(h11.Request(method=self._request.method, target=self._url.target, headers=self._headers()))
        if self._request.body:
            await wire.send(h11.Data(data=self._request.body))
        await wire.send(h11.EndOfMessage())
        head = await head_of_response(wire)
        if problem := framing_problem(head.headers):
            raise HostUnavailable(f"{host}: {problem}")
        body = bytearray()

        async def take(chunk: bytes) -> None:
            body.extend(chunk)
            if len(body) > self._max_bytes:
                raise QuotaExceeded(f"{host} answered with more than {self._max_bytes} bytes")

        await each_chunk(wire, take)
        headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers)
        self.response = FetchResponse(head.status_code, headers, bytes(body))

    def _headers(self) -> list[tuple[str, str]]:
        own = [("Host", self.destination.authority(self.scheme)), ("Connection", "close")]
        given = [(name, value.strip()) for name, value in self._request.headers.items()]
        if "accept-encoding" not in {name.lower() for name, _ in given}:
            own.append(("Accept-Encoding", "identity"))
        if self._request.body or self._request.method in ("POST", "PUT", "PATCH"):
            own.append(("Content-Length", str(len(self._request.body))))
        return own + given


def _checked(request: FetchRequest) -> Url:
    try:
        url = parse_url(request.url)
    except DestinationInvalid as error:
        raise RequestInvalid(f"url: {error}") from None
    if request.method not in _METHODS:
        raise RequestInvalid(f"method: one of {', '.join(sorted(_METHODS))}")
    for name, value in request.headers.items():
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise RequestInvalid("headers: a name is a token, a value printable ASCII in one line")
        if name.lower() in _OWN:
            raise RequestInvalid(f"headers: the hub says {name.lower()} itself: leave it out")
    if len({name.lower() for name in request.headers}) != len(request.headers):
        raise RequestInvalid("headers: one is there twice")
    if len(request.body) > MAX_BODY_BYTES:
        raise QuotaExceeded(f"body: {len(request.body)} bytes, {MAX_BODY_BYTES} may be sent")
    if not 0 <= request.seconds < 86400:
        raise RequestInvalid("seconds: not a sensible time")
    return url
