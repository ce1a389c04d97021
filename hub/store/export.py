"""The audit log's decisions as events of OPA's decision log, one JSON object each.

The format is the one of OPA's manual, under "Decision Logs"; tools that read it read this. `erased` names what the log
does not hold: it keeps digests of what was said, not the words.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, func, select

from hub.store.audit import Row, row_of, scan
from hub.store.tables import AUDIT

_RESULT = ("effect", "reasons", "obligations", "review_result", "decided_by", "grant", "hidden")
_SHADOW = "shadow"  # rows from before shadow mode lack it
_PAYLOAD = ("arguments", "result")


def decision_log(engine: Engine, *, since: float = 0.0, until: float | None = None) -> Iterator[dict[str, Any]]:
    """Yield the decisions of a database, oldest first.

    Args:
        engine: The database.
        since: Not those before, in seconds since the epoch.
        until: Not those from then on.

    Raises:
        SQLAlchemyError: The log cannot be read.
    """
    for row in map(row_of, scan(engine, kinds=("decision",))):
        if row.time >= since and (until is None or row.time < until):
            yield _event(row)


def rows(engine: Engine, *, after: int = 0) -> Iterator[Row]:
    """Yield the events of the log after a sequence number, in order."""
    return map(row_of, scan(engine, after=after))


def last_seq(engine: Engine) -> int:
    """Return the sequence number of the last row, zero when there is none."""
    with engine.connect() as connection:
        return connection.scalar(select(func.max(AUDIT.c.seq))) or 0


def _event(row: Row) -> dict[str, Any]:
    body = row.body
    event: dict[str, Any] = {
        "labels": {"hub": row.hub, "session": row.session, "user": row.user},
        "decision_id": row.decision_id,
        "path": "spokegate/decision",
        "input": body["input"],
        "timestamp": datetime.fromtimestamp(row.time, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "erased": [f"/input/{name}" for name in _PAYLOAD if name not in body["input"]],
        "metrics": {"timer_server_handler_ns": int(body["latency_seconds"] * 1e9)},
        "custom": {
            "seq": row.seq,
            "input_digest": body["input_digest"],
            "arguments_digest": body["arguments_digest"],
            "parent_decision_id": body["parent"],
        },
    }
    if body["policy_revision"]:
        event["bundles"] = {"spokegate": {"revision": body["policy_revision"]}}
    if body["error"]:
        # OPA gives its own errors with a code and a message; ours is the reason that the caller was told.
        event["error"] = {"code": body["error"], "message": "there was no decision; the request was refused"}
    else:
        event["result"] = {name: body[name] for name in _RESULT} | {_SHADOW: body.get(_SHADOW)}
    return event
