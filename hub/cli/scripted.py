"""`--scripted` and `--unprotected`: a chat with a model that plays a script, of which nothing is kept."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import typer
from rich.text import Text

import scripted_model
from hub.app import model_client, registry_of, serve
from hub.cli.chat import PROMPT, chat
from hub.cli.lines import Lines, editing
from hub.cli.output import Exit, Format, err, out, safe
from hub.cli.telling import Answer
from hub.config import Config, ModelConfig, ModelSpecConfig
from hub.errors import SpokegateError
from hub.lab.unprotected import Unprotected, refuse_real_credentials
from hub.opa.binary import OpaBinaryError
from scripted_model import Brain, Obedient, ScriptedModel, ScriptInvalid, load_script

_SAID = "a model that plays a script answers, and no real one; nothing of this chat is kept"
_UNPROTECTED = "UNPROTECTED: the apps run in this process, without hub, sandbox or policy; for the lab alone"

SCRIPT = Path(scripted_model.__file__).with_name("chat.yaml")


def brain_of(script: Path | None, *, obey: bool) -> Brain:
    """Return what a scripted model answers by.

    Raises:
        ScriptInvalid: The script cannot be read.
    """
    read = load_script(script or SCRIPT)
    return Obedient(read) if obey else read


@contextlib.asynccontextmanager
async def scripted_hub(config: Config, user: str, brain: Brain) -> AsyncIterator[Path]:
    """Run a hub with a scripted model while the context is open, and yield a user's socket.

    Its state is of this chat alone: what a script says is not mixed with what anybody's memory holds.

    Args:
        config: Whose apps, policies and users it has.
        user: The user; empty for the first of the configuration.
        brain: What the model answers by.

    Raises:
        SpokegateError: The hub cannot be started.
    """
    [client, *_] = [item for item in config.clients if not user or item.user == user]
    async with contextlib.AsyncExitStack() as stack:
        # A path that is short enough for sockets below it.
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spokegate-")))
        model = await stack.enter_async_context(ScriptedModel(brain))
        own = config.model_copy(
            update={
                "state_dir": directory / "state",
                "runtime_dir": directory / "run",
                "database": None,
                "model": _configured(model, config),
            }
        )
        err.print(Text(_SAID, style="bold yellow"))
        await stack.enter_async_context(serve(own))
        yield own.runtime_dir / client.socket


@contextlib.asynccontextmanager
async def unprotected_world(config: Config, brain: Brain) -> AsyncIterator[Unprotected]:
    """Yield the apps of a configuration with a scripted model, in this process and unprotected.

    Raises:
        RealCredentials: There is something that the apps must not get at.
        SpokegateError: An app cannot be used.
    """
    refuse_real_credentials(config.model, os.environ)
    async with contextlib.AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spokegate-")))
        model = await stack.enter_async_context(ScriptedModel(brain))
        client = await model_client(_configured(model, config))
        stack.push_async_callback(client.close)
        err.print(Text(_UNPROTECTED, style="bold red"))
        err.print(Text(_SAID, style="bold yellow"))
        yield Unprotected(registry_of(config).apps.values(), client, directory)


async def run_scripted(
    config: Config,
    user: str,
    wish: str | None,
    form: Format,
    script: Path | None,
    *,
    obey: bool,
    unprotected: bool,
    seconds: float,
) -> None:
    """Chat with a scripted model: with a hub of its own, or unprotected.

    Raises:
        HubError: The hub refused, or could not do, what was asked.
        typer.Exit: The chat cannot begin.
    """
    if user and user not in {client.user for client in config.clients}:
        raise typer.BadParameter(f"--user {user}: the configuration has no socket for them")
    try:
        brain = brain_of(script, obey=obey)
        if unprotected:
            async with unprotected_world(config, brain) as world:
                await _talk(world, wish)
            return
        async with scripted_hub(config, user, brain) as socket:
            await chat(socket, wish, form, timeout_seconds=seconds)
    except (SpokegateError, OpaBinaryError, ScriptInvalid) as error:
        err.print(Text(str(error), style="red"))
        raise typer.Exit(Exit.UNAVAILABLE) from None


async def _talk(world: Unprotected, wish: str | None) -> None:
    lines = Lines()
    with editing():
        while (said := wish if wish is not None else await lines.next(PROMPT)) is not None:
            if said.strip():
                before, answer = len(world.calls), Answer(out)
                answer.add(await world.say(said))
                answer.end()
                for function, arguments in world.calls[before:]:
                    out.print(Text(f"  called {safe(function)} {safe(json.dumps(arguments))}", style="dim"))
            if wish is not None:
                return


def _configured(model: ScriptedModel, config: Config) -> ModelConfig:
    # It runs in this process, so it may be told whatever any app may be.
    clearance = tuple(sorted({tag for app in config.apps for tag in app.clearance}))
    spec = ModelSpecConfig(name=model.models[0], clearance=clearance)
    return ModelConfig(base_url=model.base_url, models=(spec,))
