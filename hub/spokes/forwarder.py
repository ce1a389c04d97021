"""The forwarder: the hub's side of `SpokeService.Run`, and the one door into a spoke.

One stream is one call. The forwarder sends Start with the bytes of a permit, hands each ask to whoever mediates for
this stream, writes back an Answer or a Refusal, and returns the Result. The spoke is hostile: whatever breaks the
protocol ends the call.

Invariants:
    * Nothing is sent without a permit of this forwarder's own issuer, which is given out once.
    * An ask speaks for the stream that it came in on; no field of it can say otherwise.
    * When `run` returns or raises, nothing that the call caused is still running.
    * The spoke's own words (a failure's text, progress) go to the log, never to the caller; but for the pieces of an
      answer, to whom the permit says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import grpc
import structlog
from spokegate.v1 import spoke_pb2

from hub.errors import (
    AppFailed,
    DeadlineExceeded,
    SpokegateError,
    SpokeUnavailable,
    Unimplemented,
    outside,
    public_message,
)
from hub.permit import Door, Permit
from hub.spokes.egress.fetch import FetchRequest, FetchResponse
from hub.spokes.memory import Forgetting, KeptEntry, Reading, SaidTurn, Told, recall_answer, recalled, remembered
from hub.spokes.registry import RegisteredFunction
from hub.spokes.supervisor import Spoke, being_cancelled
from hub.spokes.wire import CALL_FRAMES

ASK_WINDOW = 16
MAX_ASKS = 1000
_MAX_FRAMES = 2_000
_MAX_STREAM_BYTES = 32 << 20
_MAX_PROGRESS_BYTES = 4 << 10
_END_SECONDS = 1.0
_WRITE_SECONDS = 0.25
_LOGGED_CHARACTERS = 500

_log = structlog.get_logger(__name__)

_Stream = grpc.aio.StreamStreamCall[spoke_pb2.RunRequest, spoke_pb2.RunResponse]


@dataclass(frozen=True, slots=True)
class Generated:
    """The model's answer as a whole, as `GenerateEnd` has it."""

    message_json: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


