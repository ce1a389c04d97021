"""An app whose calls take longer than its manifest lets them."""

from __future__ import annotations

import asyncio

from spoke_runner.sdk import App, Call

app = App()


@app.function
async def linger(call: Call) -> bool:
    await asyncio.sleep(60)
    return True
