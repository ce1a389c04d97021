"""The policy decision point: one question to OPA, one decision of the contract, or a refusal.

Invariants:
    * Only an answer that is whole and of the contract becomes a Decision. Undefined, malformed, late or unreachable is
      an error, and every error is a refusal.
    * No answer is ever taken from a cache.
    * Nothing is retried here: a request that got no answer is refused, and its caller may ask again.

Only this module knows `opa_client`. Its AsyncOpaClient speaks TCP; one subclass gives it a unix socket instead, the
other what a server needs that is somebody else's: no redirects, and certificates of one's own.
"""

from __future__ import annotations

import ssl
import time
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, Self
from urllib.parse import urlsplit

import aiohttp
from opa_client.opa_async import AsyncOpaClient
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hub.errors import DecisionInvalid, PdpUnavailable
from hub.mediation.obligations import Obligation
from hub.mediation.request import GrantScope

_PACKAGE = "spokegate"
_RULE = "decision"
_CONNECTIONS = 64


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Reason(_Contract):
    """One rule's part in a decision."""

    code: str = Field(min_length=1, description="Stable: `topic.rule`. Codes are API.")
    message: str = Field(description="A sentence for a person.")
    rule: str = Field(description="The Rego package that holds the rule.")


class PromptText(_Contract):
    """What to ask a person."""

    title: str = Field(min_length=1, description="One line that says what is asked.")
    detail: str = Field(description="Why the policies could not decide.")
    scopes: list[GrantScope] = Field(min_length=1, description="What the person may choose from.")
    until_seconds: int = Field(ge=1, description="How long from now a grant with the scope until may hold at most.")


class Shadow(_Contract):
    """What would have been decided if the packages in log-only mode were enforced; it has no effect."""

    effect: Literal["allow", "deny", "ask"]
    reasons: list[Reason]
    obligations: list[Obligation]
    review_result: bool