class Asks(Protocol):
    """Mediates what one running call asks for."""

    async def invoke(self, function: str, arguments_json: str) -> str:
        """Call another app's function; return its result as canonical JSON.

        Raises:
            SpokegateError: It was refused, or failed.
        """
        ...

    async def probe(self, patterns: Sequence[str]) -> Sequence[RegisteredFunction]:
        """Return the functions that the app may ask for, of those that are named: all when none are.

        Raises:
            SpokegateError: It was refused, or failed.
        """
        ...

    async def generate(self, request_json: str, on_text: Callable[[str], Awaitable[None]]) -> Generated:
        """Call the model; `on_text` is awaited with each piece of the text.

        Raises:
            SpokegateError: It was refused, or failed.
        """
        ...

    async def remember(self, what: KeptEntry | SaidTurn | Forgetting) -> None:
        """Store for the user, or forget; it is durable on return.

        Raises:
            SpokegateError: It was refused, or failed.
        """
        ...

    async def recall(self, what: Reading) -> Told:
        """Return what is remembered of the user.

        Raises:
            SpokegateError: It was refused, or failed.
        """
        ...

    async def fetch(self, request: FetchRequest) -> FetchResponse:
        """Fetch from a host outside.

        Raises:
            SpokegateError: It was refused, or failed.
        """
        ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a permit lets into a spoke.

    Attributes:
        function: The function's name within its app.
        arguments_json: The canonical JSON to deliver.
        on_answer: Hears the pieces of its answer in words that the function sends ahead; None where nobody may.
        user_data_json: What it is told of the user, by name: canonical JSON.
    """

    function: str
    arguments_json: str
    on_answer: Callable[[str], None] | None = None
    user_data_json: Mapping[str, str] = field(default_factory=dict)


class Forwarder(Door[Delivery]):
    """Runs permitted calls in spokes."""

    async def run(self, spoke: Spoke, permit: Permit[Delivery], *, deadline: float, asks: Asks) -> str:
        """Run one call in a spoke.

        Args:
            spoke: The spoke.
            permit: What the mediator let through; it is used up.
            deadline: When the call must be over, in the event loop's time.
            asks: Who mediates what the call asks for.

        Returns:
            The result's JSON text, as the spoke wrote it.

        Raises:
            AppFailed: The app failed, or broke the protocol.
            SpokeUnavailable: The spoke went away.
            DeadlineExceeded: The deadline passed; an unresponsive spoke is ended.
        """
        delivery = self.redeem(permit)
        remaining = deadline - asyncio.get_running_loop().time()
        if remaining <= 0:
            raise DeadlineExceeded(f"{spoke.name}: no time is left")
        with spoke.in_use():
            stream = spoke.stub.Run(timeout=remaining)
            run = _Run(stream, asks, spoke)
            try:
                # A peer that does not read can hold a write of gRPC beyond the deadline of its own call.
                async with asyncio.timeout(remaining + _WRITE_SECONDS):
                    return await run.to_result(delivery)
            except TimeoutError:
                spoke.suspect()
                raise DeadlineExceeded(f"{spoke.name}: the deadline passed, and it does not read") from None
            except grpc.aio.AioRpcError as error:
                raise _failure_of(spoke, error) from error
            except asyncio.CancelledError:
                # Whoever closes the spoke's channel cancels what runs over it, and not this task: passed on as it is,
                # it would look as if the caller had gone, who then gets no status at all.
                if not being_cancelled():
                    raise SpokeUnavailable(f"{spoke.name} was ended") from None
                # The spoke's deadline is the caller's: this is how a call that hangs ends.
                spoke.suspect()
                raise
            finally:
                stream.cancel()
                await run.end_asks()


class _Run:
    """One stream while it is open."""

    def __init__(self, stream: _Stream, asks: Asks, spoke: Spoke) -> None:
        self._stream = stream
        self._asks = asks
        self._name = spoke.name
        self._instructions = spoke.instructions
        self._wire = spoke.wire
        self._write_lock = asyncio.Lock()
        self._seen: set[int] = set()
        self._open: set[asyncio.Task[None]] = set()

    async def to_result(self, delivery: Delivery) -> str:
        start = spoke_pb2.Start(
            function=delivery.function,
            arguments_json=delivery.arguments_json,
            ask_window=ASK_WINDOW,
            user_data_json=delivery.user_data_json,
            app=self._name,
            instructions=self._instructions,
        )
        self._wire.explain(start.ByteSize(), frames=CALL_FRAMES)
        await self._stream.write(spoke_pb2.RunRequest(start=start))
        received = 0
        for _ in range(_MAX_FRAMES):
            response = await self._stream.read()
            if not isinstance(response, spoke_pb2.RunResponse):
                raise AppFailed(f"{self._name}: the stream ended without a result")
            size = response.ByteSize()
            self._wire.explain(size)
            received += size
            if received > _MAX_STREAM_BYTES:
                raise AppFailed(f"{self._name}: more than {_MAX_STREAM_BYTES} bytes in one call")
            match response.WhichOneof("frame"):
                case "ask":
                    self._start_ask(response.ask)
                case "progress" if size > _MAX_PROGRESS_BYTES:
                    raise AppFailed(f"{self._name}: a progress frame of {size} bytes")
                case "progress" if response.progress.answer and delivery.on_answer is not None:
                    delivery.on_answer(response.progress.text)
                case "progress":
                    _log.debug("progress", spoke=self._name, text=response.progress.text[:_LOGGED_CHARACTERS])
                case "result":
                    return await self._finish(response.result)
                case _:
                    raise AppFailed(f"{self._name}: an empty frame")
        raise AppFailed(f"{self._name}: more than {_MAX_FRAMES} frames")

    async def end_asks(self) -> None:
        """Cancel what the call asked for and wait until it is over."""
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(self._open)

    async def _finish(self, result: spoke_pb2.Result) -> str:
        await self._stream.done_writing()
        try:
            async with asyncio.timeout(_END_SECONDS):
                more = await self._stream.read()
        except TimeoutError:
            raise AppFailed(f"{self._name}: the stream stayed open after the result") from None
        if isinstance(more, spoke_pb2.RunResponse):
            raise AppFailed(f"{self._name}: a frame after the result")
        if result.WhichOneof("outcome") == "result_json":
            return result.result_json
        _log.warning("app failed", spoke=self._name, detail=result.failure.detail[:_LOGGED_CHARACTERS])
        raise AppFailed(f"{self._name}: {result.failure.detail[:_LOGGED_CHARACTERS]}")

    def _start_ask(self, ask: spoke_pb2.Ask) -> None:
        if ask.ask_id in self._seen:
            raise AppFailed(f"{self._name}: ask number {ask.ask_id} used twice")
        if len(self._open) >= ASK_WINDOW:
            raise AppFailed(f"{self._name}: more than {ASK_WINDOW} asks in flight")
        if len(self._seen) >= MAX_ASKS:
            raise AppFailed(f"{self._name}: more than {MAX_ASKS} asks in one call")
        self._seen.add(ask.ask_id)
        task = asyncio.create_task(self._answer(ask))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _answer(self, ask: spoke_pb2.Ask) -> None:
        try:
            reply = spoke_pb2.RunRequest(answer=await self._ask(ask))
        except Exception as error:
            if not isinstance(error, SpokegateError):
                _log.exception("an ask failed in the hub", spoke=self._name)
            reply = spoke_pb2.RunRequest(refusal=_refusal(ask.ask_id, error))
        # An ask that ended makes room before its answer is read: the spoke may ask again on reading it.
        task = asyncio.current_task()
        if task is not None:
            self._open.discard(task)
        await self._write(reply)

    async def _write(self, frame: spoke_pb2.RunRequest) -> None:
        async with self._write_lock:
            self._wire.explain(frame.ByteSize())
            try:
                await self._stream.write(frame)
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                return  # the stream is over, and its reader knows why

    async def _ask(self, ask: spoke_pb2.Ask) -> spoke_pb2.Answer:
        match ask.WhichOneof("kind"):
            case "invoke":
                result_json = await self._asks.invoke(ask.invoke.function, ask.invoke.arguments_json)
                return spoke_pb2.Answer(ask_id=ask.ask_id, invoke=spoke_pb2.InvokeAnswer(result_json=result_json))
            case "probe":
                functions = [_probed(function) for function in await self._asks.probe(ask.probe.functions)]
                return spoke_pb2.Answer(ask_id=ask.ask_id, probe=spoke_pb2.ProbeAnswer(functions=functions))
            case "generate":
                return await self._generate(ask.ask_id, ask.generate.request_json)
            case "remember":
                await self._asks.remember(remembered(ask.remember))
                return spoke_pb2.Answer(ask_id=ask.ask_id, remember=spoke_pb2.RememberAnswer())
            case "recall":
                told = await self._asks.recall(recalled(ask.recall))
                return spoke_pb2.Answer(ask_id=ask.ask_id, recall=recall_answer(told))
            case "fetch":
                response = await self._asks.fetch(_fetch_request(ask.fetch))
                return spoke_pb2.Answer(ask_id=ask.ask_id, fetch=_fetch_answer(response))
            case kind:
                raise Unimplemented(f"{self._name}: asked for {kind}")

    async def _generate(self, ask_id: int, request_json: str) -> spoke_pb2.Answer:
        async def on_text(text: str) -> None:
            part = spoke_pb2.GenerateAnswer(text=text)
            await self._write(spoke_pb2.RunRequest(answer=spoke_pb2.Answer(ask_id=ask_id, generate=part)))

        whole = await self._asks.generate(request_json, on_text)
        end = spoke_pb2.GenerateEnd(
            message_json=whole.message_json,
            finish_reason=whole.finish_reason,
            prompt_tokens=whole.prompt_tokens,
            completion_tokens=whole.completion_tokens,
        )
        return spoke_pb2.Answer(ask_id=ask_id, generate=spoke_pb2.GenerateAnswer(end=end))


def _probed(function: RegisteredFunction) -> spoke_pb2.ProbedFunction:
    return spoke_pb2.ProbedFunction(
        name=function.id,
        description=function.spec.description,
        arguments_schema_json=function.arguments_schema_json,
        result_schema_json=function.result_schema_json,
    )


def _fetch_request(ask: spoke_pb2.FetchAsk) -> FetchRequest:
    return FetchRequest(
        method=ask.method,
        url=ask.url,
        headers=dict(ask.headers),
        body=ask.body,
        max_bytes=ask.max_response_bytes,
        seconds=ask.timeout_milliseconds / 1000,
    )


def _fetch_answer(response: FetchResponse) -> spoke_pb2.FetchAnswer:
    headers = [spoke_pb2.FetchHeader(name=name, value=value) for name, value in response.headers]
    return spoke_pb2.FetchAnswer(status=response.status, headers=headers, body=response.body)


def _refusal(ask_id: int, error: Exception) -> spoke_pb2.Refusal:
    return spoke_pb2.Refusal(
        ask_id=ask_id,
        reason=outside(error).reason,
        message=public_message(error),
        decision_id=error.decision_id if isinstance(error, SpokegateError) else "",
    )


def _failure_of(spoke: Spoke, error: grpc.aio.AioRpcError) -> SpokegateError:
    match error.code():
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            spoke.suspect()
            return DeadlineExceeded(f"{spoke.name}: the deadline passed")
        case grpc.StatusCode.UNAVAILABLE:
            spoke.lost()
            return SpokeUnavailable(f"{spoke.name} went away: {error.details()}")
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return AppFailed(f"{spoke.name}: a frame is too large: {error.details()}")
        case code:
            return AppFailed(f"{spoke.name}: the stream ended with {code.name}")
