"""The SDK over a real stream: grpc.aio on a unix socket, the test in the hub's place."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from spokegate.v1 import error_pb2, spoke_pb2, spoke_pb2_grpc

from spoke_runner.sdk.server import AppUnusable, load_app
from tests.unit.sdk.serving import serving

APP = """
import asyncio, sys
from pathlib import Path
from spoke_runner.sdk import App, Call, Refused

app = App()
cancelled = []

@app.function
async def echo(call: Call, value):
    return value

@app.function
async def where(call: Call):
    return str(call.data)

@app.function
async def ask(call: Call, target: str, arguments: dict):
    try:
        return await call.invoke(target, arguments)
    except Refused as refused:
        return [refused.reason, refused.decision_id, refused.message, str(refused)]

@app.function
async def ask_many(call: Call, count: int):
    return await asyncio.gather(*(call.invoke("a.b", {"n": n}) for n in range(count)))

@app.function
async def one_after_another(call: Call, count: int):
    return [await call.invoke("a.b", {"n": n}) for n in range(count)]

@app.function
async def probe(call: Call):
    return [[f.name, f.description, f.arguments_schema, f.result_schema] for f in await call.probe()]

@app.function
async def impatient(call: Call):
    try:
        async with asyncio.timeout(0.02):
            await call.invoke("a.slow", {})
    except TimeoutError:
        pass
    return await call.invoke("a.fast", {})

@app.function
async def abandon(call: Call):
    task = asyncio.create_task(call.invoke("a.slow", {}))
    await asyncio.sleep(0.02)
    return "done"

late = []

@app.function
async def leave_a_task(call: Call):
    async def go():
        await asyncio.sleep(0.02)
        try:
            await call.invoke("a.b", {})
        except RuntimeError as error:
            late.append(str(error))
    late.append(asyncio.create_task(go()))
    return 1

@app.function
async def late_words(call: Call):
    return [word for word in late if isinstance(word, str)]

@app.function
async def report(call: Call, text: str, times: int):
    for _ in range(times):
        await call.progress(text)
    return times

@app.function
async def wait(call: Call):
    (call.data / "started").touch()
    try:
        await asyncio.sleep(60)
    finally:
        (call.data / "cancelled").touch()

@app.function
async def fail(call: Call, message: str):
    raise ValueError(message)

@app.function
async def leave(call: Call):
    sys.exit(3)

@app.function
async def self_cancelled(call: Call):
    raise asyncio.CancelledError("of my own")

@app.function
async def unwritable(call: Call, which: str):
    return {"nan": float("nan"), "set": {1}, "surrogate": "\\ud800", "big": "x" * (5 << 20)}[which]

@app.function
async def unwritable_ask(call: Call):
    await call.invoke("a.b", {"x": "y" * (1 << 20)})
