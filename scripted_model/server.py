"""The server: `/v1/chat/completions` and `/v1/models` on loopback, streaming and not, as slow as it is told to be."""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from scripted_model.conversation import Conversation, read, wire_name
from scripted_model.script import Brain, Reply, ToolCall

_TOKEN = re.compile(r"\s*\S+|\s+")
_MAX_PIECES = 64
_CHARACTERS_PER_TOKEN = 4


@dataclass(slots=True)
class Seen:
    """One request that the server took, for whoever looks at what a model was shown."""

    number: int
    body: dict[str, Any]
    authorization: str
    started: float
    ended: float = 0.0
    outcome: str = "open"
    reply: Reply | None = None
    usage: dict[str, int] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """All of the request, to look for what must (not) be in it."""
        return json.dumps(self.body, ensure_ascii=False)


class ScriptedModel:
    """A model of the chat-completions API that plays a script. Use as `async with`.

    Args:
        brain: What answers: a `Script`, an `Obedient` one, or whatever has `answer`.
        call_ms: How long every call takes before its first byte.
        token_ms: How long every token of an answer takes.
        key: The API key that it asks for; None for none.
        models: The models that it offers.
        port: Where it listens; 0 for any free port.
    """

    def __init__(
        self,
        brain: Brain,
        *,
        call_ms: float = 0.0,
        token_ms: float = 0.0,
        key: str | None = None,
        models: tuple[str, ...] = ("scripted",),
        port: int = 0,
    ) -> None:
        self.brain = brain
        self.call_ms = call_ms
        self.token_ms = token_ms
        self.key = key
        self.models = models
        self.seen: list[Seen] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self._port = port
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_get("/v1/models", self._list)
        # A caller that goes away ends its answer: what it then saved can be told.
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def base_url(self) -> str:
        """What a client is configured with."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def calls(self) -> int:
        """How many requests it took."""
        return len(self.seen)

    @property
    def prompt_characters(self) -> list[int]:
        """How much each request held."""
        return [len(json.dumps(item.body.get("messages"), ensure_ascii=False)) for item in self.seen]

    def forget(self) -> None:
        """Start counting anew."""
        self.seen.clear()
        self.most_in_flight = self.in_flight

    async def _list(self, request: web.Request) -> web.StreamResponse:
        models = [{"id": name, "object": "model", "created": 0, "owned_by": "scripted"} for name in self.models]
        return web.json_response({"object": "list", "data": models})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        if self.key is not None and request.headers.get("Authorization") != f"Bearer {self.key}":
            return _error(401, "this key is not the one")
        try:
            body = await request.json()
            conversation = read(body)
        except (ValueError, KeyError, TypeError) as error:
            return _error(400, str(error))
        if conversation.model not in self.models:
            return _error(404, f"there is no model {conversation.model!r}")
        seen = Seen(len(self.seen) + 1, body, request.headers.get("Authorization", ""), time.perf_counter())
        self.seen.append(seen)
        with self._counted(seen):
            reply = self.brain.answer(conversation)
            seen.reply = reply
            await asyncio.sleep((self.call_ms + reply.delay_ms) / 1000)
            return await self._answer(request, conversation, seen, reply)

    @contextmanager
    def _counted(self, seen: Seen) -> Iterator[None]:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        seen.outcome = "abandoned"
        try:
            yield
            seen.outcome = "done"
        finally:
            self.in_flight -= 1
            seen.ended = time.perf_counter()

    async def _answer(self, request: web.Request, talk: Conversation, seen: Seen, reply: Reply) -> web.StreamResponse:
        fault = reply.fault
        if fault is not None and fault.hang:
            await asyncio.Event().wait()
        if fault is not None and fault.status is not None:
            headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
            return _error(fault.status, "the script fails here", headers)
        if fault is not None and fault.raw is not None:
            kind = "text/event-stream" if seen.body.get("stream") else "application/json"
            return web.Response(text=fault.raw, content_type=kind)
        answer = _Answer.of(seen, talk, reply)
        if not seen.body.get("stream"):
            await asyncio.sleep(self.token_ms * answer.tokens / 1000)
            if fault is not None and fault.cut_after is not None and request.transport is not None:
                request.transport.abort()
            return web.json_response(answer.whole())
        cut = fault.cut_after if fault is not None else None
        return await self._stream(request, answer, cut_after=cut)

    async def _stream(self, request: web.Request, answer: _Answer, *, cut_after: int | None) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.prepare(request)
        for number, chunk in enumerate(answer.chunks(grouped=self.token_ms == 0)):
            if number == cut_after and request.transport is not None:
                request.transport.abort()
                return response
            if number:
                await asyncio.sleep(self.token_ms / 1000)
            await response.write(f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response


@dataclass(frozen=True, slots=True)
class _Answer:
    """One answer in the provider's words."""

    seen: Seen
    pieces: list[str]
    calls: list[dict[str, Any]]
    finish_reason: str
    usage: dict[str, int]
    with_usage: bool

    @classmethod
    def of(cls, seen: Seen, talk: Conversation, reply: Reply) -> _Answer:
        pieces = _TOKEN.findall(reply.content())
        most = seen.body.get("max_completion_tokens") or seen.body.get("max_tokens")
        calls = [_wire_call(seen.number, i, call) for i, call in enumerate(reply.calls)] if talk.may_call else []
        finish = reply.finish_reason or ("tool_calls" if calls else "stop")
        unbounded = reply.fault is not None and reply.fault.unbounded
        if most is not None and len(pieces) > most and not unbounded:
            pieces, finish = pieces[:most], "length"
        arguments = sum(len(call["function"]["arguments"]) for call in calls)
        asked = json.dumps([seen.body.get("messages"), seen.body.get("tools")], ensure_ascii=False)
        prompt = math.ceil(len(asked) / _CHARACTERS_PER_TOKEN)
        completion = len(pieces) + math.ceil(arguments / _CHARACTERS_PER_TOKEN)
        usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        seen.usage = usage
        options = seen.body.get("stream_options") or {}
        return cls(seen, pieces, calls, finish, usage, bool(options.get("include_usage")))

    @property
    def tokens(self) -> int:
        """How long it is."""
        return self.usage["completion_tokens"]

    def whole(self) -> dict[str, Any]:
        """Return the answer in one."""
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self.pieces) or None}
        if self.calls:
            message["tool_calls"] = self.calls
        choice = {"index": 0, "message": message, "finish_reason": self.finish_reason}
        return {**self._head("chat.completion"), "choices": [choice], "usage": self.usage}

    def chunks(self, *, grouped: bool) -> Iterator[dict[str, Any]]:
        """Yield the answer in pieces: one per token, or fewer when nobody waits for tokens."""
        yield self._chunk({"role": "assistant", "content": ""})
        step = math.ceil(len(self.pieces) / _MAX_PIECES) if grouped else 1
        for start in range(0, len(self.pieces), max(step, 1)):
            yield self._chunk({"content": "".join(self.pieces[start : start + step])})
        for index, call in enumerate(self.calls):
            function = call["function"]
            opened = {**call, "index": index, "function": {"name": function["name"], "arguments": ""}}
            yield self._chunk({"tool_calls": [opened]})
            half = len(function["arguments"]) // 2
            for part in (function["arguments"][:half], function["arguments"][half:]):
                yield self._chunk({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
        yield self._chunk({}, self.finish_reason)
        if self.with_usage:
            yield {**self._head("chat.completion.chunk"), "choices": [], "usage": self.usage}

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{self.seen.number}",
            "object": kind,
            "created": 0,
            "model": self.seen.body["model"],
            "system_fingerprint": "scripted-model",
        }


def _wire_call(request: int, index: int, call: ToolCall) -> dict[str, Any]:
    arguments = call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments, ensure_ascii=False)
    return {
        "id": f"call_{request}_{index + 1}",
        "type": "function",
        "function": {"name": wire_name(call.name), "arguments": arguments},
    }


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response(
        {"error": {"message": message, "type": "scripted_model", "code": None}}, status=status, headers=headers
    )
