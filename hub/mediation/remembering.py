"""What a spoke's memory, and what the user shares, come to: each an errand of its own through the ten steps."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from hub.errors import Refused
from hub.mediation import schema
from hub.mediation.caller import Caller
from hub.mediation.errands.remember import Recall, Remember
from hub.mediation.errands.share import Share
from hub.mediation.memory import MAX_BYTES, Recollection
from hub.spokes.memory import Forgetting, KeptEntry, Reading, SaidTurn, Told
from hub.spokes.registry import RegisteredFunction

if TYPE_CHECKING:
    from hub.mediation.mediator import Mediator


async def remember(mediator: Mediator, caller: Caller, what: KeptEntry | SaidTurn | Forgetting) -> None:
    """Store an entry or a turn for whoever asks, or forget an entry; it is durable on return.

    Raises:
        RequestInvalid: It is malformed.
        SpokegateError: It was refused; see `Mediator.mediate`.
    """
    await mediator.errand(caller, Remember(mediator.doors.memory, caller, _arguments(what)))


async def recall(mediator: Mediator, caller: Caller, what: Reading) -> Told:
    """Read what whoever asks remembers; it carries the labels of that from then on.

    Raises:
        RequestInvalid: It is malformed.
        SpokegateError: It was refused; see `Mediator.mediate`.
    """
    arguments: dict[str, Any] = {"key": what.key} if what.what == "key" else {what.what: True}
    errand = Recall(mediator.doors.memory, caller, arguments)
    await mediator.errand(caller, errand)
    found = errand.recollection or Recollection()
    return Told(
        entries=tuple(KeptEntry(entry.key, entry.value_json) for entry in found.entries),
        summary=found.summary,
        turns=tuple(SaidTurn(turn.role, turn.text) for turn in found.turns),
    )


async def shared(mediator: Mediator, callee: Caller, function: RegisteredFunction) -> dict[str, str]:
    """Return what of the user a function is told before it runs, by name, as JSON.

    What the policies or a person refuse is left out, and so is what the user has not set.

    Args:
        mediator: Takes each attribute through the ten steps.
        callee: The spoke that is to run the function.
        function: The function.

    Raises:
        SpokegateError: It could not be decided on, or not be put on record.
    """
    why = function.app.wants(function.name)
    if not why:
        return {}
    disclosure = mediator.doors.disclosure
    attributes = await disclosure.of(callee.session.user, why)
    errands = [Share(disclosure, attribute, function, why[attribute.name]) for attribute in attributes]
    ends = await asyncio.gather(*(mediator.errand(callee, errand) for errand in errands), return_exceptions=True)
    for end in ends:
        if isinstance(end, BaseException) and not isinstance(end, Refused):
            raise end
    return {errand.shared.name: errand.shared.value_json for errand in errands if errand.shared is not None}


def _arguments(what: KeptEntry | SaidTurn | Forgetting) -> dict[str, Any]:
    match what:
        case KeptEntry(key=key, value_json=value_json):
            return {"key": key, "value": schema.parse(value_json, what="value", max_bytes=MAX_BYTES)}
        case SaidTurn(role=role, text=text):
            return {"role": role, "text": text}
        case Forgetting(key=key):
            return {"forget": key}