"""

Answering = Callable[[spoke_pb2.Ask], Awaitable[spoke_pb2.RunRequest]]


class Spoke:
    """A served app, called as the hub calls it."""

    def __init__(self, channel: grpc.aio.Channel, data: Path) -> None:
        self.channel = channel
        self.data = data
        self.stub = spoke_pb2_grpc.SpokeServiceStub(channel)

    def start(self, name: str, /, *, window: int = 4, **arguments: object) -> Any:
        stream = self.stub.Run(timeout=10)
        start = spoke_pb2.Start(function=name, arguments_json=json.dumps(arguments), ask_window=window)
        return stream, spoke_pb2.RunRequest(start=start)

    async def call(
        self, name: str, /, *, answering: Answering | None = None, window: int = 4, **arguments: object
    ) -> tuple[spoke_pb2.Result, list[spoke_pb2.RunResponse]]:
        stream, first = self.start(name, window=window, **arguments)
        await stream.write(first)
        frames = []
        async with asyncio.TaskGroup() as group:
            lock = asyncio.Lock()

            async def answer(ask: spoke_pb2.Ask) -> None:
                assert answering is not None
                reply = await answering(ask)
                async with lock:
                    with contextlib.suppress(asyncio.InvalidStateError):
                        await stream.write(reply)

            while (frame := await stream.read()) is not grpc.aio.EOF:
                frames.append(frame)
                if frame.WhichOneof("frame") == "ask":
                    group.create_task(answer(frame.ask))
        assert await stream.code() == grpc.StatusCode.OK
        assert [frame.WhichOneof("frame") for frame in frames].index("result") == len(frames) - 1
        return frames[-1].result, frames[:-1]

    async def value(self, name: str, /, **options: Any) -> Any:
        result, _ = await self.call(name, **options)
        assert result.WhichOneof("outcome") == "result_json", result
        return json.loads(result.result_json)


async def answer_with_arguments(ask: spoke_pb2.Ask) -> spoke_pb2.RunRequest:
    answer = spoke_pb2.InvokeAnswer(result_json=ask.invoke.arguments_json)
    return spoke_pb2.RunRequest(answer=spoke_pb2.Answer(ask_id=ask.ask_id, invoke=answer))


@pytest.fixture
async def spoke(tmp_path: Path) -> AsyncIterator[Spoke]:
    app_dir, data = tmp_path / "app", tmp_path / "data"
    app_dir.mkdir()
    data.mkdir()
    name = f"app_{abs(hash(tmp_path))}"  # modules are kept by name, and each test wants its own
    (app_dir / f"{name}.py").write_text(APP)
    async with serving(f"{name}:app", app_dir, data, tmp_path / "s") as channel:
        yield Spoke(channel, data)


async def test_a_function_gets_its_arguments_and_its_value_comes_back(spoke: Spoke) -> None:
    for value in (None, 1, 1.5, "ü\u2028", [1, {"a": []}], {"k": True}):
        assert await spoke.value("echo", value=value) == value


async def test_a_function_sees_its_data_directory(spoke: Spoke) -> None:
    assert await spoke.value("where") == str(spoke.data)


async def test_health_says_serving_for_the_server_and_the_service(spoke: Spoke) -> None:
    checks: Any = health_pb2_grpc.HealthStub(spoke.channel)
    for service in ("", "spokegate.v1.SpokeService"):
        answer = await checks.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_an_invoke_carries_function_and_arguments_and_returns_the_result(spoke: Spoke) -> None:
    asks: list[spoke_pb2.Ask] = []

    async def answering(ask: spoke_pb2.Ask) -> spoke_pb2.RunRequest:
        asks.append(ask)
        return await answer_with_arguments(ask)

    arguments = {"text": "ü", "n": [1, None]}
    assert await spoke.value("ask", target="b.f", arguments=arguments, answering=answering) == arguments
    assert [ask.invoke.function for ask in asks] == ["b.f"]


async def test_a_refusal_is_an_exception_with_reason_decision_and_text(spoke: Spoke) -> None:
    async def answering(ask: spoke_pb2.Ask) -> spoke_pb2.RunRequest:
        return spoke_pb2.RunRequest(
            refusal=spoke_pb2.Refusal(
                ask_id=ask.ask_id,
                reason=error_pb2.ERROR_REASON_POLICY_DENIED,
                message="The request was refused.",
                decision_id="d-1",
            )
        )

    assert await spoke.value("ask", target="b.f", arguments={}, answering=answering) == [
        "POLICY_DENIED",
        "d-1",
        "The request was refused.",
        "POLICY_DENIED: The request was refused.",
    ]


async def test_a_reason_of_a_newer_hub_is_still_a_refusal(spoke: Spoke) -> None:
    async def answering(ask: spoke_pb2.Ask) -> spoke_pb2.RunRequest:
        refusal = spoke_pb2.Refusal(ask_id=ask.ask_id)
        refusal.reason = 999  # type: ignore[assignment]
        return spoke_pb2.RunRequest(refusal=refusal)

    assert (await spoke.value("ask", target="b.f", arguments={}, answering=answering))[0] == "UNSPECIFIED"


async def test_a_call_without_a_window_refuses_every_ask_at_once(spoke: Spoke) -> None:
    assert (await spoke.value("ask", target="b.f", arguments={}, window=0))[0] == "QUOTA_EXCEEDED"


@pytest.mark.parametrize("window", [1, 3, 50])
async def test_no_more_asks_are_open_than_the_window_takes_and_all_are_answered(spoke: Spoke, window: int) -> None:
    is_open = most = 0
    window_is_full = asyncio.Event()

    async def answering(ask: spoke_pb2.Ask) -> spoke_pb2.RunRequest:
        nonlocal is_open, most
        is_open += 1
        most = max(most, is_open)
        if is_open == min(window, 20):
            window_is_full.set()
        await window_is_full.wait()
        # Later asks are answered first, so that an answer is taken for its number and not for its place.
        await asyncio.sleep(0.001 * (4 - ask.ask_id % 4))
        is_open -= 1
        return await answer_with_arguments(ask)

    values = await spoke.value("ask_many", count=20, window=window, answering=answering)
    assert values == [{"n": n} for n in range(20)]
    assert most == min(window, 20)


async def test_ask_numbers_are_never_used_twice(spoke: Spoke) -> None:
    _, frames = await spoke.call("one_after_another", count=5, window=1, answering=answer_with_arguments)
    assert [frame.ask.ask_id for frame in frames] == [1, 2, 3, 4, 5]


async def test_a_probe_lists_what_the_hub_lists(spoke: Spoke) -> None:
    async def answering(ask: spoke_pb2.Ask) -> spoke_pb2.RunRequest:
        found = spoke_pb2.ProbedFunction(
            name="a.b",
            description="Does b.",
            arguments_schema_json='{"type":"object"}',
            result_schema_json="true",
        )
        probe = spoke_pb2.ProbeAnswer(functions=[found])
        return spoke_pb2.RunRequest(answer=spoke_pb2.Answer(ask_id=ask.ask_id, probe=probe))

    assert await spoke.value("probe", answering=answering) == [["a.b", "Does b.", {"type": "object"}, True]]


async def test_an_answer_of_another_kind_fails_the_call(spoke: Spoke) -> None:
    result, _ = await spoke.call("probe", answering=answer_with_arguments)
    assert "another kind" in result.failure.detail


async def test_an_answer_to_no_ask_fails_the_call(spoke: Spoke) -> None:
    async def answering(ask: spoke_pb2.Ask) -> spoke_pb2.RunRequest:
        return spoke_pb2.RunRequest(answer=spoke_pb2.Answer(ask_id=ask.ask_id + 1))

    result, _ = await spoke.call("probe", answering=answering)
    assert result.WhichOneof("outcome") == "failure"


async def test_an_ask_that_was_given_up_keeps_its_place_until_it_is_answered(spoke: Spoke) -> None:
    order: list[str] = []

    async def answering(ask: spoke_pb2.Ask) -> spoke_pb2.RunRequest:
        if ask.invoke.function == "a.slow":
            await asyncio.sleep(0.1)
        order.append(ask.invoke.function)
        return await answer_with_arguments(ask)

    assert await spoke.value("impatient", window=1, answering=answering) == {}
    assert order == ["a.slow", "a.fast"]


async def test_a_call_ends_with_an_ask_still_open(spoke: Spoke) -> None:
    async def answering(ask: spoke_pb2.Ask) -> spoke_pb2.RunRequest:
        await asyncio.sleep(0.1)
        return await answer_with_arguments(ask)

    for _ in range(3):
        assert await spoke.value("abandon", answering=answering) == "done"


async def test_a_task_that_outlives_its_call_can_ask_no_more(spoke: Spoke) -> None:
    await spoke.value("leave_a_task")
    await asyncio.sleep(0.1)
    assert await spoke.value("late_words") == ["the call has ended"]


async def test_progress_comes_before_the_result_and_is_cut_to_size(spoke: Spoke) -> None:
    result, frames = await spoke.call("report", text="ü" * 2000, times=3)
    assert json.loads(result.result_json) == 3
    assert [frame.progress.text for frame in frames] == ["ü" * 512] * 3


async def test_cancelling_the_stream_cancels_the_function(spoke: Spoke) -> None:
    stream, first = spoke.start("wait")
    await stream.write(first)
    while not (spoke.data / "started").exists():  # noqa: ASYNC110 -- the function runs elsewhere
        await asyncio.sleep(0.005)
    stream.cancel()
    async with asyncio.timeout(5):
        while not (spoke.data / "cancelled").exists():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    assert await spoke.value("echo", value=1) == 1


async def test_an_error_in_the_function_says_where_and_what_and_no_more(spoke: Spoke) -> None:
    result, _ = await spoke.call("fail", message="no such fare")
    first, *_, last = result.failure.detail.splitlines()
    assert first.endswith("in fail")
    assert last == "ValueError: no such fare"


async def test_a_long_error_is_cut_to_four_kibibytes(spoke: Spoke) -> None:
    result, _ = await spoke.call("fail", message="ü" * 10_000)
    assert len(result.failure.detail.encode()) <= 4096


async def test_leaving_the_process_politely_only_ends_the_call(spoke: Spoke) -> None:
    result, _ = await spoke.call("leave")
    assert "SystemExit: 3" in result.failure.detail
    assert await spoke.value("echo", value=1) == 1


async def test_a_cancellation_of_the_functions_own_is_a_failure(spoke: Spoke) -> None:
    result, _ = await spoke.call("self_cancelled")
    assert "CancelledError: of my own" in result.failure.detail


@pytest.mark.parametrize(
    ("which", "says"),
    [("nan", "ValueError"), ("set", "TypeError"), ("surrogate", "Unicode"), ("big", "bytes long")],
)
async def test_a_value_without_a_frame_is_a_failure(spoke: Spoke, which: str, says: str) -> None:
    result, _ = await spoke.call("unwritable", which=which)
    assert says in result.failure.detail


async def test_arguments_beyond_the_cap_are_not_sent(spoke: Spoke) -> None:
    result, frames = await spoke.call("unwritable_ask")
    assert "larger than" in result.failure.detail
    assert frames == []


async def test_an_unknown_function_and_wrong_arguments_are_failures(spoke: Spoke) -> None:
    result, _ = await spoke.call("nothing")
    assert "no function 'nothing'" in result.failure.detail
    result, _ = await spoke.call("echo", other=1)
    assert "unexpected keyword argument 'other'" in result.failure.detail


async def test_a_stream_that_does_not_start_with_a_start_is_refused(spoke: Spoke) -> None:
    stream = spoke.stub.Run(timeout=5)
    await stream.write(spoke_pb2.RunRequest(answer=spoke_pb2.Answer(ask_id=1)))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stream.read()
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_a_frame_beyond_four_mebibytes_is_refused(spoke: Spoke) -> None:
    stream, first = spoke.start("echo", value="x" * (4 << 20))
    await stream.write(first)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stream.read()
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_calls_run_side_by_side(spoke: Spoke) -> None:
    barrier = asyncio.Barrier(8)

    async def answering(ask: spoke_pb2.Ask) -> spoke_pb2.RunRequest:
        await barrier.wait()
        return await answer_with_arguments(ask)

    calls = [spoke.value("ask", target="a.b", arguments={"n": n}, answering=answering) for n in range(8)]
    assert await asyncio.gather(*calls) == [{"n": n} for n in range(8)]


@pytest.mark.parametrize(
    ("entry", "says"), [("m", "module:attribute"), ("m:nothing", "not an App"), ("m:other", "not an App")]
)
def test_an_entry_without_an_app_is_refused(tmp_path: Path, entry: str, says: str) -> None:
    module = f"m_{abs(hash(tmp_path))}"
    (tmp_path / f"{module}.py").write_text("other = 1\n")
    with pytest.raises(AppUnusable, match=says):
        load_app(entry.replace("m", module, 1), tmp_path)


def test_bytecode_that_lies_beside_the_source_is_not_run(tmp_path: Path) -> None:
    import py_compile

    module = f"n_{abs(hash(tmp_path))}"
    source = tmp_path / f"{module}.py"
    source.write_text("from spoke_runner.sdk import App\napp = 'hostile'\n")
    compiled = py_compile.compile(str(source), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    assert compiled is not None
    source.write_text("from spoke_runner.sdk import App\napp = App()\n")
    load_app(f"{module}:app", tmp_path)
