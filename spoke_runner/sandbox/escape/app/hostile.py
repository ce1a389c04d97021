"""An app whose functions are attacks."""

import os
import threading
from typing import Any

from spoke_runner.sandbox.escape import attempt
from spoke_runner.sdk import App, Call

app = App()


@app.function
async def act(call: Call, name: str, world: dict[str, Any]) -> dict[str, str]:
    """Try one act."""
    return {"answer": attempt(name, world)}


@app.function
async def act_in_thread(call: Call, name: str, world: dict[str, Any]) -> dict[str, str]:
    """Try one act in a thread that the app started."""
    answers: list[str] = []
    thread = threading.Thread(target=lambda: answers.append(attempt(name, world)))
    thread.start()
    thread.join()
    return {"answer": answers[0]}


@app.function
async def see(call: Call) -> dict[str, Any]:
    """Return what an app sees of who runs it."""
    return {"environment": dict(os.environ), "uid": os.getuid(), "pid": os.getpid(), "host": os.uname().nodename}
