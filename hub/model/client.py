"""The door to the model: it takes a permit and nothing else, tries again within bounds, and returns one answer.

Invariants:
    * Nothing is asked of the provider without a permit of this door's own issuer.
    * Only members that the hub itself has read and checked are sent, and no more tokens are asked for than decided on.
    * What was said already is never said again: an answer that broke off is not tried anew.
    * What a provider does wrong is one error, whatever it was, and its words are in none.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from hub.errors import ModelUnavailable, QuotaExceeded
from hub.permit import Door, Permit

MAX_ANSWER_BYTES = 512 << 10
CHARACTERS_PER_TOKEN = 4

_MAX_TOOL_CALLS = 64
_FINISH_REASONS = ("stop", "length", "tool_calls", "content_filter")
_MAX_TOKENS = 1 << 31
_FIRST_WAIT_SECONDS = 0.25
_LONGEST_WAIT_SECONDS = 20.0
_RETRIES_AT_ONCE = 10.0
_RETRIES_PER_ANSWER = 0.1

OnText = Callable[[str], Awaitable[None]]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model that the hub may ask.

    Attributes:
        name: Its name at the provider.
        clearance: Confidentiality tags that the provider may receive.
        max_completion_tokens: The longest answer.
        max_prompt_characters: The longest request.
    """

    name: str
    clearance: tuple[str, ...] = ()
    max_completion_tokens: int = 4096
    max_prompt_characters: int = 400_000


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """What a permit lets the model be asked.

    Attributes:
        model: The model.
        body: Members of the chat-completions API, checked.
        max_completion_tokens: The longest answer.
        max_answer_bytes: The most that is taken of it.
    """

    model: str
    body: Mapping[str, Any]
    max_completion_tokens: int
    max_answer_bytes: int = MAX_ANSWER_BYTES


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of an answer as the provider sends it. Whatever is in it may be of any type.

    Attributes:
        text: The next words.
        calls: Parts of tool calls: index, id, name, piece of the arguments.
        finish_reason: Why it ends here.
        usage: Tokens of the prompt and of the answer.
    """

    text: Any = None
    calls: Sequence[tuple[Any, Any, Any, Any]] = ()
    finish_reason: Any = None
    usage: tuple[Any, Any] | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer.

    Attributes:
        message: The assistant's message as the API has it: `role`, `content` and `tool_calls`.
        finish_reason: `stop`, `length`, `tool_calls` or `content_filter`.
        prompt_tokens: By the provider's count, or the hub's estimate.
        completion_tokens: The same.
        estimated: Whether it is the hub's estimate.
    """

    message: Mapping[str, Any]
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    estimated: bool

    @property
    def text(self) -> str:
        """What the model said."""
        return self.message["content"] or ""


class ProviderFailed(Exception):
    """The provider did not answer, or not as it should.

    Args:
        what: What happened, in the hub's words.
        again: Whether it could do so a moment later.
        wait_seconds: How long it wants to be left alone.
    """

    def __init__(self, what: str, *, again: bool = False, wait_seconds: float | None = None) -> None:
        super().__init__(what)
        self.again = again
        self.wait_seconds = wait_seconds


class Provider(Protocol):
    """Who has the models."""

    def stream(self, request: ModelRequest) -> AbstractAsyncContextManager[AsyncIterator[Piece]]:
        """Ask, and yield the answer's pieces; leaving the context ends it.

        Raises:
            ProviderFailed: It does not answer; also from the iterator.
        """
        ...

    async def close(self) -> None:
        """End its connections."""
        ...


