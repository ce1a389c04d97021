"""Obligations: what a decision makes the hub do before it delivers.

`redact` replaces a value by the text "[redacted]", `replace` by another one, `drop` removes a member,
`max_argument_bytes` and `max_result_bytes` cap what is delivered, as canonical JSON, `relabel` takes labels off what
the caller gets to know by the result, and `notify` leaves the user a notice. Each works on a copy. An obligation that
is unknown, incomplete or impossible refuses the request: an allow with an obligation is no allow without it. A pointer
at nothing is fulfilled by itself.

Invariants:
    * `relabel` is the only way for labels to become fewer, and only for who receives the result of a function that
      returned: who served it keeps what it knows, and a failure tells of all of it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal

from jsonpointer import JsonPointer, JsonPointerException
from pydantic import BaseModel, ConfigDict, Field

from hub.errors import ObligationUnfulfilled
from hub.mediation.labels import NONE, Labels

REDACTED = "[redacted]"

On = Literal["arguments", "result"]


class Obligation(BaseModel):
    """One obligation as the policies state it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    type: str = Field(description="What is to be done; one of those above.")
    on: On = Field(default="arguments", description="What it is done to.")
    pointer: str | None = Field(default=None, description="RFC 6901; redact, replace and drop need one.")
    value: int | None = Field(default=None, ge=0, description="Bytes, for the caps.")
    replacement: str | int | float | bool | None = Field(default=None, description="What replace puts there.")
    confidentiality: list[str] = Field(default_factory=list, description="What relabel takes off.")
    integrity: list[str] = Field(default_factory=list, description="What relabel takes off.")
    message: str | None = Field(default=None, max_length=500, description="What notify says.")


_EDITS = ("redact", "replace", "drop")
_CAPS: dict[On, str] = {"arguments": "max_argument_bytes", "result": "max_result_bytes"}


def apply(obligations: Sequence[Obligation], document: Any, *, on: On) -> Any:
    """Return the document with the edits of its kind made; the same object when there are none.

    Raises:
        ObligationUnfulfilled: One of them cannot be done to this document.
    """
    mine = [item for item in obligations if item.on == on and item.type in _EDITS]
    if not mine:
        return document
    changed = copy.deepcopy(document)
    for item in mine:
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
            "replace": bool(item.pointer) and "replacement" in item.model_fields_set,
            "drop": bool(item.pointer),
            "max_argument_bytes": item.on == "arguments" and item.value is not None,
            "max_result_bytes": item.on == "result" and item.value is not None,
            "relabel": item.on == "result" and bool(item.confidentiality or item.integrity),
            "notify": bool(item.message),
        }
        if not complete.get(item.type, False):
            raise ObligationUnfulfilled(f"unknown or incomplete obligation {item.model_dump()!r}")


def taken_off(obligations: Sequence[Obligation]) -> Labels:
    """Return the labels that what the caller gets to know by the result shall not carry."""
    off = NONE
    for item in obligations:
        if item.type == "relabel":
            off |= Labels.of(item.confidentiality, item.integrity)
    return off


def notices(obligations: Sequence[Obligation]) -> list[str]:
    """Return what the user is to be told."""
    return [item.message for item in obligations if item.type == "notify" and item.message]


def require_size(obligations: Sequence[Obligation], canonical: bytes, *, on: On) -> None:
    """Refuse arguments or a result beyond their cap.

    Raises:
        ObligationUnfulfilled: The canonical form has more bytes than an obligation lets it have.
    """
    for item in obligations:
        if item.type == _CAPS[on] and item.value is not None and len(canonical) > item.value:
            raise ObligationUnfulfilled(f"{on}: {len(canonical)} bytes, {item.value} are allowed")


def received_cap(obligations: Sequence[Obligation]) -> int | None:
    """Return how many bytes may come in over a connection; None when no obligation says.

    Raises:
        ObligationUnfulfilled: One of them would change what is never whole in the hub.
    """
    if any(item.type not in ("max_result_bytes", "notify") for item in obligations):
        raise ObligationUnfulfilled("what goes over a connection cannot be edited or relabelled, only capped")
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
    if item.type == "drop":
        del parent[last]
    else:
        parent[last] = REDACTED if item.type == "redact" else item.replacement
