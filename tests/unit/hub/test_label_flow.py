"""Over random graphs of calls, no spoke ever receives data whose labels it does not carry.

Every app of the test gives away all that it knows, in its arguments, its results and to its own later calls, as tokens
that are named like the labels of where they came from. So what an app has seen can be compared with what the hub says
that it may know, at the moment that it sees it.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.errors import SpokegateError
from hub.mediation.caller import SessionState, new_id
from hub.mediation.kept import KeptLabels
from spoke_runner.sdk import App, Call, Refused
from tests.support.apps import function, installed, write_app
from tests.support.desk import Desk, desk
from tests.support.pdp import FakePdp, decision

NAMES = ("ann", "ben", "cid", "dot")
KEEPS = {"ann", "ben"}
SCRIPT = {"type": "object"}

# A call of an app: which, whether its result is a source's, which calls it makes itself, whether it fails at the end.
CALLS = st.recursive(
    st.fixed_dictionaries({"app": st.sampled_from(NAMES), "source": st.booleans(), "fails": st.booleans()}),
    lambda inner: st.fixed_dictionaries(
        {
            "app": st.sampled_from(NAMES),
            "source": st.booleans(),
            "fails": st.booleans(),
            "calls": st.lists(inner, max_size=3),
            "at_once": st.booleans(),
        }
    ),
    max_leaves=8,
)


class World:
    """The apps, and what each has seen."""

    def __init__(self) -> None:
        self.session = SessionState(id="", user="alice")
        self.seen: dict[str, set[str]] = {name: set() for name in NAMES}
        self.most = 0
        self.uncovered: list[str] = []
        self.code = {name: self._app(name) for name in NAMES}

    def open(self, hub: Desk) -> None:
        """Begin a new session: what an app does not keep is gone."""
        self.session = SessionState(id=new_id("s"), user="alice", kept=hub.session.kept)
        for name in set(NAMES) - KEEPS:
            self.seen[name].clear()

    def see(self, app: str, tokens: list[str]) -> None:
        """Let an app know tokens, which the hub must know that it may."""
        self.seen[app].update(tokens)
        self.most = max(self.most, len(self.seen[app]))
        labels = self.session.labels_of(app)
        # Kept for later: what is raised here would be the app's failure, like any other.
        if missing := self.seen[app] - (labels.confidentiality & labels.integrity):
            self.uncovered.append(f"{app} has seen {sorted(missing)} and carries {labels.to_json()}")

    def _app(self, name: str) -> App:
        app = App()

        async def work(call: Call, tokens: list[str], script: dict[str, Any]) -> Any:
            self.see(name, tokens)

            async def ask(inner: dict[str, Any]) -> None:
                what = f"{inner['app']}.{'source' if inner['source'] else 'relay'}"
                try:
                    answer = await call.invoke(what, {"tokens": sorted(self.seen[name]), "script": inner})
                except Refused:
                    return
                self.see(name, answer)

            asks = [ask(inner) for inner in script.get("calls", ())]
            if script.get("at_once"):
                await asyncio.gather(*asks)
            else:
                for one in asks:
                    await one
            if script["fails"]:
                raise ValueError("as the script says")
            return sorted(self.seen[name])

        @app.function
        async def relay(call: Call, tokens: list[str], script: dict[str, Any]) -> Any:
            return await work(call, tokens, script)

        @app.function
        async def source(call: Call, tokens: list[str], script: dict[str, Any]) -> Any:
            self.see(name, [name])
            return await work(call, tokens, script)

        return app


def written(directory: Path) -> list[Path]:
    arguments = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"tokens": {"type": "array"}, "script": SCRIPT},
    }
    return [
        write_app(
            directory,
            name,
            {
                "relay": function(arguments=arguments),
                "source": function(arguments=arguments, labels={"confidentiality": [name], "integrity": [name]}),
            },
            asks=["*"],
            data="kept" if name in KEEPS else "session",
        )
        for name in NAMES
    ]


async def play(sessions: list[list[dict[str, Any]]], seed: int, *, denied: float = 0.0) -> World:
    dice, world = random.Random(seed), World()  # noqa: S311 - no secret

    def rule(document: dict[str, Any]) -> Any:
        if document["action"]["name"] != "probe" and dice.random() < denied:
            return decision("deny")
        return decision(review_result=dice.random() < 0.3)

    with tempfile.TemporaryDirectory(prefix="sg-") as name:
        async with desk(installed(*written(Path(name))), world.code, FakePdp(rule)) as hub:
            for calls in sessions:
                world.open(hub)
                for script in calls:
                    what = f"{script['app']}.{'source' if script['source'] else 'relay'}"
                    try:
                        await hub.invoke(what, {"tokens": [], "script": script}, session=world.session)
                    except SpokegateError:
                        continue
    return world


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(CALLS, min_size=1, max_size=3), min_size=1, max_size=2), st.integers(0, 2**16))
def test_no_spoke_receives_what_it_does_not_carry(sessions: list[list[dict[str, Any]]], seed: int) -> None:
    assert asyncio.run(play(sessions, seed, denied=0.1)).uncovered == []


LEAF = {"app": "ann", "source": True, "fails": False}
NESTED = {
    "app": "cid",
    "source": True,
    "fails": False,
    "calls": [{"app": "ben", "source": True, "fails": False, "calls": [LEAF]}],
}


def test_the_apps_of_the_test_do_pass_on_what_they_know() -> None:
    world = asyncio.run(play([[NESTED]], seed=1))
    assert (world.most, world.uncovered) == (3, [])


def test_a_hub_that_forgets_what_it_delivered_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SessionState, "learn", lambda *_: None)
    assert asyncio.run(play([[NESTED]], seed=1)).uncovered


def test_a_hub_that_forgets_what_apps_keep_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def forget(*_: object) -> None:
        return

    monkeypatch.setattr(KeptLabels, "join", forget)
    again = {"app": "ben", "source": False, "fails": False}
    assert asyncio.run(play([[NESTED], [again]], seed=1)).uncovered
