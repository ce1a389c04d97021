"""The door to the model: what it takes, what it tries again, and what it believes of an answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hub.errors import ModelUnavailable, QuotaExceeded
from hub.model.client import Completion, ModelClient, ModelRequest, ModelSpec, Piece, ProviderFailed
from hub.permit import PermitInvalid

HELLO = [Piece(text="Hel"), Piece(text="lo"), Piece(finish_reason="stop"), Piece(usage=(7, 2))]
BUSY = ProviderFailed("it answers with status 429", again=True, wait_seconds=0.0)

Turn = Sequence[Piece | Exception] | Exception


class Turns:
    """A provider that plays one turn per request: pieces, or an error in place of or among them."""

    def __init__(self, *turns: Turn) -> None:
        self.asked: list[ModelRequest] = []
        self._turns = list(turns)

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[AsyncIterator[Piece]]:
        self.asked.append(request)
        turn = self._turns.pop(0)
        if isinstance(turn, Exception):
            raise turn
        yield self._play(turn)

    async def _play(self, turn: Sequence[Piece | Exception]) -> AsyncIterator[Piece]:
        for piece in turn:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def close(self) -> None:
        pass


async def ask(provider: Turns, *, said: list[str] | None = None, **changes: Any) -> Completion:
    client = ModelClient(provider, [ModelSpec("small")], retries=2)
    fields: dict[str, Any] = {"model": "small", "body": {"messages": []}, "max_completion_tokens": 10, **changes}
    permit = client.take_issuer().issue(decision_id="d", what=ModelRequest(**fields))

    async def on_text(text: str) -> None:
        assert said is not None
        said.append(text)

    return await client.generate(permit, on_text if said is not None else None)


async def test_an_answer_is_handed_on_piece_by_piece_and_then_whole() -> None:
    said: list[str] = []
    done = await ask(Turns(HELLO), said=said)
    assert said == ["Hel", "lo"]
    assert done == Completion({"role": "assistant", "content": "Hello"}, "stop", 7, 2, estimated=False)


async def test_tool_calls_are_put_together() -> None:
    calls = [Piece(calls=[(0, "c1", "a__b", '{"x"')]), Piece(calls=[(0, None, None, ": 1}"), (1, None, "c", None)])]
    done = await ask(Turns([*calls, Piece(finish_reason="tool_calls")]))
    assert done.message == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "a__b", "arguments": '{"x": 1}'}},
            {"id": "call_2", "type": "function", "function": {"name": "c", "arguments": "{}"}},
        ],
    }


async def test_without_usage_the_tokens_are_estimated() -> None:
    done = await ask(Turns(HELLO[:3]))
    assert (done.estimated, done.completion_tokens) == (True, 2)
    assert done.prompt_tokens == len(json.dumps({"messages": []})) // 4


async def test_a_provider_that_is_busy_is_asked_again() -> None:
    provider = Turns(BUSY, BUSY, HELLO)
    assert (await ask(provider)).text == "Hello"
    assert len(provider.asked) == 3


@pytest.mark.parametrize(
    ("turns", "asked"),
    [
        ([BUSY, BUSY, BUSY], 3),
        ([ProviderFailed("it answers with status 401")], 1),
        ([ProviderFailed("it answers with status 429", again=True, wait_seconds=3600.0)], 1),
    ],
    ids=["too often", "what stays wrong", "too long a wait"],
)
async def test_a_provider_that_does_not_answer_is_unavailable(turns: list[Turn], asked: int) -> None:
    provider = Turns(*turns)
    with pytest.raises(ModelUnavailable):
        await ask(provider)
    assert len(provider.asked) == asked


async def test_what_was_said_is_not_said_again() -> None:
    broken: list[Piece | Exception] = [Piece(text="Hel"), ProviderFailed("it broke off", again=True)]
    provider, said = Turns(broken, HELLO), list[str]()
    with pytest.raises(ModelUnavailable):
        await ask(provider, said=said)
    assert (said, len(provider.asked)) == (["Hel"], 1)
    # Whom nothing was said to hears it whole.
    assert (await ask(Turns(broken, HELLO))).text == "Hello"


async def test_retries_are_bounded_over_all_requests() -> None:
    provider = Turns(*[BUSY] * 40)
    client = ModelClient(provider, [ModelSpec("small")], retries=2)
    issuer = client.take_issuer()
    request = ModelRequest("small", {"messages": []}, 10)
    for _ in range(10):
        with pytest.raises(ModelUnavailable):
            await client.generate(issuer.issue(decision_id="d", what=request))
    assert len(provider.asked) == 20  # ten of them are second tries


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [Piece(text="Hel")],
        [Piece(text=7), Piece(finish_reason="stop")],
        [Piece(text={"a": 1}), Piece(finish_reason="stop")],
        [Piece(calls=[("0", "c", "n", "{}")]), Piece(finish_reason="stop")],
        [Piece(calls=[(10**9, "c", "n", "{}")]), Piece(finish_reason="stop")],
        [Piece(calls=[(0, "c", ["n"], "{}")]), Piece(finish_reason="stop")],
    ],
    ids=["nothing", "no end", "a number", "an object", "no index", "a huge index", "no name"],
)
async def test_nonsense_is_no_answer(pieces: list[Piece]) -> None:
    with pytest.raises(ModelUnavailable):
        await ask(Turns(pieces, pieces, pieces))


@pytest.mark.parametrize(
    ("piece", "kept"),
    [
        (Piece(finish_reason="eos"), "stop"),
        (Piece(finish_reason=7), "stop"),
        (Piece(finish_reason="length"), "length"),
    ],
)
async def test_an_ending_is_one_that_is_known(piece: Piece, kept: str) -> None:
    assert (await ask(Turns([Piece(text="x"), piece]))).finish_reason == kept


@pytest.mark.parametrize("usage", [(-1, 2), ("7", 2), (7, 1 << 40), (None, None)])
async def test_a_count_that_cannot_be_is_not_believed(usage: tuple[Any, Any]) -> None:
    assert (await ask(Turns([*HELLO[:3], Piece(usage=usage)]))).estimated


async def test_an_endless_answer_ends() -> None:
    with pytest.raises(QuotaExceeded):
        await ask(Turns([Piece(text="x" * 1000)] * 100), max_answer_bytes=4096)


async def test_what_has_no_form_on_the_wire_is_replaced() -> None:
    done = await ask(Turns([Piece(text="a\ud800b"), Piece(finish_reason="stop")]))
    assert done.text == "a?b"


async def test_a_cancelled_request_ends_its_stream() -> None:
    ended = asyncio.Event()
    began = asyncio.Event()

    class Slow(Turns):
        @asynccontextmanager
        async def stream(self, request: ModelRequest) -> AsyncIterator[AsyncIterator[Piece]]:
            try:
                yield self._endless()
            finally:
                ended.set()

        async def _endless(self) -> AsyncIterator[Piece]:
            began.set()
            await asyncio.Event().wait()
            yield Piece()

    asking = asyncio.create_task(ask(Slow()))
    await began.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert ended.is_set()


async def test_a_permit_is_needed_and_used_up() -> None:
    client = ModelClient(Turns(HELLO, HELLO), [ModelSpec("small")])
    other = ModelClient(Turns(), [ModelSpec("small")])
    request = ModelRequest("small", {"messages": []}, 10)
    with pytest.raises(PermitInvalid):
        await client.generate(other.take_issuer().issue(decision_id="d", what=request))
    permit = client.take_issuer().issue(decision_id="d", what=request)
    await client.generate(permit)
    with pytest.raises(PermitInvalid):
        await client.generate(permit)