class ModelClient(Door[ModelRequest]):
    """Asks the model.

    Args:
        provider: Who has it.
        models: The models, the one for requests that name none first.
        retries: How often a request that failed is tried again.
    """

    def __init__(self, provider: Provider, models: Sequence[ModelSpec], *, retries: int = 2) -> None:
        super().__init__()
        self._provider = provider
        self._retries = retries
        # Shared by all requests: a provider that is down is not asked three times by everybody.
        self._retries_left = _RETRIES_AT_ONCE
        self.models = {model.name: model for model in models}
        self.default = models[0].name

    async def generate(self, permit: Permit[ModelRequest], on_text: OnText | None = None) -> Completion:
        """Ask what a permit lets the model be asked.

        Args:
            permit: What the mediator let through; it is used up.
            on_text: Awaited with each piece of the text.

        Raises:
            ModelUnavailable: The provider does not answer, or not as it should.
            QuotaExceeded: It answers more than may be.
        """
        request = self.redeem(permit)
        for attempt in range(self._retries + 1):
            answer = _Answer(request, on_text)
            started = time.perf_counter()
            try:
                completion = await self._ask(request, answer)
            except ProviderFailed as error:
                _log.warning("the model's provider failed", model=request.model, what=str(error), attempt=attempt + 1)
                wait = _wait_seconds(attempt, error)
                if answer.began or not error.again or attempt == self._retries or not self._may_retry(wait):
                    raise ModelUnavailable(f"{request.model}: {error}") from error
                await asyncio.sleep(wait)
            else:
                self._retries_left = min(self._retries_left + _RETRIES_PER_ANSWER, _RETRIES_AT_ONCE)
                _log.debug("the model answered", model=request.model, seconds=round(time.perf_counter() - started, 3))
                return completion
        raise ModelUnavailable(f"{request.model}: not asked")

    async def close(self) -> None:
        """End the provider's connections."""
        await self._provider.close()

    async def _ask(self, request: ModelRequest, answer: _Answer) -> Completion:
        async with self._provider.stream(request) as pieces:
            async for piece in pieces:
                await answer.take(piece)
        return answer.whole()

    def _may_retry(self, wait_seconds: float) -> bool:
        if self._retries_left < 1 or wait_seconds > _LONGEST_WAIT_SECONDS:
            return False
        self._retries_left -= 1
        return True


class _Answer:
    """An answer while it comes in. Nothing of it is believed before it was looked at."""

    def __init__(self, request: ModelRequest, on_text: OnText | None) -> None:
        self._request = request
        self._on_text = on_text
        self._text: list[str] = []
        self._calls: dict[int, _Call] = {}
        self._bytes = 0
        self._finish_reason: str | None = None
        self._usage: tuple[int, int] | None = None

    @property
    def began(self) -> bool:
        """Whether any of its text was handed on."""
        return self._on_text is not None and bool(self._text)

    async def take(self, piece: Piece) -> None:
        if piece.text is not None and piece.text != "":
            text = self._counted(piece.text)
            self._text.append(text)
            if self._on_text is not None:
                await self._on_text(text)
        for index, call_id, name, arguments in piece.calls:
            if not isinstance(index, int) or not 0 <= index < _MAX_TOOL_CALLS:
                raise ProviderFailed("it numbers a tool call in no way that is known")
            call = self._calls.setdefault(index, _Call())
            call.id += self._counted(call_id)
            call.name += self._counted(name)
            call.arguments += self._counted(arguments)
        if piece.finish_reason is not None:
            reason = piece.finish_reason
            self._finish_reason = reason if reason in _FINISH_REASONS else "tool_calls" if self._calls else "stop"
        if piece.usage is not None and all(isinstance(n, int) and 0 <= n < _MAX_TOKENS for n in piece.usage):
            self._usage = piece.usage

    def whole(self) -> Completion:
        if self._finish_reason is None:
            raise ProviderFailed("its answer broke off", again=True)
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self._text) or None}
        if self._calls:
            message["tool_calls"] = [self._calls[index].to_json(index) for index in sorted(self._calls)]
        elif message["content"] is None:
            message["content"] = ""
        asked = len(json.dumps(self._request.body, ensure_ascii=False))
        prompt, completion = self._usage or (tokens(asked), tokens(self._bytes))
        return Completion(message, self._finish_reason, prompt, completion, estimated=self._usage is None)

    def _counted(self, text: Any) -> str:
        if text is None:
            return ""
        if not isinstance(text, str):
            raise ProviderFailed("a part of its answer is no text")
        data = text.encode("utf-8", "replace")  # a lone surrogate has no form on the wire
        self._bytes += len(data)
        if self._bytes > self._request.max_answer_bytes:
            raise QuotaExceeded(f"{self._request.model}: answered more than {self._request.max_answer_bytes} bytes")
        return data.decode()


@dataclass(slots=True)
class _Call:
    id: str = ""
    name: str = ""
    arguments: str = ""

    def to_json(self, index: int) -> dict[str, Any]:
        return {
            "id": self.id or f"call_{index + 1}",
            "type": "function",
            "function": {"name": self.name, "arguments": self.arguments or "{}"},
        }


def tokens(characters: int) -> int:
    """Return about how many tokens a text has."""
    return -(-characters // CHARACTERS_PER_TOKEN)


def _wait_seconds(attempt: int, error: ProviderFailed) -> float:
    if error.wait_seconds is not None:
        return error.wait_seconds
    wait: float = _FIRST_WAIT_SECONDS * 2**attempt
    return wait * random.uniform(0.75, 1.25)  # noqa: S311 - not a secret, only not in step
