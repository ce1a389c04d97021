"""The provider: whatever speaks the chat-completions API at a base URL, by the `openai` client.

Invariants:
    * The key goes to the base URL alone: no redirect is followed, and no error or log line holds it.
    * What comes back is bounded in bytes before anything parses it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx2
import openai

from hub.model.client import ModelRequest, Piece, ProviderFailed

MAX_RESPONSE_BYTES = 16 << 20  # of JSON around the pieces of an answer

_NO_KEY = "none"  # the client insists on one; providers that want none take any
_WRITE_SECONDS = 30.0
_CONNECTIONS = 64
_BUSY = {408, 409, 425, 429}


class TooMuch(Exception):
    """The response has more bytes than may be."""


class OpenAIProvider:
    """A provider of the chat-completions API.

    Args:
        base_url: Where its API is, such as `https://api.example.org/v1`.
        key: Its key; empty for none.
        connect_seconds: How long it may take to connect.
        idle_seconds: How long it may say nothing.
        by_proxy: Whether the proxies that the environment names are used.
    """

    def __init__(
        self, base_url: str, key: str, *, connect_seconds: float, idle_seconds: float, by_proxy: bool = False
    ) -> None:
        timeout = httpx2.Timeout(idle_seconds, connect=connect_seconds, write=_WRITE_SECONDS, pool=idle_seconds)
        http = httpx2.AsyncClient(
            timeout=timeout,
            limits=httpx2.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS),
            follow_redirects=False,
            trust_env=by_proxy,
            event_hooks={"response": [_bound]},
        )
        self._client = openai.AsyncOpenAI(
            api_key=key or _NO_KEY, base_url=base_url, max_retries=0, timeout=timeout, http_client=http
        )

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[AsyncIterator[Piece]]:
        """Ask, and yield the answer's pieces."""
        try:
            answer = await self._client.chat.completions.create(
                **request.body,
                model=request.model,
                max_completion_tokens=request.max_completion_tokens,
                stream=True,
                stream_options={"include_usage": True},
            )
        except Exception as error:
            raise _failure(error) from None
        try:
            async with aclosing(_pieces(answer)) as pieces:
                yield pieces
        finally:
            await answer.close()

    async def close(self) -> None:
        """End the connections."""
        await self._client.close()


async def _pieces(answer: Any) -> AsyncGenerator[Piece, None]:
    # Nothing of a response is checked by the client: a provider that sends nonsense gets as far as this.
    try:
        async for chunk in answer:
            usage = getattr(chunk, "usage", None)
            if usage is not None:
                yield Piece(usage=(usage.prompt_tokens, usage.completion_tokens))
            for choice in chunk.choices[:1]:
                yield Piece(
                    text=choice.delta.content,
                    calls=[_call(part) for part in choice.delta.tool_calls or ()],
                    finish_reason=choice.finish_reason,
                )
    except GeneratorExit:
        raise
    except Exception as error:
        raise _failure(error) from None


def _call(part: Any) -> tuple[Any, Any, Any, Any]:
    function = part.function
    return part.index, part.id, function.name if function else None, function.arguments if function else None


def _failure(error: Exception) -> ProviderFailed:
    """Say what happened without a word of the provider's: it may hold the prompt, or a part of the key."""
    match error:
        case openai.APITimeoutError() | httpx2.TimeoutException():
            return ProviderFailed("it does not answer in time", again=True)
        case openai.APIConnectionError() | httpx2.TransportError():
            return ProviderFailed("it cannot be reached, or broke off", again=True)
        case openai.APIStatusError():
            again = error.status_code in _BUSY or error.status_code >= 500
            return ProviderFailed(
                f"it answers with status {error.status_code}", again=again, wait_seconds=_retry_after(error)
            )
        case TooMuch():
            return ProviderFailed(f"its response has more than {MAX_RESPONSE_BYTES} bytes")
        case _:
            return ProviderFailed(f"its response is none of the chat-completions API ({type(error).__name__})")


def _retry_after(error: openai.APIStatusError) -> float | None:
    try:
        return max(float(error.response.headers["retry-after"]), 0.0)
    except (KeyError, ValueError):
        return None


async def _bound(response: httpx2.Response) -> None:
    if isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _Bounded(response.stream)


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        received = 0
        async for data in self._stream:
            received += len(data)
            if received > MAX_RESPONSE_BYTES:
                raise TooMuch
            yield data

    async def aclose(self) -> None:
        await self._stream.aclose()
