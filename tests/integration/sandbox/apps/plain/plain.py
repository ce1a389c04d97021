from spoke_runner.sdk import App, Call

app = App()


@app.function
async def echo(call: Call, text: str) -> dict[str, str]:
    return {"text": text}


@app.function
async def end(call: Call) -> None:
    import os

    os._exit(7)
