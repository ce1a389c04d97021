import threading

from spoke_runner.sdk import App, Call

app = App()


def _talk() -> None:
    while True:
        print("x" * 1000)


threading.Thread(target=_talk, daemon=True).start()


@app.function
async def echo(call: Call, text: str) -> dict[str, str]:
    return {"text": text}
