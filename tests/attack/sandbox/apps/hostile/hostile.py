"""An app whose functions are attacks."""

import os
import threading
from typing import Any

import acts

from spoke_runner.sdk import App, Call

app = App()


@app.function
async def attempt(call: Call, name: str, world: dict[str, Any]) -> dict[str, str]:
    return {"answer": acts.attempt(name, world)}


@app.function
async def attempt_in_thread(call: Call, name: str, world: dict[str, Any]) -> dict[str, str]:
    answers: list[str] = []
    thread = threading.Thread(target=lambda: answers.append(acts.attempt(name, world)))
    thread.start()
    thread.join()
    return {"answer": answers[0]}


@app.function
async def see(call: Call) -> dict[str, Any]:
    return {"environment": dict(os.environ), "uid": os.getuid(), "pid": os.getpid(), "host": os.uname().nodename}
