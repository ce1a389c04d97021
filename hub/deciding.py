"""Who decides: the OPA that the hub starts and supervises, by the policies of the configuration; or one elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from hub.config import PROJECT_ROOT, Config, OpaConfig
from hub.mediation.explain import Notes
from hub.mediation.pdp import OpaPdp, Pdp, RemoteOpa
from hub.mediation.remote import RemotePdp, read_token
from hub.opa.binary import find_opa
from hub.opa.bundle import PolicyBundle
from hub.opa.process import OpaProcess
from hub.opa.rules import RuleNotes

_log = structlog.get_logger(__name__)

Record = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Own:
    """The hub's own OPA, and the policies that it has."""

    opa: OpaProcess
    bundle: PolicyBundle

    def __str__(self) -> str:
        """Say it in a few words."""
        return f"policies {self.bundle.revision[:19]}   opa pid {self.opa.pid}"


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """An OPA that runs elsewhere."""

    url: str
    pdp: RemotePdp

    def __str__(self) -> str:
        """Say it in a few words."""
        return f"policies {self.pdp.revision[:19]}   opa {self.url}"


@dataclass(frozen=True, slots=True)
class Decider:
    """Who is asked for decisions, what is known of the rules, and where they are."""

    pdp: Pdp
    notes: Notes
    who: Own | Elsewhere


@contextlib.asynccontextmanager
async def decider(config: Config, runtime: Path, record: Record) -> AsyncIterator[Decider]:
    """Have somebody decide while the context is open.

    Args:
        config: What says who.
        runtime: The hub's directory for sockets.
        record: Puts what changes about the policies on record.

    Raises:
        PolicyInvalid: The policies do not compile.
        PdpUnavailable: The hub's own OPA does not start.
        OpaBinaryError: There is no `opa` to start.
        RemoteOpaUnusable: The one that runs elsewhere does not do.
    """
    seconds = config.limits.decision_seconds
    async with contextlib.AsyncExitStack() as stack:
        if config.opa is not None:
            remote = await stack.enter_async_context(remote_pdp(config.opa, seconds, record))
            yield Decider(remote, remote.notes, Elsewhere(config.opa.url, remote))
            return
        binary = find_opa(PROJECT_ROOT).path
        bundle = PolicyBundle(binary, config.policies, runtime / "opa" / "bundle")
        record(f"loaded {await bundle.build()}")
        pdp = await stack.enter_async_context(OpaPdp(runtime / "opa.sock", timeout_seconds=seconds))
        opa = await stack.enter_async_context(
            OpaProcess(
                opa=binary,
                bundle=bundle.path,
                socket_path=runtime / "opa.sock",
                healthy=pdp.healthy,
                on_event=record,
            )
        )
        watcher = asyncio.create_task(_follow(bundle, record))
        stack.push_async_callback(_cancelled, watcher)
        yield Decider(pdp, RuleNotes(binary, bundle), Own(opa, bundle))


def remote_pdp(config: OpaConfig, seconds: float, record: Record) -> RemotePdp:
    """Return who asks the OPA that a configuration names.

    Raises:
        RemoteOpaUnusable: There is no token for it.
    """
    at = RemoteOpa(config.url, read_token(config.token_file), config.ca_file)
    return RemotePdp(at, timeout_seconds=seconds, on_event=record)


async def _follow(bundle: PolicyBundle, record: Record) -> None:
    async for change in bundle.changes():
        if change.problem:
            _log.error("the edited policies do not compile; the old ones stay", problem=change.problem)
            record(f"kept {change.revision}: the edit does not compile: {change.problem}")
        else:
            _log.info("policies reloaded", revision=change.revision)
            record(f"loaded {change.revision}")


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
