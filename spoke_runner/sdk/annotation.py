"""What serves an annotation: an app that is instructions and nothing else."""

from spoke_runner.sdk.agent import Agent

app = Agent(tools="none", remembers=False)
