"""The assistant: an agent like any other, which calls what a plan names and nothing else."""

from __future__ import annotations

from spoke_runner.sdk import Agent

app = Agent(tools="planned")
