"""The actions, which of the ten steps each takes, and what bounds them all."""

from __future__ import annotations

from dataclasses import dataclass

from hub.mediation.request import ActionName


@dataclass(frozen=True, slots=True)
class Action:
    """Which of the steps an action takes, besides identify, resolve, describe, decide and record."""

    takes_arguments: bool
    may_prompt: bool
    forwards: bool


ACTIONS: dict[ActionName, Action] = {
    "invoke": Action(takes_arguments=True, may_prompt=True, forwards=True),
    "return": Action(takes_arguments=True, may_prompt=False, forwards=False),
    "probe": Action(takes_arguments=False, may_prompt=False, forwards=False),
    "connect": Action(takes_arguments=False, may_prompt=True, forwards=True),
    "generate": Action(takes_arguments=False, may_prompt=True, forwards=True),
    "remember": Action(takes_arguments=False, may_prompt=True, forwards=True),
    "recall": Action(takes_arguments=False, may_prompt=True, forwards=True),
    "share": Action(takes_arguments=False, may_prompt=True, forwards=True),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What the hub itself bounds, before the policies are asked."""

    max_hops: int = 8
    prompt_timeout_seconds: float = 60.0
