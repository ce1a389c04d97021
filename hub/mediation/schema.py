"""Strict JSON: parsed once, canonicalised once, checked against a compiled schema.

The canonical bytes (RFC 8785) that come out of here are the bytes that are decided on and the bytes that are
delivered, so no two readers can see two different requests in one text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any, NoReturn, Protocol

import rfc8785

from hub.errors import QuotaExceeded, RequestInvalid

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_VALUES = 20_000

_EXACT_DIGITS = 15
_SHOWN_PROBLEMS = 3
_SHOWN_CHARACTERS = 200


class Validator(Protocol):
    """A compiled JSON Schema."""

    def is_valid(self, instance: Any) -> bool:
        """Return whether the instance fits."""
        ...

    def iter_errors(self, instance: Any) -> Iterable[Any]:
        """Yield what does not fit, each with `message` and `instance_path`."""
        ...


def parse(text: str, *, what: str, max_bytes: int = MAX_BYTES) -> Any:
    """Parse JSON strictly.

    Args:
        text: The JSON text.
        what: What it is, for the error: "arguments", "result".
        max_bytes: The most UTF-8 bytes that it may have.

    Raises:
        QuotaExceeded: It is too large, or holds more than 20,000 values.
        RequestInvalid: It is not JSON, has a duplicate key, NaN, an infinity, a number that no double can hold, a lone
            surrogate, or is nested more than 32 deep.
    """
    if len(text) > max_bytes or len(text.encode("utf-8", "surrogatepass")) > max_bytes:
        raise QuotaExceeded(f"{what}: more than {max_bytes} bytes")
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object_without_duplicates,
            parse_constant=_refuse_constant,
            parse_int=_integer,
        )
    except _Strict as error:
        raise RequestInvalid(f"{what}: {error}") from None
    except json.JSONDecodeError as error:
        raise RequestInvalid(f"{what}: not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except (RecursionError, ValueError):  # ValueError: an integer of more digits than Python will convert
        raise RequestInvalid(f"{what}: nested too deep, or a number out of range") from None
    _check_shape(value, what)
    return value


def canonical(value: Any, *, what: str) -> bytes:
    """Return the RFC 8785 form of a parsed JSON value, as UTF-8.

    Raises:
        RequestInvalid: It holds an integer beyond 2^53 - 1, a number that no double can hold, or a lone surrogate.
    """
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError):
        raise RequestInvalid(
            f"{what}: a number beyond the exact range of a double, or a string that is not Unicode"
        ) from None


def digest(data: bytes) -> str:
    """Return `sha256:<hex>` of the bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def check(value: Any, validator: Validator, *, what: str) -> None:
    """Check a value against a compiled schema.

    Raises:
        RequestInvalid: It does not fit; the text names the places and what they break.
    """
    if validator.is_valid(value):
        return
    problems: list[str] = []
    for error in validator.iter_errors(value):
        if len(problems) == _SHOWN_PROBLEMS:
            problems.append("and more")
            break
        place = "/".join(["", *(str(part) for part in error.instance_path)]) or "the whole"
        problems.append(f"{place}: {str(error.message)[:_SHOWN_CHARACTERS]}")
    raise RequestInvalid(f"{what}: " + "; ".join(problems))


class _Strict(Exception):
    """JSON that the grammar takes and we do not."""


def _object_without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Strict(f"duplicate key {key[:_SHOWN_CHARACTERS]!r}")
            seen.add(key)
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise _Strict(f"{name} is not JSON")


def _integer(text: str) -> int | float:
    """Return the number; a double where the text is how RFC 8785 writes one beyond 2^53, such as 1e20.

    So what is canonical parses again. Other integers that no double holds exactly are refused when they are
    canonicalised.
    """
    value = int(text)
    if len(text) > _EXACT_DIGITS:
        try:
            number = float(value)
            if rfc8785.dumps(number) == text.encode():
                return number
        except (OverflowError, rfc8785.CanonicalizationError):
            return value
    return value


def _check_shape(value: Any, what: str) -> None:
    """Refuse what is small as text but not to work on: a million numbers keep the hub busy for everybody."""
    level = [value] if isinstance(value, (dict, list)) else []
    values = 1
    for _ in range(MAX_DEPTH):
        if not level:
            return
        values += sum(map(len, level))
        if values > MAX_VALUES:
            raise QuotaExceeded(f"{what}: more than {MAX_VALUES} values")
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, (dict, list))
        ]
    if level:
        raise RequestInvalid(f"{what}: nested more than {MAX_DEPTH} levels deep")
