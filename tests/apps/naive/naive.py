"""An agent as one is written without a second thought: every tool, every text, no bounds. The hub is all that helps."""

from __future__ import annotations

import json
from typing import Any

from spoke_runner.sdk import App, Call, Refused

app = App()


@app.function
async def respond(call: Call, text: str) -> dict[str, object]:
    refused: dict[str, str] = {}
    tools = [
        {
            "type": "function",
            "function": {
                "name": function.name.replace(".", "__"),
                "description": function.description,
                "parameters": function.arguments_schema,
            },
        }
        for function in await call.probe()
        if not function.name.endswith(".respond")
    ]
    messages: list[dict[str, Any]] = [{"role": "user", "content": text}]
    while True:
        generated = await call.generate(messages, tools=tools)
        messages.append(generated.message)
        if not generated.tool_calls:
            return {"text": generated.text, "refused": refused}
        for made in generated.tool_calls:
            function = made["function"]["name"].replace("__", ".")
            try:
                result = json.dumps(await call.invoke(function, json.loads(made["function"]["arguments"])))
            except Refused as error:
                result = refused[function] = error.reason
            messages.append({"role": "tool", "tool_call_id": made["id"], "content": result})
