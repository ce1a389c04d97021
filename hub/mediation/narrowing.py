"""Edited arguments: what a person may change in a request that they agree to.

An edit may only take away from what steers the function: members and list items may be left out, in the order that they
have, and control arguments keep their values. Where a function declares control arguments, any other string, number or
boolean may also be replaced by one of the same kind, in the person's own words. What was edited is checked against the
schema and decided on as a whole, as any request is.

Tried and rejected:
    * Any edit at all: the person was told who wants what from whom; another recipient is another question.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from jsonpointer import JsonPointer, JsonPointerException

from hub.errors import RequestInvalid

_ABSENT = object()


def require_narrower(edited: Any, original: Any, control_arguments: Collection[str]) -> None:
    """Check that edited arguments take away from the original ones and add nothing.

    Linear in the size of the original: of a list, each item is looked at once.

    Raises:
        RequestInvalid: They do not; the text names the place.
    """
    place = _wider(edited, original, "", control_arguments)
    if place is None:
        # An item that was left out moves those behind it: a control argument that is named by its index may not change.
        for pointer in control_arguments:
            kept = value_at(edited, pointer, _ABSENT)
            if (
                kept is not _ABSENT
                and _wider(kept, value_at(original, pointer, _ABSENT), pointer, (pointer,)) is not None
            ):
                place = pointer
                break
    if place is not None:
        raise RequestInvalid(f"edited arguments: {place or 'the whole'}: an edit may only narrow what was asked for")


def value_at(document: Any, pointer: str, default: Any) -> Any:
    """Return the value at an RFC 6901 pointer, or the default where it points at nothing."""
    try:
        return JsonPointer(pointer).resolve(document, default)
    except JsonPointerException:
        return default


def _wider(edited: Any, original: Any, at: str, control_arguments: Collection[str]) -> str | None:
    """Return the first place where the edit is more than the original, or None."""
    if isinstance(edited, dict) and isinstance(original, dict):
        for key, value in edited.items():
            below = f"{at}/{key.replace('~', '~0').replace('/', '~1')}"
            place = below if key not in original else _wider(value, original[key], below, control_arguments)
            if place is not None:
                return place
        return None
    if isinstance(edited, list) and isinstance(original, list):
        left = iter(enumerate(original))
        for index, item in enumerate(edited):
            if not any(_wider(item, other, f"{at}/{place}", control_arguments) is None for place, other in left):
                return f"{at}/{index}"
        return None
    if _kind(edited) != _kind(original):
        return at
    return None if edited == original or not _steers(at, control_arguments) else at


def _steers(at: str, control_arguments: Collection[str]) -> bool:
    return not control_arguments or any(at == pointer or at.startswith(f"{pointer}/") for pointer in control_arguments)


def _kind(value: Any) -> str:
    """Return the JSON type of a value: `True` is no number, and a list is no object."""
    match value:
        case bool():
            return "boolean"
        case int() | float():
            return "number"
    return type(value).__name__
