"""The errand `generate`: one request to the model.

What is decided on is a summary: which model, how much is asked, with which tools, and the digest of the very bytes that
are asked. The text itself is no matter for rules, and too large for the log. Only text goes to a provider: a picture by
its address would be fetched by the provider, past every rule about connections.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import jsonschema_rs

from hub.errors import ModelUnavailable, ObligationUnfulfilled, QuotaExceeded, RequestInvalid
from hub.mediation import schema
from hub.mediation.caller import Caller
from hub.mediation.errands.errand import Errand
from hub.mediation.obligations import Obligation
from hub.mediation.request import ModelFact, Resource
from hub.mediation.spending import Expense
from hub.model.client import MAX_ANSWER_BYTES, Completion, ModelClient, ModelRequest, OnText, tokens
from hub.permit import Permit

_TOOL_NAME: Final = "^[a-zA-Z0-9_-]{1,64}$"
_TEXT: Final = {
    "oneOf": [
        {"type": "string"},
        {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"type": {"const": "text"}, "text": {"type": "string"}},
                "required": ["type", "text"],
            },
        },
    ]
}
_CALL: Final = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string", "maxLength": 256},
        "type": {"const": "function"},
        "function": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"name": {"type": "string", "pattern": _TOOL_NAME}, "arguments": {"type": "string"}},
            "required": ["name", "arguments"],
        },
    },
    "required": ["id", "type", "function"],
}
_MESSAGE: Final = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "role": {"enum": ["system", "developer", "user", "assistant", "tool"]},
        "content": {"anyOf": [_TEXT, {"type": "null"}]},
        "name": {"type": "string", "maxLength": 64},
        "tool_calls": {"type": "array", "minItems": 1, "maxItems": 64, "items": _CALL},
        "tool_call_id": {"type": "string", "maxLength": 256},
    },
    "required": ["role"],
}
_TOOL: Final = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "type": {"const": "function"},
        "function": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "name": {"type": "string", "pattern": _TOOL_NAME},
                "description": {"type": "string"},
                "parameters": {"type": "object"},
                "strict": {"type": ["boolean", "null"]},
            },
            "required": ["name"],
        },
    },
    "required": ["type", "function"],
}
_CHOICE: Final = {
    "oneOf": [
        {"enum": ["none", "auto", "required"]},
        {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "type": {"const": "function"},
                "function": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {"name": {"type": "string", "pattern": _TOOL_NAME}},
                    "required": ["name"],
                },
            },
            "required": ["type", "function"],
        },
    ]
}
_FORMAT: Final = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"type": {"enum": ["text", "json_object", "json_schema"]}, "json_schema": {"type": "object"}},
    "required": ["type"],
}
_REQUEST: Final = jsonschema_rs.Draft202012Validator(
    {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "model": {"type": "string", "minLength": 1, "maxLength": 128},
            "messages": {"type": "array", "minItems": 1, "maxItems": 2000, "items": _MESSAGE},
            "tools": {"type": "array", "minItems": 1, "maxItems": 256, "items": _TOOL},
            "tool_choice": _CHOICE,
            "temperature": {"type": "number", "minimum": 0, "maximum": 2},
            "max_completion_tokens": {"type": "integer", "minimum": 1},
            "response_format": _FORMAT,
        },
        "required": ["messages"],
    }
)


class Generate(Errand):
    """A request to the model.

    Args:
        request_json: What to answer, as whoever asks wrote it: members of the chat-completions API.
        door: The door to the model; None where the hub has none.
        on_text: Awaited with each piece of the text.

    Attributes:
        completion: The answer, once there is one.

    Raises:
        ModelUnavailable: The hub has no model.
        RequestInvalid: The request has a member, or a model, that there is not.
        QuotaExceeded: It is too large.
    """

    action = "generate"
    by_spokes_only = False

    def __init__(self, request_json: str, door: ModelClient | None, on_text: OnText | None = None) -> None:
        if door is None:
            raise ModelUnavailable("this hub has no model: configure one under `model`")
        request = schema.parse(request_json, what="request")
        schema.check(request, _REQUEST, what="request")
        name = request.pop("model", door.default)
        if name not in door.models:
            raise RequestInvalid("request: /model: there is no such model")
        self._spec = door.models[name]
        self._characters = len(request_json)
        if self._characters > self._spec.max_prompt_characters:
            raise QuotaExceeded(f"{name}: a request of {self._characters} characters")
        wanted = request.pop("max_completion_tokens", self._spec.max_completion_tokens)
        self._tokens = min(wanted, self._spec.max_completion_tokens)
        self._body = request
        self._digest = schema.digest(schema.canonical(request, what="request"))
        self._door = door
        self._on_text = on_text
        self._max_answer_bytes = MAX_ANSWER_BYTES
        self._expense = Expense(most=tokens(self._characters) + self._tokens)
        self.completion: Completion | None = None

    @property
    def id(self) -> str:
        """The model, `model/NAME`."""
        return f"model/{self._spec.name}"

    @property
    def resource(self) -> Resource:
        """The model, and what its provider may receive."""
        fact = ModelFact(name=self._spec.name, clearance=list(self._spec.clearance))
        return Resource(type="model", id=self.id, model=fact)

    @property
    def arguments(self) -> dict[str, Any]:
        """The summary."""
        return {
            "model": self._spec.name,
            "messages": len(self._body["messages"]),
            "characters": self._characters,
            "tools": [tool["function"]["name"] for tool in self._body.get("tools", ())],
            "max_completion_tokens": self._tokens,
            "digest": self._digest,
        }

    @property
    def what(self) -> ModelRequest:
        """The request, with nothing in it that was not checked."""
        return ModelRequest(self._spec.name, self._body, self._tokens, self._max_answer_bytes)

    @contextmanager
    def counted(self, caller: Caller) -> Iterator[None]:
        """Set aside what it may use, and count what it did."""
        caller.session.count_errand(self.id)
        with caller.session.spending.setting_aside(caller.id, self._expense):
            yield

    async def run(self, permit: Permit[Any]) -> None:
        """Ask the model; who goes away meanwhile pays for what was said."""
        self._expense.used = tokens(self._characters)
        try:
            self.completion = done = await self._door.generate(permit, self._said if self._on_text else None)
        except ModelUnavailable:
            if self._expense.used == tokens(self._characters):
                self._expense.used = 0  # it never began to answer
            raise
        self._expense.used = done.prompt_tokens + done.completion_tokens

    def meet(self, obligations: Sequence[Obligation]) -> None:
        """Cap the answer."""
        for item in obligations:
            if item.type == "max_result_bytes" and item.value is not None:
                self._max_answer_bytes = min(self._max_answer_bytes, item.value)
            elif item.type != "notify":
                raise ObligationUnfulfilled("what the model says cannot be edited or relabelled, only capped")

    @property
    def account(self) -> dict[str, Any]:
        """What it used."""
        done = self.completion
        usage = (
            {"total_tokens": self._expense.used or 0, "estimated": True}
            if done is None
            else {
                "prompt_tokens": done.prompt_tokens,
                "completion_tokens": done.completion_tokens,
                "total_tokens": done.prompt_tokens + done.completion_tokens,
                "estimated": done.estimated,
            }
        )
        return {"usage": usage}

    async def _said(self, text: str) -> None:
        self._expense.used = (self._expense.used or 0) + tokens(len(text))
        if self._on_text is not None:
            await self._on_text(text)


def message_json(completion: Completion) -> str:
    """Return the assistant's message as JSON text."""
    return json.dumps(completion.message, ensure_ascii=False, separators=(",", ":"))
