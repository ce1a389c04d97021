"""An app in its sandbox asks the model, through real policies: what it gets, what it is refused, what it never sees."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hub.app import serve
from hub.client import HubClient
from hub.config import ModelConfig, ModelSpecConfig
from hub.model.key import ModelKeyMissing
from scripted_model import Fault, Reply, Rule, Script, ScriptedModel, When
from tests.support.apps import APPS, variant
from tests.support.live import (
    ALLOW_ALL,
    POLICIES,
    VAULT,
    Live,
    app,
    configured,
    live,
    policies_of,
    workplace,
)

THINKER = APPS / "thinker"
KEY = "sk-only-the-hub-has-this"
KEY_ENV = "SPOKEGATE_TEST_MODEL_KEY"
SCRIPT = Script(
    rules=(
        Rule(when=When(user="^down"), then=Reply(fault=Fault(status=503))),
        Rule(then=Reply(text="The model says so.")),
    )
)


def model_at(model: ScriptedModel, **changes: Any) -> ModelConfig:
    fields = {"key_env": KEY_ENV, "models": (ModelSpecConfig(name="scripted"),), "retries": 0, **changes}
    return ModelConfig(base_url=model.base_url, **fields)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_ENV, KEY)


@pytest.fixture
async def model() -> AsyncIterator[ScriptedModel]:
    async with ScriptedModel(SCRIPT, key=KEY) as running:
        yield running


async def think(client: HubClient, text: str = "Say so.", *, of: str = "thinker", **arguments: Any) -> dict[str, Any]:
    """Let an app ask in a session of its own, and return what came of it."""
    async with client.session() as session:
        answer = await session.invoke(f"{of}.think", {"text": text, **arguments})
    [found] = answer.result
    assert isinstance(found, dict)
    return found


async def refused_by(hub: Live, decision_id: str) -> list[str]:
    """Return the codes of a decision on record."""
    [body] = [body for _, id_, body in hub.rows("decision") if id_ == decision_id]
    return [reason["code"] for reason in body["reasons"]]


async def would_help(hub: Live, decision_id: str) -> set[str]:
    """Return the changes by which a decision would have been an allow, as `explain` says."""
    explained = await hub.client.explain(decision_id)
    return {change.words for change in explained.asked_again.changes if change.effect == "allow"}


async def test_an_app_asks_and_whoever_does_not_declare_it_may_not(tmp_path: Path, model: ScriptedModel) -> None:
    mute = variant(THINKER, tmp_path, "mute", asks_model=False)
    async with live(THINKER, mute, model=model_at(model)) as hub:
        answer = await think(hub.client)
        assert answer["message"] == {"role": "assistant", "content": "The model says so."}
        assert "".join(answer["pieces"]) == "The model says so."
        assert len(answer["pieces"]) > 1

        refused = await think(hub.client, of="mute")
        assert refused["refused"] == "POLICY_DENIED"
        assert await refused_by(hub, refused["decision_id"]) == ["models.undeclared"]
        assert await would_help(hub, refused["decision_id"]) == {
            "if the manifest of mute declared that it asks the model"
        }
        assert model.calls == 1

        down = await think(hub.client, "down")
        assert down["refused"] == "MODEL_UNAVAILABLE"
        assert await hub.outcome(down["decision_id"]) == "MODEL_UNAVAILABLE"


async def test_control_without_the_rule_anybody_asks(tmp_path: Path, model: ScriptedModel) -> None:
    mute = variant(THINKER, tmp_path, "mute", asks_model=False)
    policies = (policies_of(tmp_path / "policies", ALLOW_ALL),)
    async with live(mute, model=model_at(model), policies=policies) as hub:
        assert "message" in await think(hub.client, of="mute")


@pytest.mark.parametrize("clearance", [(), ("health",)])
async def test_what_is_confidential_reaches_no_provider_that_is_not_cleared(
    model: ScriptedModel, clearance: tuple[str, ...]
) -> None:
    models = (ModelSpecConfig(name="scripted", clearance=clearance),)
    cleared_app = app(THINKER, clearance=("health",))
    async with live(cleared_app, VAULT, model=model_at(model, models=models)) as hub:
        answer = await think(hub.client, first="vault.read_secret")
        if clearance:
            assert "message" in answer
        else:
            assert answer["refused"] == "POLICY_DENIED"
            assert await refused_by(hub, answer["decision_id"]) == ["models.uncleared"]
            assert await would_help(hub, answer["decision_id"]) == {
                "if thinker did not carry health",
                "if the provider of model/scripted were cleared for health",
            }
    assert model.calls == len(clearance)


async def test_a_site_sets_how_many_tokens_an_app_may_use(tmp_path: Path, model: ScriptedModel) -> None:
    site = tmp_path / "site"
    site.mkdir()
    # Less than one answer may have, so that the first request is refused; the control is every other test here.
    (site / "settings.json").write_text('{"site": {"settings": {"models": {"max_app_tokens": 1000}}}}')
    async with live(THINKER, model=model_at(model), policies=(POLICIES, site)) as hub:
        refused = await think(hub.client)
        assert await refused_by(hub, refused["decision_id"]) == ["models.app_tokens"]
        assert "message" in await think(hub.client, request={"max_completion_tokens": 50})
    assert model.calls == 1


async def test_the_key_is_where_the_model_is_asked_from_and_nowhere_else(
    model: ScriptedModel, capfd: pytest.CaptureFixture[str]
) -> None:
    async with live(THINKER, model=model_at(model)) as hub:
        await think(hub.client)
        await think(hub.client, "down")
        async with hub.client.session() as session:
            seen = (await session.invoke("thinker.look", {})).result
        state = [file.read_bytes() for file in sorted(hub.config.state_dir.rglob("*")) if file.is_file()]
        rows = hub.rows()
    assert model.seen[0].authorization == f"Bearer {KEY}"  # the control: it is a key that is used
    assert KEY not in json.dumps(seen)
    assert KEY_ENV not in json.dumps(seen)
    assert all(KEY.encode() not in data for data in state)
    assert KEY not in json.dumps(rows)
    assert KEY not in "".join(capfd.readouterr())


async def test_a_provider_on_this_machine_is_asked_by_no_proxy(
    model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    async with live(THINKER, model=model_at(model)) as hub:
        assert "message" in await think(hub.client)


async def test_a_key_that_is_not_there_is_said_at_the_start(
    model: ScriptedModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(KEY_ENV)
    wrong = {
        "set it": model_at(model),
        "is empty": model_at(model, key_env=None, key_file=tmp_path / "empty"),
        "cannot be read": model_at(model, key_env=None, key_file=tmp_path / "absent"),
    }
    (tmp_path / "empty").write_text("\n")
    async with workplace() as root:
        for says, config in wrong.items():
            with pytest.raises(ModelKeyMissing, match=says):
                async with serve(configured(root, THINKER, model=config)):
                    pass
