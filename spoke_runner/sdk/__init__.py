"""What an app is written with.

An app is a Python module with an `App` object and typed async functions::

    from spoke_runner.sdk import App, Call, Refused

    app = App()

    @app.function
    async def estimate_fare(call: Call, pickup: str, destination: str) -> dict[str, object]:
        return {"fare": 15 + 2 * (len(pickup) + len(destination))}

This runs inside the sandbox, where import time is start time: nothing here imports more than the standard
library, grpc and the generated stubs, and this module alone not even grpc.
"""

from spoke_runner.sdk.agent import Agent
from spoke_runner.sdk.app import App
from spoke_runner.sdk.call import Call, Generated, History, ProbedFunction, Refused, Response, Turn
from spoke_runner.sdk.conversation import Bounds

__all__ = ["Agent", "App", "Bounds", "Call", "Generated", "History", "ProbedFunction", "Refused", "Response", "Turn"]
