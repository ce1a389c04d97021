import os
import threading
from pathlib import Path

from spoke_runner.sdk import App, Call

app = App()
MEBIBYTE = 1 << 20


@app.function
async def echo(call: Call, text: str) -> dict[str, str]:
    return {"text": text}


@app.function
async def eat_memory(call: Call) -> dict[str, int]:
    held: list[object] = []
    try:
        while len(held) < 4096:
            held.append(bytearray(os.urandom(1) * MEBIBYTE))
    except MemoryError:
        pass
    return {"count": len(held)}


@app.function
async def fill_temporary(call: Call) -> dict[str, int]:
    written = 0
    try:
        for number in range(1024):
            written += Path(f"/tmp/{number}").write_bytes(bytes(MEBIBYTE))
    except OSError as error:
        return {"count": written // MEBIBYTE, "errno": error.errno or 0}
    return {"count": written // MEBIBYTE, "errno": 0}


@app.function
async def write_big_file(call: Call) -> dict[str, int]:
    written = 0
    try:
        with (call.data / "big").open("wb", buffering=0) as file:
            for _ in range(1024):
                written += file.write(bytes(MEBIBYTE))
    except OSError as error:
        return {"count": written // MEBIBYTE, "errno": error.errno or 0}
    finally:
        (call.data / "big").unlink()
    return {"count": written // MEBIBYTE, "errno": 0}


@app.function
async def start_threads(call: Call) -> dict[str, int]:
    stop = threading.Event()
    started: list[threading.Thread] = []
    try:
        for _ in range(1000):
            thread = threading.Thread(target=stop.wait)
            thread.start()
            started.append(thread)
    except RuntimeError:
        pass
    finally:
        stop.set()
        for thread in started:
            thread.join()
    return {"count": len(started)}


@app.function
async def open_files(call: Call) -> dict[str, int]:
    opened = []
    try:
        for _ in range(5000):
            opened.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    finally:
        for number in opened:
            os.close(number)
    return {"count": len(opened)}
