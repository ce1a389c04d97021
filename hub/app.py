"""The hub as a whole: what it is made of, in the order in which it starts and, backwards, stops."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import importlib
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import structlog

from hub.config import Config, EgressConfig, ModelConfig
from hub.deciding import Elsewhere, Own, decider
from hub.edge.server import EdgeServers, private_directory
from hub.edge.service import Backend
from hub.errors import SpokegateError
from hub.mediation.actions import Limits
from hub.mediation.consent import Prompts
from hub.mediation.errands.doors import Doors
from hub.mediation.errands.share import Disclosure
from hub.mediation.explain import Explainer
from hub.mediation.kept import KeptLabels
from hub.mediation.mediator import Mediator
from hub.mediation.memory import Memory, MemoryLimits
from hub.mediation.payloads import Payloads
from hub.model.client import ModelClient, ModelSpec
from hub.model.key import read_key
from hub.opa.bundle import PolicyBundle
from hub.opa.process import OpaProcess
from hub.sessions.converse import Converser
from hub.sessions.earlier import EarlierWords
from hub.sessions.memory import ModelSummaries, Summaries
from hub.sessions.planner import MediatedModel, Planner
from hub.sessions.session import Sessions
from hub.sessions.user_data import UserData
from hub.spokes.egress.addresses import parse_socket_address
from hub.spokes.egress.connector import EgressConnector
from hub.spokes.egress.exchange import EgressLimits
from hub.spokes.forwarder import Forwarder
from hub.spokes.registry import Installed, Registry
from hub.spokes.starting import Runner, SpokeEvent, Starter
from hub.spokes.supervisor import Supervisor
from hub.store.audit import AuditLog, Event
from hub.store.data_labels import DataLabelStore
from hub.store.database import one_hub_of_the_name, open_database
from hub.store.grants import GrantStore
from hub.store.memory import MemoryStore
from hub.store.user_data import UserDataStore
from spoke_runner.sandbox import Delegation, Footing, SandboxError, delegated, settle

_log = structlog.get_logger(__name__)


class HubRunning(SpokegateError):
    """Another hub uses the same state or runtime directory."""


class SandboxMissing(SpokegateError):
    """This host cannot build the configured sandbox; the text says which layer, why, and the mend."""


class CertificatesUnusable(SpokegateError):
    """The configured file of certificates cannot be used."""


class Hub:
    """A running hub, as `serve` yields it."""

    def __init__(self, edge: EdgeServers, decider: Own | Elsewhere, supervisor: Supervisor) -> None:
        self.edge = edge
        self.decider = decider
        self.supervisor = supervisor

    @property
    def opa(self) -> OpaProcess:
        """The hub's own OPA."""
        return self._own.opa

    @property
    def bundle(self) -> PolicyBundle:
        """The policies that the hub's own OPA has."""
        return self._own.bundle

    @property
    def _own(self) -> Own:
        if not isinstance(self.decider, Own):
            raise RuntimeError(f"{self.decider.url} decides: the hub has no OPA of its own")
        return self.decider

    @property
    def socket(self) -> Path:
        """The first client socket."""
        return self.edge.sockets[0]


def registry_of(config: Config) -> Registry:
    """Return the apps that a configuration installs.

    Raises:
        ManifestInvalid: Something is wrong with one of them; all problems at once.
    """
    return Registry(
        Installed(
            path=app.path, trust=app.trust, clearance=app.clearance, result_labels=app.result_labels, enable=app.enable
        )
        for app in config.apps
    )


