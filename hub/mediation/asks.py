"""What a spoke may ask for: the mediator, as the caller that the hub knows the spoke to be."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hub.errors import QuotaExceeded
from hub.mediation.caller import Caller, SessionState, spoke_caller
from hub.spokes.egress.exchange import Exchange
from hub.spokes.egress.fetch import Fetch, FetchRequest, FetchResponse
from hub.spokes.registry import RegisteredApp, RegisteredFunction

if TYPE_CHECKING:
    from hub.mediation.mediator import Mediator

_MAX_PATTERNS = 256


@dataclass(frozen=True, slots=True)
class SpokeAsks:
    """What a spoke may ask for while it works on one call: the mediator, as the caller that it is."""

    mediator: Mediator
    caller: Caller

    async def invoke(self, function: str, arguments_json: str) -> str:
        """Call a function; see `Mediator.mediate`."""
        delivered = await self.mediator.mediate(self.caller, "invoke", function, arguments_json)
        return delivered.result_json

    async def probe(self, patterns: Sequence[str]) -> Sequence[RegisteredFunction]:
        """List the functions that may be asked for; see `Mediator.probe`.

        Raises:
            QuotaExceeded: Too many are named.
        """
        if len(patterns) > _MAX_PATTERNS:
            raise QuotaExceeded(f"a probe of more than {_MAX_PATTERNS} functions")
        return await self.mediator.probe(self.caller, patterns)

    async def fetch(self, request: FetchRequest) -> FetchResponse:
        """Fetch from a host."""
        exchange = Fetch(request, self.mediator.egress_limits)
        await self.mediator.connect(self.caller, exchange)
        if exchange.response is None:
            raise RuntimeError("a fetch ended without a response")
        return exchange.response


@dataclass(frozen=True, slots=True)
class SpokeConnects:
    """What a spoke connects to through its proxy: the mediator, as the spoke that it is."""

    mediator: Mediator
    session: SessionState
    app: RegisteredApp

    async def connect(self, exchange: Exchange) -> None:
        """Connect to a host; see `Mediator.connect`."""
        deadline = asyncio.get_running_loop().time() + exchange.seconds + self.mediator.longest_decision_seconds
        await self.mediator.connect(spoke_caller(self.session, self.app, deadline=deadline), exchange)
