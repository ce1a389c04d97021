"""What a spoke may ask for: the mediator, as the caller that the hub knows the spoke to be."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hub.errors import QuotaExceeded
from hub.mediation import remembering
from hub.mediation.caller import Caller, SessionState, spoke_caller
from hub.mediation.errands.connect import Connect
from hub.mediation.errands.generate import Generate, message_json
from hub.model.client import Completion, OnText
from hub.spokes.egress.exchange import Exchange
from hub.spokes.egress.fetch import Fetch, FetchRequest, FetchResponse
from hub.spokes.forwarder import Generated
from hub.spokes.memory import Forgetting, KeptEntry, Reading, SaidTurn, Told
from hub.spokes.registry import RegisteredApp, RegisteredFunction

if TYPE_CHECKING:
    from hub.mediation.mediator import Mediator

_MAX_PATTERNS = 256


async def generate(mediator: Mediator, caller: Caller, request_json: str, on_text: OnText | None = None) -> Completion:
    """Ask the model as whoever is asking.

    Args:
        mediator: Takes it through the ten steps.
        caller: Who asks: a spoke, or the planner (`planner_caller`).
        request_json: Members of the chat-completions API, as `GenerateAsk` has them.
        on_text: Awaited with each piece of the text.

    Raises:
        ModelUnavailable: The hub has no model, or its provider does not answer.
        SpokegateError: It was refused; see `Mediator.mediate`.
    """
    errand = Generate(request_json, mediator.doors.model, on_text)
    await mediator.errand(caller, errand)
    if errand.completion is None:
        raise RuntimeError("the model was asked and there is no answer")
    return errand.completion


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

    async def generate(self, request_json: str, on_text: OnText) -> Generated:
        """Ask the model."""
        done = await generate(self.mediator, self.caller, request_json, on_text)
        return Generated(message_json(done), done.finish_reason, done.prompt_tokens, done.completion_tokens)

    async def remember(self, what: KeptEntry | SaidTurn | Forgetting) -> None:
        """Store for the user, or forget."""
        await remembering.remember(self.mediator, self.caller, what)

    async def recall(self, what: Reading) -> Told:
        """Read what is remembered of the user."""
        return await remembering.recall(self.mediator, self.caller, what)

    async def fetch(self, request: FetchRequest) -> FetchResponse:
        """Fetch from a host."""
        connector = self.mediator.doors.connector
        exchange = Fetch(request, connector.limits)
        await self.mediator.errand(self.caller, Connect(exchange, connector))
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
        """Connect to a host; see `Mediator.errand`."""
        deadline = asyncio.get_running_loop().time() + exchange.seconds + self.mediator.longest_decision_seconds
        caller = spoke_caller(self.session, self.app, deadline=deadline)
        await self.mediator.errand(caller, Connect(exchange, self.mediator.doors.connector))