@contextlib.asynccontextmanager
async def serve(
    config: Config, *, unsafe_no_sandbox: bool = False, starter: Starter | None = None
) -> AsyncIterator[Hub]:
    """Run a hub while the context is open.

    Args:
        config: What it runs.
        unsafe_no_sandbox: Start the spokes without any walls.
        starter: Starts the spokes in the place of the sandbox runner, which is to do without any walls.

    Raises:
        SpokegateError: Something that it needs is missing, broken or in use; the text names it and the mend.
        ValueError: There is a starter, and walls were asked for.
    """
    if starter is not None and not unsafe_no_sandbox:
        raise ValueError("a starter of one's own builds no sandbox: it goes with unsafe_no_sandbox alone")
    registry = registry_of(config)
    runtime = private_directory(config.runtime_dir)
    config.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with contextlib.AsyncExitStack() as stack:
        for directory in (runtime, config.state_dir):
            stack.enter_context(_locked(directory))
        engine = await asyncio.to_thread(open_database, config.database_location)
        stack.callback(engine.dispose)
        stack.enter_context(one_hub_of_the_name(engine, config.name))
        audit = await stack.enter_async_context(AuditLog(engine, hub=config.name))
        in_flight = await audit.recover()

        def record(kind: str, what: str) -> None:
            audit.record_later(Event(kind=kind, body={"what": what}))

        record("hub", f"started; {in_flight} calls of the run before were interrupted" if in_flight else "started")
        deciding = await stack.enter_async_context(decider(config, runtime, partial(record, "policy")))
        footing = await _footing(config, unsafe_no_sandbox)
        record("sandbox", f"{footing.level}: {footing.why}" if footing.why else footing.level)
        egress = _connector(config.egress)
        if config.egress.private_addresses:
            record("egress", f"private addresses let through: {', '.join(config.egress.private_addresses)}")
        model = await model_client(config.model) if config.model is not None else None
        if model is not None:
            stack.push_async_callback(model.close)
            record("model", ", ".join(model.models))
        cgroup = stack.enter_context(delegated()) if footing.level != "none" else Delegation()
        record("cgroup", f"{cgroup.path}: every spoke gets one of its own" if cgroup.path else f"absent: {cgroup.why}")

        def record_of_spoke(event: SpokeEvent) -> None:
            audit.record_later(_spoke_event(event))

        if starter is None:
            starter = Runner(footing, on_event=record_of_spoke, on_zygote_event=partial(record, "zygote"))
        supervisor = await stack.enter_async_context(
            Supervisor(
                data_root=config.state_dir / "data",
                run_root=runtime / "spokes",
                idle_seconds=config.limits.spoke_idle_seconds,
                max_spokes=config.limits.spokes,
                on_event=record_of_spoke,
                starter=starter,
                footing=footing,
                egress_limits=egress.limits,
                cgroup=cgroup,
            )
        )
        grants = GrantStore(engine, audit)
        kept = KeptLabels(DataLabelStore(engine, audit, hub=config.name))
        memory_store, user_data = MemoryStore(engine, audit), UserDataStore(engine, audit)
        memory_limits = MemoryLimits(config.memory.history_characters, config.memory.summary_characters)
        memory = Memory(memory_store, memory_limits)
        prompts = Prompts()
        payloads = Payloads(in_log=config.audit.payloads)
        mediator = Mediator(
            registry=registry,
            pdp=deciding.pdp,
            prompts=prompts,
            grants=grants,
            kept=kept,
            audit=audit,
            supervisor=supervisor,
            forwarder=Forwarder(),
            doors=Doors(connector=egress, memory=memory, disclosure=Disclosure(user_data), model=model),
            limits=Limits(max_hops=config.limits.hops, prompt_timeout_seconds=config.limits.prompt_seconds),
            payloads=payloads,
        )
        by_model = ModelSummaries(mediator, registry, characters=memory_limits.summary_characters) if model else None
        summaries = await stack.enter_async_context(Summaries(memory_store, by_model, memory_limits))
        memory.on_said = summaries.look
        converser = Converser(
            mediator=mediator,
            registry=registry,
            planner=Planner(MediatedModel(mediator)),
            earlier=EarlierWords(mediator),
            supervisor=supervisor,
        )
        sessions = await stack.enter_async_context(
            Sessions(
                mediator=mediator,
                converser=converser,
                supervisor=supervisor,
                grants=grants,
                kept=kept,
                audit=audit,
                max_per_user=config.limits.sessions_per_user,
                idle_seconds=config.limits.session_idle_seconds,
            )
        )
        explainer = Explainer(audit=audit, pdp=deciding.pdp, payloads=payloads, notes=deciding.notes)
        edge = await stack.enter_async_context(
            EdgeServers(
                Backend(
                    sessions=sessions,
                    prompts=prompts,
                    registry=registry,
                    grants=grants,
                    audit=audit,
                    explainer=explainer,
                    memory=memory_store,
                    user_data=UserData(user_data),
                ),
                clients=config.clients,
                directory=runtime,
                call_seconds=config.limits.call_seconds,
            )
        )
        yield Hub(edge, deciding.who, supervisor)
        record("hub", "stopping")


async def run_until_signal(config: Config, on_ready: Callable[[Hub], None], *, unsafe_no_sandbox: bool = False) -> None:
    """Run a hub until SIGINT or SIGTERM, then stop it cleanly.

    Raises:
        SpokegateError: See `serve`.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with serve(config, unsafe_no_sandbox=unsafe_no_sandbox) as hub:
        on_ready(hub)
        await stop.wait()


def _connector(config: EgressConfig) -> EgressConnector:
    try:
        return EgressConnector(
            limits=EgressLimits(
                connections_per_spoke=config.connections_per_spoke,
                idle_seconds=config.idle_seconds,
                connection_seconds=config.connection_seconds,
                max_sent_bytes=config.max_sent_mb << 20,
                max_received_bytes=config.max_received_mb << 20,
            ),
            private_addresses=[parse_socket_address(text) for text in config.private_addresses],
            ca_file=config.ca_file,
        )
    except OSError as error:  # ssl.SSLError too
        raise CertificatesUnusable(f"egress.ca_file: {config.ca_file} holds no usable certificates: {error}") from error


async def model_client(config: ModelConfig) -> ModelClient:
    """Return the door to the configured model.

    Raises:
        ModelKeyMissing: Its key cannot be had.
    """
    key = read_key(config)
    # The client takes a second and 20 MB to import: a hub without a model does without.
    provider = await asyncio.to_thread(importlib.import_module, "hub.model.provider")
    models = [ModelSpec(**model.model_dump()) for model in config.models]
    return ModelClient(
        provider.OpenAIProvider(
            config.base_url,
            key,
            connect_seconds=config.connect_seconds,
            idle_seconds=config.idle_seconds,
            by_proxy=not config.on_this_machine,
        ),
        models,
        retries=config.retries,
    )


async def _footing(config: Config, unsafe_no_sandbox: bool) -> Footing:
    try:
        footing = await settle("none" if unsafe_no_sandbox else config.sandbox.minimum)
    except SandboxError as error:
        raise SandboxMissing(f"the sandbox, of which {config.sandbox.minimum} is the minimum: {error}") from error
    if footing.level == "none":
        _log.warning("NO SANDBOX: every app can read, change and send whatever this user can")
    elif footing.why:
        _log.warning("a weaker sandbox than strict", level=footing.level, why=footing.why)
    return footing


def _spoke_event(event: SpokeEvent) -> Event:
    return Event(
        kind="spoke",
        body={"app": event.key.app, "what": event.what, **event.detail},
        session=event.key.session,
        user=event.key.user,
    )


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    with (directory / "hub.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise HubRunning(f"{directory}: another hub runs there: stop it, or set another directory") from None
        yield
