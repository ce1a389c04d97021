"""The Python client of a hub.

async with HubClient() as hub:
async with hub.session() as session:
answer = await session.invoke("metro_hail.estimate_fare", {"pickup": "Main Street", "destination": "Elm Avenue"})
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Self

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from spokegate.v1 import decision_pb2, hub_pb2, hub_pb2_grpc

from hub.config import runtime_dir

_MEBIBYTE = 1 << 20
_QUICK_SECONDS = 10.0
_EXPORT_SECONDS = 60.0


def default_socket() -> Path:
    """Return where a hub of this user listens unless it is configured otherwise."""
    return runtime_dir() / "hub.sock"


class HubError(Exception):
    """The hub refused, or could not do, what was asked.

    Attributes:
        code: The gRPC status code.
        reason: The ErrorReason's name without its prefix, such as `POLICY_DENIED`; empty when it is not the hub's.
        decision_id: The decision, where one was minted.
    """

    def __init__(self, message: str, *, code: grpc.StatusCode, reason: str = "", decision_id: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.decision_id = decision_id


@dataclass(frozen=True, slots=True)
class Answer:
    """What a function returned."""

    result: Any
    decision_id: str
    confidentiality: tuple[str, ...]
    integrity: tuple[str, ...]


class HubClient:
    """A connection to a hub. Use as `async with`.

    Args:
        socket: The hub's socket; it stands for the user.
        timeout_seconds: The deadline of every call that does not name its own.
    """

    def __init__(self, socket: Path | None = None, *, timeout_seconds: float = 120.0) -> None:
        self._socket = socket or default_socket()
        self._timeout_seconds = timeout_seconds
        self._channel: grpc.aio.Channel | None = None

    async def __aenter__(self) -> Self:
        self._channel = grpc.aio.insecure_channel(
            f"unix:{self._socket}",
            options=(("grpc.max_receive_message_length", 16 * _MEBIBYTE), ("grpc.enable_http_proxy", 0)),
        )
        self._stub: hub_pb2_grpc.HubServiceAsyncStub = hub_pb2_grpc.HubServiceStub(self._channel)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._channel is not None:
            await self._channel.close()

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """Open a session, and close it at the end.

        Raises:
            HubError: It was refused, or no hub answers.
        """
        with _errors():
            opened = await self._stub.OpenSession(hub_pb2.OpenSessionRequest(), timeout=_QUICK_SECONDS)
        try:
            yield Session(self, opened.session_id, opened.user)
        finally:
            with contextlib.suppress(grpc.aio.AioRpcError):
                await self._stub.CloseSession(
                    hub_pb2.CloseSessionRequest(session_id=opened.session_id), timeout=_QUICK_SECONDS
                )

    async def invoke(
        self, session_id: str, function: str, arguments: Mapping[str, Any] | str, *, user_text: str = ""
    ) -> Answer:
        """Call one function as the user; see `Session.invoke`."""
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        request = hub_pb2.InvokeRequest(
            session_id=session_id, function=function, arguments_json=text, user_text=user_text
        )
        with _errors():
            reply = await self._stub.Invoke(request, timeout=self._timeout_seconds)
        return Answer(
            result=json.loads(reply.result_json),
            decision_id=reply.decision_id,
            confidentiality=tuple(reply.labels.confidentiality),
            integrity=tuple(reply.labels.integrity),
        )

    async def converse(self, session_id: str, text: str) -> AsyncGenerator[hub_pb2.ConverseResponse, None]:
        """Say a wish; see `Session.converse`."""
        request = hub_pb2.ConverseRequest(session_id=session_id, text=text)
        call = self._stub.Converse(request, timeout=self._timeout_seconds)
        try:
            with _errors():
                async for event in call:
                    yield event
        finally:
            call.cancel()

    @contextlib.asynccontextmanager
    async def prompts(
        self, *, timeout_seconds: float = 3600.0
    ) -> AsyncIterator[AsyncIterator[hub_pb2.WatchPromptsResponse]]:
        """Watch the user's prompts and notices; they reach this client from the moment that the context is open.

        Raises:
            HubError: It was refused, or no hub answers.
        """
        call = self._stub.WatchPrompts(hub_pb2.WatchPromptsRequest(), timeout=timeout_seconds)
        try:
            with _errors():
                await call.initial_metadata()
                if call.done():
                    await call.read()
            yield _events(call)
        finally:
            call.cancel()

    async def answer(
        self,
        prompt_id: str,
        scope: decision_pb2.GrantScope.ValueType | None,
        *,
        expires: float | None = None,
        uses: int | None = None,
        exact: bool = False,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        """Answer a prompt: yes with a scope, or no with None.

        Args:
            prompt_id: The prompt.
            scope: For how long the yes holds.
            expires: Scope until: when it ends, in seconds since the epoch; None for as late as the prompt offers.
            uses: For how many requests it is good at most.
            exact: Whether it is for exactly these arguments.
            arguments: What is agreed to in place of the arguments asked for; it may only narrow.

        Raises:
            HubError: It does not wait any more, or does not offer as much.
        """
        request = hub_pb2.AnswerPromptRequest(prompt_id=prompt_id, uses=uses, exact=exact)
        if scope is None:
            request.refuse = True
        else:
            request.approve = scope
        if expires is not None:
            request.expire_time.FromNanoseconds(int(expires * 1e9))
        if arguments is not None:
            request.arguments_json = json.dumps(arguments)
        with _errors():
            await self._stub.AnswerPrompt(request, timeout=_QUICK_SECONDS)

    async def apps(self) -> list[hub_pb2.AppInfo]:
        """List the installed apps."""
        with _errors():
            reply = await self._stub.ListApps(hub_pb2.ListAppsRequest(), timeout=_QUICK_SECONDS)
        return list(reply.apps)

    async def decisions(
        self, *, session_id: str = "", limit: int = 50, diverging: bool = False
    ) -> list[decision_pb2.DecisionRecord]:
        """List the user's decisions, newest first; with `diverging` those that log-only packages would change."""
        request = hub_pb2.ListDecisionsRequest(session_id=session_id, page_size=limit, diverging=diverging)
        with _errors():
            reply = await self._stub.ListDecisions(request, timeout=_QUICK_SECONDS)
        return list(reply.decisions)

    async def explain(self, decision_id: str) -> hub_pb2.ExplainDecisionResponse:
        """Return one decision with the access request it was made on."""
        with _errors():
            return await self._stub.ExplainDecision(
                hub_pb2.ExplainDecisionRequest(decision_id=decision_id), timeout=_QUICK_SECONDS
            )

    async def grants(self, *, session_id: str = "", include_ended: bool = False) -> list[decision_pb2.Grant]:
        """List the user's grants, newest first."""
        request = hub_pb2.ListGrantsRequest(session_id=session_id, include_ended=include_ended)
        with _errors():
            reply = await self._stub.ListGrants(request, timeout=_QUICK_SECONDS)
        return list(reply.grants)

    async def grant(self, grant_id: str) -> decision_pb2.Grant:
        """Return one grant of the user, whether it holds or not."""
        with _errors():
            reply = await self._stub.GetGrant(hub_pb2.GetGrantRequest(grant_id=grant_id), timeout=_QUICK_SECONDS)
        return reply.grant

    async def revoke(self, grant_id: str) -> decision_pb2.Grant:
        """End a grant at once."""
        with _errors():
            reply = await self._stub.RevokeGrant(hub_pb2.RevokeGrantRequest(grant_id=grant_id), timeout=_QUICK_SECONDS)
        return reply.grant

    async def set_user_data(self, name: str, value: Any, confidentiality: Sequence[str] = ()) -> None:
        """Set one attribute of the user, with the tags that its value carries."""
        attribute = hub_pb2.UserAttribute(name=name, value_json=json.dumps(value), confidentiality=confidentiality)
        with _errors():
            await self._stub.SetUserData(hub_pb2.SetUserDataRequest(attribute=attribute), timeout=_QUICK_SECONDS)

    async def user_data(self) -> list[hub_pb2.UserAttribute]:
        """List the user's attributes, by name."""
        with _errors():
            reply = await self._stub.ListUserData(hub_pb2.ListUserDataRequest(), timeout=_QUICK_SECONDS)
        return list(reply.attributes)

    async def delete_user_data(self, name: str) -> None:
        """Remove one attribute of the user."""
        with _errors():
            await self._stub.DeleteUserData(hub_pb2.DeleteUserDataRequest(name=name), timeout=_QUICK_SECONDS)

    async def export_memory(self, app: str = "") -> AsyncIterator[hub_pb2.ExportMemoryResponse]:
        """Yield what is remembered of the user: all of it, or what one app or `hub` itself remembers."""
        with _errors():
            async for item in self._stub.ExportMemory(hub_pb2.ExportMemoryRequest(app=app), timeout=_EXPORT_SECONDS):
                yield item

    async def forget_memory(self, app: str = "", key: str = "") -> int:
        """Remove what is remembered of the user: all, of one app or `hub`, or one entry; return how many items."""
        request = hub_pb2.ForgetMemoryRequest(app=app, key=key)
        with _errors():
            reply = await self._stub.ForgetMemory(request, timeout=_QUICK_SECONDS)
        return reply.forgotten


