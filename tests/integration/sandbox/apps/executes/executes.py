import errno
import os
import shutil

from spoke_runner.sdk import App, Call

app = App()


@app.function
async def execute(call: Call, path: str) -> dict[str, str]:
    """Execute a program in place of this one; return what stopped it."""
    try:
        os.execv(path, [path])  # noqa: S606 - that is what is tried
    except OSError as error:
        return {"answer": errno.errorcode[error.errno or 0]}


@app.function
async def execute_a_copy(call: Call, path: str) -> dict[str, str]:
    """Execute a copy that this app makes in its data directory."""
    copy = call.data / "copy"
    shutil.copy(path, copy)
    copy.chmod(0o700)
    return await execute(call, str(copy))