class Decision(_Contract):
    """The document at `data.spokegate.decision` (DESIGN: "The decision contract")."""

    effect: Literal["allow", "deny", "ask"]
    decided_by: Literal["rule", "grant", "default"]
    grant: str | None = Field(description="The grant that covered an ask; only when decided_by is grant.")
    hidden: bool = Field(description="Refuse as if the function did not exist; only when the effect is deny.")
    reasons: list[Reason] = Field(min_length=1)
    obligations: list[Obligation]
    prompt: PromptText | None = Field(description="Only when the effect is ask.")
    review_result: bool
    shadow: Shadow | None = Field(default=None, description="Only where a package in log-only mode would differ.")

    @property
    def diverges(self) -> bool:
        """Whether the effect would have been another if the packages in log-only mode were enforced."""
        return self.shadow is not None and self.shadow.effect != self.effect

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.effect == "ask") != (self.prompt is not None):
            raise ValueError("prompt goes with effect ask, and only with it")
        if (self.decided_by == "grant") != (self.grant is not None):
            raise ValueError("grant goes with decided_by grant, and only with it")
        if self.grant is not None and self.effect != "allow":
            raise ValueError("a grant can only allow")
        if self.hidden and self.effect != "deny":
            raise ValueError("hidden goes with effect deny")
        return self


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision, by which policies, and how long they took."""

    decision: Decision
    policy_revision: str
    latency_seconds: float


class Pdp(Protocol):
    """Answers access requests."""

    async def decide(self, document: dict[str, Any]) -> Verdict:
        """Return the verdict on an access request (`AccessRequest.to_input`).

        Raises:
            PdpUnavailable: There is no answer in time.
            DecisionInvalid: The answer is undefined or not of the contract.
        """
        ...


class _UnixSocketClient(AsyncOpaClient):  # type: ignore[misc]  # the package has no types
    """AsyncOpaClient over a unix socket."""

    def __init__(self, socket_path: Path, *, timeout_seconds: float) -> None:
        super().__init__(host="opa", retries=0, timeout=timeout_seconds)
        self._socket_path = socket_path

    async def _init_session(self) -> None:
        self._connector = aiohttp.UnixConnector(path=str(self._socket_path), limit=_CONNECTIONS)
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            timeout=aiohttp.ClientTimeout(total=self.timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
        )


@dataclass(frozen=True, slots=True)
class RemoteOpa:
    """An OPA that runs elsewhere.

    Attributes:
        url: `https://host:port`, or `http` on this machine.
        token: The bearer token; empty for none.
        ca_file: Certificates, PEM, that its own is checked against in place of this machine's.
    """

    url: str
    token: str = field(repr=False)
    ca_file: Path | None = None


class _RemoteClient(AsyncOpaClient):  # type: ignore[misc]  # the package has no types
    """AsyncOpaClient to an OPA that runs elsewhere."""

    def __init__(self, at: RemoteOpa, *, timeout_seconds: float) -> None:
        parts = urlsplit(at.url)
        host, secure = parts.hostname or "", parts.scheme == "https"
        super().__init__(
            host=f"[{host}]" if ":" in host else host,
            port=parts.port or (443 if secure else 80),
            ssl=secure,
            token=at.token or None,
            retries=0,
            timeout=timeout_seconds,
        )
        self._ca_file = at.ca_file

    async def _init_session(self) -> None:
        context = ssl.create_default_context(cafile=self._ca_file) if self.ssl else False
        self._connector = aiohttp.TCPConnector(ssl=context, limit=_CONNECTIONS)
        self._session = aiohttp.ClientSession(
            headers=self.headers, connector=self._connector, timeout=aiohttp.ClientTimeout(total=self.timeout)
        )

    def _request(self, method: str, url: str, **kwargs: Any) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        # Where the configured server sends the question on to, nobody has agreed to be decided by.
        request: AbstractAsyncContextManager[aiohttp.ClientResponse] = super()._request(
            method, url, allow_redirects=False, **kwargs
        )
        return request


class OpaPdp:
    """Asks an OPA server. Use as `async with`.

    Args:
        at: The unix socket that it listens on, or the server that runs elsewhere.
        timeout_seconds: How long one decision may take.
    """

    def __init__(self, at: Path | RemoteOpa, *, timeout_seconds: float = 1.0) -> None:
        self._client: AsyncOpaClient = (
            _UnixSocketClient(at, timeout_seconds=timeout_seconds)
            if isinstance(at, Path)
            else _RemoteClient(at, timeout_seconds=timeout_seconds)
        )

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._client.close_connection()

    async def healthy(self) -> bool:
        """Return whether OPA answers and has its policies."""
        return bool(await self._client.check_health(query={"bundles": "true"}))

    async def decide(self, document: dict[str, Any]) -> Verdict:
        """Ask OPA; see `Pdp.decide`."""
        started = time.perf_counter()
        try:
            reply = await self._client.query_rule(
                input_data=document,
                package_path=_PACKAGE,
                rule_name=_RULE,
                query_params={"provenance": "true"},
            )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise PdpUnavailable(f"OPA did not answer: {type(error).__name__}: {error}") from error
        return _verdict(reply, time.perf_counter() - started)


def _verdict(reply: Any, latency_seconds: float) -> Verdict:
    if not isinstance(reply, dict) or "result" not in reply:
        raise DecisionInvalid("the decision is undefined")
    try:
        decision = Decision.model_validate(reply["result"])
    except ValidationError as error:
        raise DecisionInvalid(f"the decision is not of the contract: {error}") from error
    return Verdict(decision=decision, policy_revision=_revision(reply), latency_seconds=latency_seconds)


def _revision(reply: dict[str, Any]) -> str:
    match reply.get("provenance"):
        case {"bundles": {**bundles}} if len(bundles) == 1:
            match next(iter(bundles.values())):
                case {"revision": str(revision)} if revision:
                    return revision
    raise DecisionInvalid("the answer does not name one policy bundle with its revision")