@dataclass(frozen=True, slots=True)
class Session:
    """An open session."""

    client: HubClient
    id: str
    user: str

    async def invoke(self, function: str, arguments: Mapping[str, Any] | str, *, user_text: str = "") -> Answer:
        """Call one function as the user.

        Args:
            function: `app.function`.
            arguments: The arguments, or their JSON text.
            user_text: What the user said that led to the call.

        Raises:
            HubError: It was refused, or failed.
        """
        return await self.client.invoke(self.id, function, arguments, user_text=user_text)

    def converse(self, text: str) -> AsyncGenerator[hub_pb2.ConverseResponse, None]:
        """Say a wish in the user's own words, and yield what happens; the last event is `final`.

        Closing it before cancels the wish and everything that it caused.

        Args:
            text: The wish.

        Raises:
            HubError: It was refused, or failed.
        """
        return self.client.converse(self.id, text)


async def _events(call: Any) -> AsyncIterator[hub_pb2.WatchPromptsResponse]:
    with _errors():
        async for event in call:
            yield event


@contextlib.contextmanager
def _errors() -> Any:
    try:
        yield
    except grpc.aio.AioRpcError as error:
        _raise(error)


def _raise(error: grpc.aio.AioRpcError) -> NoReturn:
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # has what it reads
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status is not None else ():
        if detail.Unpack(info):
            break
    raise HubError(
        error.details() or error.code().name,
        code=error.code(),
        reason=info.reason,
        decision_id=info.metadata.get("decision_id", ""),
    ) from error
