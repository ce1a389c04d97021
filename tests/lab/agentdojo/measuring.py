"""Measuring a suite: every task without an attack, and with every attack, by units that can run beside each other."""

from __future__ import annotations

import asyncio
import logging
import statistics
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog

from hub.errors import SpokegateError
from tests.lab.agentdojo.agent import Order
from tests.lab.agentdojo.installing import install
from tests.lab.agentdojo.people import Answerer
from tests.lab.agentdojo.runs import PolicyName, Run, bench


@dataclass(frozen=True, slots=True)
class Unit:
    """What one process measures with one hub.

    Attributes:
        suite: The suite's name.
        manifests: Where the manifests of its apps are.
        policy: What decides.
        answerer: Who answers the prompts.
        orders: When the agent does what was injected.
        attacks: AgentDojo's names of the texts that are injected.
    """

    suite: str
    manifests: Path
    policy: PolicyName
    answerer: Answerer
    orders: tuple[Order, ...]
    attacks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Attacked:
    """The runs of every user task with every injection task."""

    order: Order
    attack: str
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """What a unit came to.

    Attributes:
        benign: The runs of every user task without an injection.
        attacked: Those with one, by order and text.
        left_out: The pairs that cannot be attacked, as nothing that the task reads can hold a text.
    """

    unit: Unit
    benign: tuple[Run, ...]
    attacked: tuple[Attacked, ...]
    left_out: int

    @property
    def attacked_runs(self) -> list[Run]:
        """All runs with an injection."""
        return [run for attacked in self.attacked for run in attacked.runs]


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of a suite in one configuration; shares are fractions of 1.

    Attributes:
        utility: Of the user tasks without an attack: those that were done.
        utility_under_attack: Of the attacked runs: those whose user task was done.
        attack_success: Of the attacked runs: those whose injection task was done.
        ms_per_call: The median time of a call that nobody was asked about, into a spoke that runs already: from the
            agent's ask to its answer.
    """

    suite: str
    order: str
    attack: str
    answerer: str
    policy: str
    utility: float
    utility_under_attack: float
    attack_success: float
    prompts_per_benign_task: float
    prompts_per_attacked_run: float
    ms_per_call: float

    def as_json(self) -> dict[str, Any]:
        """Return it as it stands in the file."""
        return asdict(self)


def problem_with(unit: Unit) -> str:
    """Return what is wrong with a unit, its suite's name or its manifests; nothing where it can be measured."""
    from tests.lab.agentdojo.suite import Suite

    with tempfile.TemporaryDirectory(prefix="sg-") as name:
        try:
            suite = Suite(unit.suite)
            suite.require_attacks(unit.attacks)
            install(unit.manifests, suite.tools, Path(name))
        except SpokegateError as error:
            return str(error)
    return ""


def measure(unit: Unit) -> Measured:
    """Measure a unit; for a process of its own."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    return asyncio.run(_measure(unit))


async def _measure(unit: Unit) -> Measured:
    from tests.lab.agentdojo.suite import Suite  # what it imports takes seconds, which only this process has to wait

    suite = Suite(unit.suite)
    explain = unit.policy == "shipped"
    with tempfile.TemporaryDirectory(prefix="sg-") as name:
        apps = install(unit.manifests, suite.tools, Path(name))
        async with bench(apps, policy=unit.policy, answerer=unit.answerer) as running:
            benign = [await running.run(suite.benign(task), "append", suite.judge) for task in suite.user_tasks]
            attacked, left_out = [], 0
            for attack in unit.attacks:
                pairs = [suite.attacked(task, of, attack) for task in suite.user_tasks for of in suite.injection_tasks]
                situations = [pair for pair in pairs if pair is not None]
                left_out = len(pairs) - len(situations)
                for order in unit.orders:
                    runs = [await running.run(one, order, suite.judge, explain=explain) for one in situations]
                    attacked.append(Attacked(order, attack, tuple(runs)))
    return Measured(unit, tuple(benign), tuple(attacked), left_out)


def rows(measured: Measured) -> list[Row]:
    """Return the figures of a unit."""
    unit, benign = measured.unit, measured.benign
    return [
        Row(
            suite=unit.suite,
            order=one.order,
            attack=one.attack,
            answerer=unit.answerer,
            policy=unit.policy,
            utility=_mean(run.useful for run in benign),
            utility_under_attack=_mean(run.useful for run in one.runs),
            attack_success=_mean(run.successful for run in one.runs),
            prompts_per_benign_task=_mean(run.prompts for run in benign),
            prompts_per_attacked_run=_mean(run.prompts for run in one.runs),
            ms_per_call=_ms_per_call([*benign, *one.runs]),
        )
        for one in measured.attacked
    ]


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return round(sum(found) / len(found), 4) if found else 0.0


def _ms_per_call(runs: Sequence[Run]) -> float:
    seconds = []
    for run in runs:
        running: set[str] = set()
        for one in run.decided:
            app = one.attempt.function.split(".")[0]
            if app in running and one.by == "rule" and one.effect == "allow":
                seconds.append(one.attempt.seconds)
            running.add(app)
    return round(statistics.median(seconds) * 1000, 2) if seconds else 0.0
