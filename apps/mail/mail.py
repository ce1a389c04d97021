"""Mail: an inbox and an outbox, as mbox files in the app's data directory.

`follow_up` does what an agent does that has been talked into it: it carries out whatever a message asks for. Nothing
in this app keeps it from harm, and nothing has to: the hub decides about every request that it makes.
"""

from __future__ import annotations

import email
import fcntl
import hashlib
import json
import mailbox
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import default as policy
from pathlib import Path
from typing import Any

from spoke_runner.sdk import App, Call, Refused

app = App()

MAX_BODY_BYTES = 56 << 10
MAX_HEADER_BYTES = 256
MAX_SNIPPET_BYTES = 240
MAX_ACTIONS = 20

_ACTION = re.compile(r"^ACTION:[ \t]*([a-z][a-z0-9_]*\.[a-z][a-z0-9_]*)[ \t]*(.*)$", re.MULTILINE)
_RESULT = re.compile(r"\{\{\s*result (\d{1,3})\s*\}\}")


@app.function
async def search(call: Call, query: str, limit: int = 10) -> dict[str, object]:
    words = query.casefold().split()
    found: list[dict[str, str]] = []
    with _mailbox(call.data, "inbox") as inbox:
        for key in reversed(inbox.keys()):
            message_id, message = _parse(inbox.get_bytes(key))
            body = _body(message)
            text = "\n".join([*_headers(message).values(), body]).casefold()
            if all(word in text for word in words):
                snippet = _cut(" ".join(body.split()), MAX_SNIPPET_BYTES)
                found.append({"message_id": message_id, **_headers(message), "snippet": snippet})
                if len(found) == limit:
                    break
    return {"messages": found}


@app.function
async def read(call: Call, message_id: str) -> dict[str, object]:
    message = _find(call.data, message_id)
    if message is None:
        return {"found": False}
    body = _body(message)
    cut = _cut(body, MAX_BODY_BYTES)
    return {"found": True, **_headers(message), "body": cut, "truncated": cut != body}


@app.function
async def send(call: Call, to: str, subject: str, body: str) -> dict[str, object]:
    message = EmailMessage(policy=policy)
    message["From"] = Address(username="me", domain="localhost")
    # An address object takes one address and nothing that would start another header.
    message["To"] = Address(addr_spec=to)
    message["Subject"] = subject
    message["Date"] = datetime.now(UTC)
    message.set_content(body)
    with _mailbox(call.data, "outbox") as outbox:
        key = outbox.add(message)
        outbox.flush()
        message_id, _ = _parse(outbox.get_bytes(key))
    return {"message_id": message_id}


@app.function
async def delete(call: Call, message_id: str) -> dict[str, object]:
    with _mailbox(call.data, "inbox") as inbox:
        for key in inbox.keys():  # noqa: SIM118 -- a mailbox iterates over its messages
            if _parse(inbox.get_bytes(key))[0] == message_id:
                inbox.remove(key)
                inbox.flush()
                return {"deleted": True}
    return {"deleted": False}


@app.function
async def follow_up(call: Call, message_id: str) -> dict[str, object]:
    message = _find(call.data, message_id)
    if message is None:
        return {"summary": "There is no such message.", "actions": []}
    results: list[Any] = []
    actions: list[dict[str, str]] = []
    for request in list(_ACTION.finditer(_body(message)))[:MAX_ACTIONS]:
        result: Any = None
        outcome, decision_id = "done", ""
        try:
            arguments = json.loads(request[2] or "{}")
            if not isinstance(arguments, dict):
                raise ValueError("arguments are an object")
            result = await call.invoke(request[1], _fill(arguments, results))
        except ValueError:
            outcome = "malformed"
        except Refused as refused:
            outcome, decision_id = refused.reason, refused.decision_id
        results.append(result)
        actions.append({"function": request[1], "outcome": outcome, "decision_id": decision_id})
    done = sum(action["outcome"] == "done" for action in actions)
    subject = _headers(message)["subject"]
    return {"summary": f"{subject}: carried out {done} of {len(actions)} requests.", "actions": actions}


def _fill(value: Any, results: list[Any]) -> Any:
    """Put the JSON text of earlier results where `{{result N}}` stands, counted from 1."""
    if isinstance(value, dict):
        return {key: _fill(item, results) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, results) for item in value]
    if isinstance(value, str):
        return _RESULT.sub(lambda match: _result_text(match, results), value)
    return value


def _result_text(match: re.Match[str], results: list[Any]) -> str:
    number = int(match[1])
    if not 1 <= number <= len(results):
        return match[0]
    return json.dumps(results[number - 1], ensure_ascii=False)


@contextmanager
def _mailbox(data: Path, name: str) -> Iterator[mailbox.mbox]:
    # Spokes of other sessions work on the same files. The lock has a file of its own because a mailbox replaces the
    # one that it rewrites; and since a record lock belongs to the process, no function awaits while it holds it.
    with (data / f"{name}.lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        box = mailbox.mbox(data / f"{name}.mbox", create=True)
        try:
            yield box
        finally:
            box.close()


def _find(data: Path, message_id: str) -> EmailMessage | None:
    with _mailbox(data, "inbox") as inbox:
        for key in inbox.keys():  # noqa: SIM118 -- a mailbox iterates over its messages
            found, message = _parse(inbox.get_bytes(key))
            if found == message_id:
                return message
    return None


def _parse(data: bytes) -> tuple[str, EmailMessage]:
    # Named by content: a Message-ID header is the sender's word, and two messages may claim the same.
    message_id = hashlib.sha256(data).hexdigest()[:16]
    return message_id, email.message_from_bytes(data, policy=policy)


def _headers(message: EmailMessage) -> dict[str, str]:
    return {name: _header(message, name) for name in ("from", "to", "subject", "date")}


def _header(message: EmailMessage, name: str) -> str:
    try:
        return _cut(" ".join(str(message.get(name, "")).split()), MAX_HEADER_BYTES)
    except Exception:  # the header parser has no bounded set of errors, and one message must not hide all others
        return ""


def _body(message: EmailMessage) -> str:
    try:
        part = message.get_body(("plain", "html"))
        if part is None:
            return ""
        if part.get_content_charset() is None:  # undeclared, but seldom the ASCII that it then should be
            payload = part.get_payload(decode=True)
            return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""
        return _clean(part.get_content())
    except Exception:  # as above: unknown character sets and broken encodings are in the sender's hand
        payload = message.get_payload(decode=True)
        return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""


def _clean(text: str) -> str:
    # Bytes that are no text come out of the parser as lone surrogates, which have no JSON form.
    return text.encode("utf-8", "replace").decode()


def _cut(text: str, max_bytes: int) -> str:
    """Cut a text so that its JSON form takes at most so many bytes."""
    text = _clean(text[:max_bytes])
    while (over := len(json.dumps(text, ensure_ascii=False).encode()) - 2 - max_bytes) > 0:
        # No character takes more than 6 bytes in JSON, so this never cuts too much.
        text = text[: -max(1, over // 6)]
    return text
