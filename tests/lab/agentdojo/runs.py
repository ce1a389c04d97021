"""Running situations through a hub: real sessions, real decisions, and in the end AgentDojo's own judgement."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from rich.console import Console
from spokegate.v1 import decision_pb2

from hub.app import serve
from hub.cli.explain import show
from hub.client import HubClient
from hub.config import AppConfig
from tests.lab.agentdojo.agent import Agent, Asker, Attempt, Order
from tests.lab.agentdojo.installing import tools_of
from tests.lab.agentdojo.people import Answerer, Person
from tests.lab.agentdojo.situations import Situation, World
from tests.lab.agentdojo.spokes import InThisProcess, Scene
from tests.support.live import ALLOW_ALL, POLICIES, configured, policies_of

PolicyName = Literal["shipped", "allow_all"]

POLICY_NAMES: tuple[PolicyName, ...] = ("shipped", "allow_all")

_RUN_SECONDS = 60.0
_MAX_DECISIONS = 200


class Judge(Protocol):
    """Has a situation carried out, and says whether user and attacker got what they want."""

    def __call__(self, situation: Situation, carry_out: CarryOut) -> tuple[bool, bool]: ...


class CarryOut(Protocol):
    """Carries a situation out in a world, and returns the agent's answer."""

    def __call__(self, world: World) -> str: ...


@dataclass(frozen=True, slots=True)
class Decided:
    """What was decided on one attempt of the agent.

    Attributes:
        effect: What came of it in the end: `allow` or `deny`; or `ask`, where a person said no.
        by: Who settled it: `rule`, `default`, `grant`, `person` or `error`.
        codes: The rules' codes, of the decision that asked where one did.
        decision_id: The decision.
    """

    attempt: Attempt
    effect: str
    by: str
    codes: tuple[str, ...]
    decision_id: str


@dataclass(frozen=True, slots=True)
class Run:
    """What one run came to.

    Attributes:
        situation: What was wanted.
        useful: Whether the user got what they want.
        successful: Whether the attacker did.
        prompts: How often the user was asked.
        decided: Every attempt of the agent, in order.
        explained: What `spokegate explain` prints of each injected call that was let through, where the attacker
            succeeded.
    """

    situation: Situation
    useful: bool
    successful: bool
    prompts: int
    decided: tuple[Decided, ...]
    explained: tuple[str, ...] = ()


class Bench:
    """A hub with a suite's apps, and its one user.

    Attributes:
        person: The user.
        apps: By tool: the app that serves it.
    """

    def __init__(self, client: HubClient, person: Person, scenes: dict[str, Scene], apps: Sequence[AppConfig]) -> None:
        self._client = client
        self.person = person
        self._scenes = scenes
        self.apps = {tool: app.path.name for app in apps for tool in tools_of(app)}

    async def run(self, situation: Situation, order: Order, judge: Judge, *, explain: bool = False) -> Run:
        """Carry a situation out in a session of its own, and have it judged."""
        loop = asyncio.get_running_loop()
        agent = Agent(self.apps, situation=situation, order=order)
        records: list[decision_pb2.DecisionRecord] = []

        def carry_out(world: World) -> str:
            done = asyncio.run_coroutine_threadsafe(self.converse(agent, world, situation.prompt, records), loop)
            return done.result(_RUN_SECONDS)

        self.person.wanted, self.person.prompts = situation.wanted, 0
        useful, successful = await asyncio.to_thread(judge, situation, carry_out)
        decided = tuple(aligned(agent.attempts, records))
        through = [one.decision_id for one in decided if one.attempt.injected and not one.attempt.refused]
        explained = [await self._explained(id_) for id_ in through] if explain and successful else []
        return Run(situation, useful, successful, self.person.prompts, decided, tuple(explained))

    async def converse(
        self, agent: Asker, world: World, prompt: str, records: list[decision_pb2.DecisionRecord]
    ) -> str:
        """Say something to the agent in a session of its own, and return its answer; what was decided is added."""
        async with self._client.session() as session:
            self._scenes[session.id] = Scene(agent, world)
            try:
                answer = await session.invoke("assistant.respond", {"text": prompt})
            finally:
                del self._scenes[session.id]
            records += reversed(await self._client.decisions(session_id=session.id, limit=_MAX_DECISIONS))
        return str(answer.result["text"])

    async def _explained(self, decision_id: str) -> str:
        console = Console(width=100, no_color=True)
        explanation = await self._client.explain(decision_id)
        with console.capture() as capture:
            show(console, explanation)
        return capture.get()


@asynccontextmanager
async def bench(apps: Sequence[AppConfig], *, policy: PolicyName, answerer: Answerer) -> AsyncIterator[Bench]:
    """Run a hub with a suite's apps, and before it a person.

    Args:
        apps: The apps, as `installing.install` returns them.
        policy: What decides: the policies that ship, or one that allows everything.
        answerer: Who answers the prompts.
    """
    scenes: dict[str, Scene] = {}
    # The path of a socket is short.
    with tempfile.TemporaryDirectory(prefix="sg-") as name:
        root = Path(name)
        policies = POLICIES if policy == "shipped" else policies_of(root / "policies", ALLOW_ALL)
        config = configured(root, *apps, policies=(policies,), prompt_seconds=20.0)
        async with (
            serve(config, unsafe_no_sandbox=True, starter=InThisProcess(scenes.__getitem__)) as hub,
            HubClient(hub.socket) as client,
            Person(client, answerer).watching() as person,
        ):
            yield Bench(client, person, scenes, apps)


def aligned(attempts: Sequence[Attempt], records: Sequence[decision_pb2.DecisionRecord]) -> Iterator[Decided]:
    """Return what was decided on each attempt: the agent asks for one thing at a time, so both are in one order."""
    left = [record for record in records if record.action == "invoke" and record.caller == "assistant"]
    for attempt in attempts:
        first = last = left.pop(0)
        if left and left[0].parent_decision_id == first.decision.decision_id:
            last = left.pop(0)
        if last.function != attempt.function:
            raise RuntimeError(f"the log has {last.function} where the agent asked for {attempt.function}")
        yield Decided(
            attempt,
            effect=last.decision.WhichOneof("effect") or "deny",
            by=decision_pb2.DecidedBy.Name(last.decided_by).removeprefix("DECIDED_BY_").lower(),
            codes=tuple(reason.code for reason in first.decision.reasons),
            decision_id=last.decision.decision_id,
        )
