"""One `Run` stream: one call of one function, with the asks that it makes.

The function runs in the handler's own task, so that cancelling the stream cancels it with nothing in
between, and a function that asks for nothing costs no further task and no second read. Asks share one
exchange task, which lives only while something is to be written or an answer is due. It is a task of its own
because grpc allows one write and one read at a time and loses the message when either is cancelled, and a
function may cancel its ask at any moment (`asyncio.timeout`): an abandoned ask keeps its place in the window
until the hub has answered it.
"""

from __future__ import annotations

import asyncio
import json
import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
from spokegate.v1 import error_pb2, memory_pb2, spoke_pb2

from spoke_runner.sdk.app import App, AppFunction
from spoke_runner.sdk.call import Generated, History, ProbedFunction, Refused, Response, Role, Turn

MAX_FRAME_BYTES = 4 << 20
MAX_ASK_ARGUMENTS_BYTES = 1 << 20
MAX_MEMORY_BYTES = 64 << 10
MAX_PROGRESS_BYTES = 1 << 10
MAX_FAILURE_BYTES = 4 << 10

Context = grpc.aio.ServicerContext[spoke_pb2.RunRequest, spoke_pb2.RunResponse]

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class StreamCall:
    """The `Call` of a function that is served over a stream.

    Invariants:
        Ask numbers rise from 1 and are never used twice. Never more asks are unanswered than the window has
        room for. Frames leave in the order in which they were made; after `finish` none is taken any more.
    """

    def __init__(self, context: Context, data: Path, start: spoke_pb2.Start) -> None:
        self.data = data
        self.app = start.app
        self.instructions = start.instructions
        self.user_data = {name: json.loads(value) for name, value in start.user_data_json.items()}
        self._context = context
        self._window = start.ask_window
        self._ended = False
        self._asks = 0
        self._unanswered: dict[int, asyncio.Future[spoke_pb2.RunRequest]] = {}
        self._pieces: dict[int, asyncio.Queue[str | None]] = {}
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._outbox: deque[tuple[spoke_pb2.RunResponse, asyncio.Future[None] | None]] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[None] | None = None

    async def invoke(self, function: str, arguments: dict[str, Any]) -> Any:
        """Ask for another app's function (see `Call.invoke`)."""
        text = _encode(arguments)
        if len(text) > MAX_ASK_ARGUMENTS_BYTES or len(text.encode()) > MAX_ASK_ARGUMENTS_BYTES:
            raise ValueError(f"the arguments for {function} are larger than {MAX_ASK_ARGUMENTS_BYTES} bytes")
        answer = await self._ask(spoke_pb2.Ask(invoke=spoke_pb2.InvokeAsk(function=function, arguments_json=text)))
        return json.loads(answer.invoke.result_json)

    async def probe(self, functions: Sequence[str] = ()) -> list[ProbedFunction]:
        """Return the functions that this app may ask for (see `Call.probe`)."""
        answer = await self._ask(spoke_pb2.Ask(probe=spoke_pb2.ProbeAsk(functions=functions)))
        return [
            ProbedFunction(
                name=function.name,
                description=function.description,
                arguments_schema=json.loads(function.arguments_schema_json),
                result_schema=json.loads(function.result_schema_json),
            )
            for function in answer.probe.functions
        ]

    async def generate(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        on_text: Callable[[str], Awaitable[None]] | None = None,
        **options: Any,
    ) -> Generated:
        """Ask the model (see `Call.generate`)."""
        request = {"messages": list(messages), **({"tools": list(tools)} if tools else {}), **options}
        text = _encode(request)
        if len(text) > MAX_ASK_ARGUMENTS_BYTES or len(text.encode()) > MAX_ASK_ARGUMENTS_BYTES:
            raise ValueError(f"the request is larger than {MAX_ASK_ARGUMENTS_BYTES} bytes")
        ask = spoke_pb2.Ask(generate=spoke_pb2.GenerateAsk(request_json=text))
        if on_text is None:
            end = (await self._ask(ask)).generate.end
        else:
            pieces: asyncio.Queue[str | None] = asyncio.Queue()
            said = asyncio.create_task(_say(pieces, on_text))
            try:
                end = (await self._ask(ask, pieces)).generate.end
                pieces.put_nowait(None)
                await said
            finally:
                said.cancel()
        message = json.loads(end.message_json)
        return Generated(message, end.finish_reason, end.prompt_tokens, end.completion_tokens)

    async def fetch(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        max_response_bytes: int = 0,
        timeout_seconds: float = 0.0,
    ) -> Response:
        """Ask the hub for one HTTP exchange (see `Call.fetch`)."""
        ask = spoke_pb2.FetchAsk(
            method=method,
            url=url,
            headers=headers,
            body=body,
            max_response_bytes=max_response_bytes,
            timeout_milliseconds=round(timeout_seconds * 1000),
        )
        if ask.ByteSize() > MAX_ASK_ARGUMENTS_BYTES:
            raise ValueError(f"the request is larger than {MAX_ASK_ARGUMENTS_BYTES} bytes")
        answer = (await self._ask(spoke_pb2.Ask(fetch=ask))).fetch
        return Response(answer.status, tuple((header.name, header.value) for header in answer.headers), answer.body)

    async def remember(self, key: str, value: Any) -> None:
        """Keep a value for the user (see `Call.remember`)."""
        entry = memory_pb2.MemoryEntry(
            key=key, value_json=_at_most(MAX_MEMORY_BYTES, _encode(value), f"{key}: the value")
        )
        await self._ask(spoke_pb2.Ask(remember=spoke_pb2.RememberAsk(entry=entry)))

    async def forget(self, key: str) -> None:
        """Forget the value under a key (see `Call.forget`)."""
        await self._ask(spoke_pb2.Ask(remember=spoke_pb2.RememberAsk(forget_key=key)))

    async def recall(self, key: str, default: Any = None) -> Any:
        """Return the value under a key (see `Call.recall`)."""
        answer = await self._ask(spoke_pb2.Ask(recall=spoke_pb2.RecallAsk(key=key)))
        return next((json.loads(entry.value_json) for entry in answer.recall.entries), default)

    async def entries(self) -> dict[str, Any]:
        """Return all values by key (see `Call.entries`)."""
        answer = await self._ask(spoke_pb2.Ask(recall=spoke_pb2.RecallAsk(entries=True)))
        return {entry.key: json.loads(entry.value_json) for entry in answer.recall.entries}

    async def say(self, role: Role, text: str) -> None:
        """Add to the history (see `Call.say`)."""
        turn = memory_pb2.MemoryTurn(role=role, text=_at_most(MAX_MEMORY_BYTES, text, "the text"))
        await self._ask(spoke_pb2.Ask(remember=spoke_pb2.RememberAsk(turn=turn)))

    async def history(self) -> History:
        """Return what was said (see `Call.history`)."""
        answer = (await self._ask(spoke_pb2.Ask(recall=spoke_pb2.RecallAsk(history=True)))).recall
        return History(answer.summary, tuple(Turn(turn.role, turn.text) for turn in answer.turns))

    async def progress(self, text: str, *, answer: bool = False) -> None:
        """Send a sign of life (see `Call.progress`)."""
        self._check_open()
        # Waited for until it is written, or a function that reports in a loop would fill the memory.
        written = asyncio.get_running_loop().create_future()
        progress = spoke_pb2.Progress(text=_cut(text, MAX_PROGRESS_BYTES), answer=answer)
        frame = spoke_pb2.RunResponse(progress=progress)
        self._send(frame, written)
        await written

    async def finish(self, result: spoke_pb2.Result) -> None:
        """Write the result behind every frame that was made before it, and take no more."""
        self._ended = True
        if self._writer is not None:
            await self._writer
        await self._context.write(spoke_pb2.RunResponse(result=result))

    def close(self) -> None:
        """Cancel whatever waits for an answer that will not come."""
        self._ended = True
        for task in (self._writer, self._reader):
            if task is not None and task is not asyncio.current_task():
                task.cancel()
        for answered in self._unanswered.values():
            answered.cancel()
        for turn in self._waiting:
            turn.cancel()

    async def _ask(self, ask: spoke_pb2.Ask, pieces: asyncio.Queue[str | None] | None = None) -> spoke_pb2.Answer:
        self._check_open()
        if self._window == 0:
            raise Refused("QUOTA_EXCEEDED", message="This call may not ask for anything.")
        loop = asyncio.get_running_loop()
        while len(self._unanswered) >= self._window:
            turn = loop.create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                # A turn that was given away and is not taken goes to the next in line.
                if turn.done() and not turn.cancelled():
                    self._next_turn()
                raise
            self._check_open()
        self._asks += 1
        ask.ask_id = self._asks
        number = self._asks
        answered = self._unanswered[number] = loop.create_future()
        if pieces is not None:
            self._pieces[number] = pieces
        self._send(spoke_pb2.RunResponse(ask=ask), None)
        try:
            frame = await answered
        finally:
            self._pieces.pop(number, None)
        if frame.WhichOneof("frame") == "refusal":
            raise _refused(frame.refusal)
        answer: spoke_pb2.Answer = frame.answer
        if answer.WhichOneof("kind") != ask.WhichOneof("kind"):
            raise RuntimeError("the hub's answer is of another kind than the ask")
        return answer

    def _check_open(self) -> None:
        if self._ended:
            raise RuntimeError("the call has ended")

    def _send(self, frame: spoke_pb2.RunResponse, written: asyncio.Future[None] | None) -> None:
        self._outbox.append((frame, written))
        if self._writer is None:
            self._writer = asyncio.create_task(self._exchange())

    async def _exchange(self) -> None:
        try:
            while self._outbox:
                frame, written = self._outbox.popleft()
                await self._context.write(frame)
                if written is not None and not written.done():
                    written.set_result(None)
        except Exception:
            # The stream is gone, and with it the call: grpc cancels the handler, and there is no one to tell.
            self.close()
            return
        finally:
            self._writer = None
        if self._reader is None and self._unanswered and not self._ended:
            self._reader = asyncio.current_task()
            try:
                await self._read_answers()
            finally:
                self._reader = None

    async def _read_answers(self) -> None:
        while self._unanswered:
            frame = await self._context.read()
            if not isinstance(frame, spoke_pb2.RunRequest):  # EOF
                # The hub has half-closed with asks open: it will not answer them.
                self.close()
                return
            kind = frame.WhichOneof("frame")
            ask_id = getattr(frame, kind).ask_id if kind in ("answer", "refusal") else 0
            if kind == "answer" and frame.answer.generate.WhichOneof("part") == "text" and ask_id in self._unanswered:
                if (pieces := self._pieces.get(ask_id)) is not None:
                    pieces.put_nowait(frame.answer.generate.text)
                continue
            answered = self._unanswered.pop(ask_id, None)
            if answered is None:
                # Nothing that the hub may send; going on would only hide it.
                self.close()
                return
            if not answered.done():
                answered.set_result(frame)
            self._next_turn()

    def _next_turn(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return


async def _say(pieces: asyncio.Queue[str | None], on_text: Callable[[str], Awaitable[None]]) -> None:
    while (piece := await pieces.get()) is not None:
        await on_text(piece)


async def run(app: App, data: Path, context: Context) -> None:
    """Serve one stream: read the start, run the function, write exactly one result."""
    first = await context.read()
    if not isinstance(first, spoke_pb2.RunRequest) or first.WhichOneof("frame") != "start":
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the first frame must be Start")
    start = first.start
    call = StreamCall(context, data, start)
    try:
        function = app.get(start.function)
        if function is None:
            result = _failure(f"there is no function {start.function!r} in the app's code")
        else:
            result = await _outcome(function, call, start.arguments_json)
        await call.finish(result)
    finally:
        call.close()


async def _outcome(function: AppFunction, call: StreamCall, arguments_json: str) -> spoke_pb2.Result:
    try:
        value = await function(call, **json.loads(arguments_json))
        result = spoke_pb2.Result(result_json=_encode(value))
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # Nobody cancelled the stream: the function let a cancellation of its own escape.
        return _failure(_last_lines(error))
    except (Exception, SystemExit) as error:  # sys.exit() in a function ends the call, not the spoke
        return _failure(_last_lines(error))
    size = result.ByteSize()
    if size > MAX_FRAME_BYTES - 64:
        return _failure(f"the result is {size} bytes long; a frame takes {MAX_FRAME_BYTES}")
    return result


def _failure(detail: str) -> spoke_pb2.Result:
    return spoke_pb2.Result(failure=spoke_pb2.Failure(detail=_cut(detail, MAX_FAILURE_BYTES)))


def _last_lines(error: BaseException) -> str:
    """Return where the error was raised, and what it says."""
    where = traceback.extract_tb(error.__traceback__)[-1:]
    return "".join(traceback.format_list(where) + traceback.format_exception_only(error)).rstrip()


def _at_most(max_bytes: int, text: str, what: str) -> str:
    if len(text) > max_bytes or len(text.encode("utf-8", "replace")) > max_bytes:
        raise ValueError(f"{what} is larger than {max_bytes} bytes")
    return text


def _cut(text: str, max_bytes: int) -> str:
    # Lone surrogates, which an app can put into any text, have no UTF-8 form.
    return text.encode("utf-8", "replace")[:max_bytes].decode("utf-8", "ignore")


def _refused(refusal: spoke_pb2.Refusal) -> Refused:
    try:
        reason = error_pb2.ErrorReason.Name(refusal.reason).removeprefix("ERROR_REASON_")
    except ValueError:  # a newer hub
        reason = "UNSPECIFIED"
    return Refused(reason, decision_id=refusal.decision_id, message=refusal.message)
