"""An OPA that runs elsewhere: looked at before the hub relies on it, and its policies' revision followed.

Its owner runs it and says which policies it has; the hub asks it for decisions, as it asks one of its own, and starts
no other in its place. Whatever comes of a question but a whole decision is a refusal.

Invariants:
    * The hub does not start with an OPA that decides for whoever asks: one that needs no token to be asked may need
      none to be changed.
    * The token is in no text that leaves this module.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, Self

from hub.errors import DecisionInvalid, PdpUnavailable, SpokegateError
from hub.mediation.pdp import OpaPdp, RemoteOpa, Verdict
from hub.opa.rules import RuleNote

_MAX_TOKEN_BYTES = 8192


class RemoteOpaUnusable(SpokegateError):
    """The OPA that runs elsewhere cannot be relied on; the text names it and the mend."""


class RulesElsewhere(SpokegateError):
    """What the rules say of themselves is not here to be read."""


class RemotePdp:
    """Asks an OPA that runs elsewhere. Use as `async with`.

    Args:
        at: Where, and as whom.
        timeout_seconds: How long one decision may take.
        on_event: Told which policies decide: at the start, and whenever they are others.
    """

    def __init__(self, at: RemoteOpa, *, timeout_seconds: float, on_event: Callable[[str], None]) -> None:
        self._at = at
        self._timeout_seconds = timeout_seconds
        self._pdp = OpaPdp(at, timeout_seconds=timeout_seconds)
        self._on_event = on_event
        self.revision = ""

    async def __aenter__(self) -> Self:
        """Look whether it decides, for this hub and for nobody without a token.

        Raises:
            RemoteOpaUnusable: It does not answer, gives no decision, or decides for whoever asks.
        """
        try:
            await self._pdp.__aenter__()
        except OSError as error:  # ssl.SSLError too
            raise RemoteOpaUnusable(f"opa.ca_file: {self._at.ca_file} holds no usable certificates: {error}") from error
        try:
            await self.decide({})
            await self._require_closed()
        except (PdpUnavailable, DecisionInvalid) as error:
            await self._pdp.__aexit__()
            raise RemoteOpaUnusable(
                f"opa.url: {self._at.url}: {error}: it has to be up, to take the token in opa.token_file for "
                "POST /v1/data/spokegate/decision, and to have one bundle with a revision"
            ) from error
        except BaseException:
            await self._pdp.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._pdp.__aexit__(*exc_info)

    async def decide(self, document: dict[str, Any]) -> Verdict:
        """Ask it; see `Pdp.decide`."""
        verdict = await self._pdp.decide(document)
        if verdict.policy_revision != self.revision:
            self.revision = verdict.policy_revision
            self._on_event(f"{self._at.url} decides by {self.revision}")
        return verdict

    async def notes(self) -> dict[str, RuleNote]:
        """Say that the rules' own words are not here.

        Raises:
            RulesElsewhere: Always.
        """
        raise RulesElsewhere(f"the rules are with the OPA at {self._at.url}")

    async def _require_closed(self) -> None:
        async with OpaPdp(replace(self._at, token=""), timeout_seconds=self._timeout_seconds) as anybody:
            try:
                await anybody.decide({})
            except PdpUnavailable:
                return
            except DecisionInvalid:
                pass
        raise RemoteOpaUnusable(
            f"opa.url: {self._at.url} answers without a token, so whoever reaches it may be able to change the "
            "policies: start it with --authentication=token --authorization=basic and a policy system.authz"
        )


def read_token(path: Path) -> str:
    """Return the token in a file.

    Raises:
        RemoteOpaUnusable: There is none, others may read it, or it is no bearer token.
    """
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            _refuse(path, f"others may read it: chmod 600 {path}")
        content = path.read_bytes()
    except OSError as error:
        _refuse(path, f"it cannot be read: {error.strerror}")
    token = content.strip()
    if not token or len(token) > _MAX_TOKEN_BYTES or any(not 0x21 <= byte <= 0x7E for byte in token):
        _refuse(path, f"not one bearer token of up to {_MAX_TOKEN_BYTES} visible ASCII characters")
    return token.decode("ascii")


def _refuse(path: Path, why: str) -> NoReturn:
    raise RemoteOpaUnusable(f"opa.token_file: {path}: {why}")
