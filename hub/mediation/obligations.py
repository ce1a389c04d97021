"""Obligations: what a decision makes the hub do before it delivers.

`redact` replaces a value by the text "[redacted]", `drop` removes a member, `max_result_bytes` caps the canonical
result. Each works on a copy. An obligation that is unknown, incomplete or impossible refuses the request: an allow
with an obligation is no allow without it. A pointer at nothing is fulfilled by itself.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal

from jsonpointer import JsonPointer, JsonPointerException
from pydantic import BaseModel, ConfigDict, Field

from hub.errors import ObligationUnfulfilled

REDACTED = "[redacted]"

On = Literal["arguments", "result"]


class Obligation(BaseModel):
    """One obligation as the policies state it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    type: str = Field(description="`redact`, `drop` or `max_result_bytes`.")
    on: On = Field(default="arguments", description="What it is done to.")
    pointer: str | None = Field(default=None, description="RFC 6901; redact and drop need one.")
    value: int | None = Field(default=None, ge=0, description="Bytes, for max_result_bytes.")


def apply(obligations: Sequence[Obligation], document: Any, *, on: On) -> Any:
    """Return the document with the obligations of its kind met; the same object when there are none.

    Raises:
        ObligationUnfulfilled: One of them is unknown, incomplete or cannot be done to this document.
    """
    mine = [item for item in obligations if item.on == on and item.type != "max_result_bytes"]
    if not mine:
        return document
    changed = copy.deepcopy(document)
    for item in mine:
        if item.type not in ("redact", "drop") or not item.pointer:
            raise ObligationUnfulfilled(f"cannot meet {item.type!r} on {on} at {item.pointer!r}")
        _edit(changed, item)
    return changed


def require_known(obligations: Sequence[Obligation]) -> None:
    """Refuse what could never be met, before anything is delivered.

    Raises:
        ObligationUnfulfilled: An obligation is unknown or incomplete.
    """
    for item in obligations:
        complete = {
            "redact": bool(item.pointer),
            "drop": bool(item.pointer),
            "max_result_bytes": item.on == "result" and item.value is not None,
        }
        if not complete.get(item.type, False):
            raise ObligationUnfulfilled(f"unknown or incomplete obligation {item.model_dump()!r}")


def require_size(obligations: Sequence[Obligation], canonical_result: bytes) -> None:
    """Refuse a result beyond its cap.

    Raises:
        ObligationUnfulfilled: The canonical result has more bytes than an obligation lets it have.
    """
    for item in obligations:
        if item.type == "max_result_bytes" and item.value is not None and len(canonical_result) > item.value:
            raise ObligationUnfulfilled(f"the result has {len(canonical_result)} bytes, {item.value} are allowed")


def received_cap(obligations: Sequence[Obligation]) -> int | None:
    """Return how many bytes may come in over a connection; None when no obligation says.

    Raises:
        ObligationUnfulfilled: One of them would change what is never whole in the hub.
    """
    if any(item.type != "max_result_bytes" for item in obligations):
        raise ObligationUnfulfilled("what goes over a connection cannot be redacted, only capped")
    return min((item.value for item in obligations if item.value is not None), default=None)


def _edit(document: Any, item: Obligation) -> None:
    try:
        pointer = JsonPointer(item.pointer or "")
    except JsonPointerException as error:
        raise ObligationUnfulfilled(f"bad pointer {item.pointer!r}: {error}") from None
    try:
        parent, last = pointer.to_last(document)
    except JsonPointerException:
        return  # it points at nothing in this document
    present = (isinstance(parent, dict) and last in parent) or (
        isinstance(parent, list) and isinstance(last, int) and 0 <= last < len(parent)
    )
    if not present:
        return
    if item.type == "redact":
        parent[last] = REDACTED
    else:
        del parent[last]
