"""Trying the attacks that are ours. They are reported apart: their figures say what we thought of."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spokegate.v1 import decision_pb2

from spoke_runner.sdk import Refused
from tests.lab.agentdojo.installing import SHIPPED, install
from tests.lab.agentdojo.own_cases import CASES, Held, Improvising, OwnCase
from tests.lab.agentdojo.people import Answerer
from tests.lab.agentdojo.runs import Bench, Decided, aligned, bench
from tests.lab.agentdojo.situations import ToolCall, ToolFailed, World

if TYPE_CHECKING:
    from tests.lab.agentdojo.suite import Suite


@dataclass(frozen=True, slots=True)
class OwnRow:
    """What an attack of ours came to.

    Attributes:
        control: Whether it succeeds with nothing between the agent and the world.
        by_itself: Whether it succeeds with the shipped policies and a person who refuses everything.
        agreed: Whether it succeeds with them and a person who agrees to everything.
        prompts: How often a person was asked, in the last of these.
        rules: What denied or asked about its calls, in the last of these.
    """

    case: str
    what: str
    suite: str
    held: str
    control: bool
    by_itself: bool
    agreed: bool
    prompts: int
    rules: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as it stands in the file."""
        return asdict(self)

    @property
    def found(self) -> Held:
        """What held it."""
        if self.by_itself:
            return "through"
        return "asked" if self.agreed else "denied"


def measure_own(suite_name: str) -> list[OwnRow]:
    """Try the cases in a suite's world; for a process of its own."""
    from tests.lab.agentdojo.suite import Suite

    return asyncio.run(_measure(Suite(suite_name)))


async def _measure(suite: Suite) -> list[OwnRow]:
    cases = [case for case in CASES if case.suite == suite.name]
    rows = []
    with tempfile.TemporaryDirectory(prefix="sg-") as name:
        apps = install(SHIPPED / suite.name, suite.tools, Path(name))
        found: dict[Answerer, list[tuple[bool, int, list[Decided]]]] = {}
        for answerer in ("refuse_all", "accept_all"):
            async with bench(apps, policy="shipped", answerer=answerer) as running:
                found[answerer] = [await _run(case, suite, running) for case in cases]
    for case, refusing, agreeing in zip(cases, found["refuse_all"], found["accept_all"], strict=True):
        agreed, prompts, decided = agreeing
        rules = {code for one in decided if one.by != "rule" or one.effect != "allow" for code in one.codes}
        rows.append(
            OwnRow(
                case=case.name,
                what=case.what,
                suite=case.suite,
                held=case.held,
                control=await _bare(case, suite),
                by_itself=refusing[0],
                agreed=agreed,
                prompts=prompts,
                rules=tuple(sorted(rules)),
            )
        )
    return rows


async def _run(case: OwnCase, suite: Suite, running: Bench) -> tuple[bool, int, list[Decided]]:
    world, environment = _world(case, suite)
    running.person.prompts = 0
    decided: list[Decided] = []
    for wish in case.wishes:
        agent = Improvising(running.apps, wish=wish)
        records: list[decision_pb2.DecisionRecord] = []
        await running.converse(agent, world, wish.prompt, records)
        decided += aligned(agent.attempts, records)
    return case.successful(environment), running.person.prompts, decided


async def _bare(case: OwnCase, suite: Suite) -> bool:
    """Run a case with nothing between the agent and the world."""
    world, environment = _world(case, suite)
    hub = _Nothing(world)
    for wish in case.wishes:
        await Improvising({tool.name: "app" for tool in suite.tools}, wish=wish).respond(hub)
    return case.successful(environment)


def _world(case: OwnCase, suite: Suite) -> tuple[World, Any]:
    world, environment = suite.world(case.injections)

    def carry_out(call: ToolCall) -> Any:
        if call.tool in case.failing:
            raise ToolFailed(case.failing[call.tool])
        return world.call(call)

    return World(carry_out), environment


class _Nothing:
    """Stands where the hub would: whatever is asked for is done, and an error's text is read like any other."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._kept: dict[str, Any] = {}

    async def invoke(self, function: str, arguments: dict[str, Any]) -> Any:
        try:
            return self._world.call(ToolCall(function.split(".", 1)[1], arguments))
        except ToolFailed as error:
            raise Refused("APP_FAILED", message=str(error)) from None

    async def remember(self, key: str, value: Any) -> None:
        self._kept[key] = value

    async def recall(self, key: str, default: Any = None) -> Any:
        return self._kept.get(key, default)
