"""HubService: each RPC, as thin as it can be. One servicer serves one socket, and so one user."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from spokegate.v1 import hub_pb2, hub_pb2_grpc

from hub.edge import conversation, convert
from hub.edge.interceptors import seconds_left
from hub.errors import RequestInvalid
from hub.mediation.consent import Prompts
from hub.mediation.explain import Explainer
from hub.sessions.session import Sessions
from hub.sessions.user_data import UserData
from hub.spokes.registry import Registry
from hub.store.audit import AuditLog
from hub.store.grants import GrantStore
from hub.store.memory import MemoryStore

_DEFAULT_PAGE = 50
_MAX_PAGE = 1000
_ANSWER_SECONDS = 0.1
_PAGE_TOKEN = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Backend:
    """What the surface stands on."""

    sessions: Sessions
    prompts: Prompts
    registry: Registry
    grants: GrantStore
    audit: AuditLog
    explainer: Explainer
    memory: MemoryStore
    user_data: UserData


class HubServicer(hub_pb2_grpc.HubServiceServicer):
    """Serves one user's socket.

    Args:
        backend: What it stands on.
        user: The user that whoever connects is.
        roles: The user's roles.
        call_seconds: The deadline of an Invoke that brings none.
    """

    def __init__(self, backend: Backend, *, user: str, roles: tuple[str, ...], call_seconds: float) -> None:
        self._backend = backend
        self._user = user
        self._roles = roles
        self._call_seconds = call_seconds

    async def OpenSession(  # noqa: N802
        self, request: hub_pb2.OpenSessionRequest, context: Any
    ) -> hub_pb2.OpenSessionResponse:
        """Open a session."""
        session_id = self._backend.sessions.open(self._user, self._roles)
        return hub_pb2.OpenSessionResponse(session_id=session_id, user=self._user)

    async def CloseSession(  # noqa: N802
        self, request: hub_pb2.CloseSessionRequest, context: Any
    ) -> hub_pb2.CloseSessionResponse:
        """Close a session."""
        await self._backend.sessions.close(self._user, request.session_id)
        return hub_pb2.CloseSessionResponse()

    async def Converse(  # noqa: N802
        self, request: hub_pb2.ConverseRequest, context: Any
    ) -> AsyncIterator[hub_pb2.ConverseResponse]:
        """Carry out a wish of the user."""
        events = self._backend.sessions.converse(
            self._user,
            request.session_id,
            request.text,
            timeout_seconds=_with_time_to_answer(seconds_left(context, self._call_seconds)),
        )
        async with aclosing(events):
            async for event in events:
                yield conversation.response(event)

    async def Invoke(  # noqa: N802
        self, request: hub_pb2.InvokeRequest, context: Any
    ) -> hub_pb2.InvokeResponse:
        """Call one function as the user."""
        delivered = await self._backend.sessions.invoke(
            self._user,
            request.session_id,
            request.function,
            request.arguments_json,
            user_text=request.user_text,
            timeout_seconds=_with_time_to_answer(seconds_left(context, self._call_seconds)),
        )
        return hub_pb2.InvokeResponse(
            result_json=delivered.result_json,
            decision_id=delivered.decision_id,
            labels=convert.labels(delivered.labels),
        )

    async def WatchPrompts(  # noqa: N802
        self, request: hub_pb2.WatchPromptsRequest, context: Any
    ) -> AsyncIterator[hub_pb2.WatchPromptsResponse]:
        """Stream the user's waiting questions, and notices."""
        with self._backend.prompts.watch(self._user) as events:
            # Whoever reads the headers knows that from now on its prompts reach it.
            await context.send_initial_metadata(())
            async for event in events:
                yield convert.prompt_event(event)

    async def AnswerPrompt(  # noqa: N802
        self, request: hub_pb2.AnswerPromptRequest, context: Any
    ) -> hub_pb2.AnswerPromptResponse:
        """Answer a question."""
        self._backend.prompts.answer(self._user, request.prompt_id, convert.yes(request))
        return hub_pb2.AnswerPromptResponse()

    async def ListApps(  # noqa: N802
        self, request: hub_pb2.ListAppsRequest, context: Any
    ) -> hub_pb2.ListAppsResponse:
        """List the installed apps."""
        return hub_pb2.ListAppsResponse(apps=[convert.app_info(app) for app in self._backend.registry.apps.values()])

    async def ListGrants(  # noqa: N802
        self, request: hub_pb2.ListGrantsRequest, context: Any
    ) -> hub_pb2.ListGrantsResponse:
        """List the user's grants."""
        grants = await self._backend.grants.list_for(
            self._user, session=request.session_id, include_ended=request.include_ended
        )
        return hub_pb2.ListGrantsResponse(grants=[convert.grant(grant) for grant in grants])

    async def GetGrant(  # noqa: N802
        self, request: hub_pb2.GetGrantRequest, context: Any
    ) -> hub_pb2.GetGrantResponse:
        """Give one grant."""
        found = await self._backend.grants.find(self._user, request.grant_id)
        return hub_pb2.GetGrantResponse(grant=convert.grant(found))

    async def RevokeGrant(  # noqa: N802
        self, request: hub_pb2.RevokeGrantRequest, context: Any
    ) -> hub_pb2.RevokeGrantResponse:
        """End a grant."""
        revoked = await self._backend.grants.revoke(self._user, request.grant_id)
        return hub_pb2.RevokeGrantResponse(grant=convert.grant(revoked))

    async def ListDecisions(  # noqa: N802
        self, request: hub_pb2.ListDecisionsRequest, context: Any
    ) -> hub_pb2.ListDecisionsResponse:
        """List the user's decisions."""
        size = request.page_size or _DEFAULT_PAGE
        if not 1 <= size <= _MAX_PAGE:
            raise RequestInvalid(f"page_size: {size} is not from 1 to {_MAX_PAGE}")
        if request.page_token and not _PAGE_TOKEN.fullmatch(request.page_token):
            raise RequestInvalid("page_token: not a token of this hub")
        found = await self._backend.audit.decisions(
            self._user,
            session=request.session_id,
            limit=size + 1,
            before_seq=int(request.page_token) if request.page_token else None,
            diverging=request.diverging,
        )
        page = found[:size]
        return hub_pb2.ListDecisionsResponse(
            decisions=[convert.record(recorded) for recorded in page],
            next_page_token=str(page[-1].decision.seq) if len(found) > size else "",
        )

    async def ExplainDecision(  # noqa: N802
        self, request: hub_pb2.ExplainDecisionRequest, context: Any
    ) -> hub_pb2.ExplainDecisionResponse:
        """Say why a decision was what it was, and what would have changed it."""
        return convert.explanation(await self._backend.explainer.explain(self._user, request.decision_id))

    async def SetUserData(  # noqa: N802
        self, request: hub_pb2.SetUserDataRequest, context: Any
    ) -> hub_pb2.SetUserDataResponse:
        """Set one attribute of the user."""
        of = request.attribute
        await self._backend.user_data.set(self._user, of.name, of.value_json, of.confidentiality)
        return hub_pb2.SetUserDataResponse()

    async def ListUserData(  # noqa: N802
        self, request: hub_pb2.ListUserDataRequest, context: Any
    ) -> hub_pb2.ListUserDataResponse:
        """List the user's attributes."""
        found = await self._backend.user_data.list_for(self._user)
        return hub_pb2.ListUserDataResponse(attributes=[convert.attribute(attribute) for attribute in found])

    async def DeleteUserData(  # noqa: N802
        self, request: hub_pb2.DeleteUserDataRequest, context: Any
    ) -> hub_pb2.DeleteUserDataResponse:
        """Remove one attribute of the user."""
        await self._backend.user_data.delete(self._user, request.name)
        return hub_pb2.DeleteUserDataResponse()

    async def ExportMemory(  # noqa: N802
        self, request: hub_pb2.ExportMemoryRequest, context: Any
    ) -> AsyncIterator[hub_pb2.ExportMemoryResponse]:
        """Give what is remembered of the user."""
        async for remembered in self._backend.memory.export(self._user, request.app):
            yield convert.remembered(remembered)

    async def ForgetMemory(  # noqa: N802
        self, request: hub_pb2.ForgetMemoryRequest, context: Any
    ) -> hub_pb2.ForgetMemoryResponse:
        """Remove what is remembered of the user."""
        memory = self._backend.memory
        if request.key and not request.app:
            raise RequestInvalid("key: an entry is of an app: name it")
        if request.key:
            forgotten = await memory.forget_entry(self._user, request.app, request.key)
        else:
            forgotten = await memory.forget(self._user, request.app)
        return hub_pb2.ForgetMemoryResponse(forgotten=forgotten)


def _with_time_to_answer(seconds: float) -> float:
    """Return how long a call may take so that its caller still hears that it took too long, and the decision id."""
    return max(0.9 * seconds, seconds - _ANSWER_SECONDS)
