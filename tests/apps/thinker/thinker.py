"""Asks the model whatever it is told to ask."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from typing import Any

from spoke_runner.sdk import App, Call, Refused

app = App()


@app.function
async def think(
    call: Call, text: str, request: dict[str, Any] | None = None, first: str = "", times: int = 1
) -> list[dict[str, Any]]:
    if first:
        await call.invoke(first, {})
    return list(await asyncio.gather(*(one(call, text, dict(request or {})) for _ in range(times))))


@app.function
async def look(call: Call) -> dict[str, Any]:
    strings = [item for item in gc.get_objects() if isinstance(item, dict)]
    return {
        "environment": dict(os.environ),
        "arguments": sys.argv,
        "strings": [str(value) for found in strings for value in found.values() if isinstance(value, str)][:20_000],
    }


async def one(call: Call, text: str, request: dict[str, Any]) -> dict[str, Any]:
    pieces: list[str] = []

    async def on_text(piece: str) -> None:
        pieces.append(piece)

    messages = request.pop("messages", [{"role": "user", "content": text}])
    try:
        answer = await call.generate(messages, on_text=on_text, **request)
    except Refused as refused:
        return {"refused": refused.reason, "decision_id": refused.decision_id, "pieces": pieces}
    tokens = {"prompt": answer.prompt_tokens, "completion": answer.completion_tokens}
    return {"message": answer.message, "finish": answer.finish_reason, "tokens": tokens, "pieces": pieces}
