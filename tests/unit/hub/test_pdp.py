"""What of OPA's answers is taken for a decision: only what is whole and of the contract."""

from __future__ import annotations

import asyncio
import copy
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from hub.errors import DecisionInvalid, PdpUnavailable
from hub.mediation.pdp import OpaPdp, Verdict

GOOD: dict[str, Any] = {
    "provenance": {"bundles": {"bundle": {"revision": "sha256:1"}}},
    "result": {
        "effect": "ask",
        "decided_by": "default",
        "grant": None,
        "hidden": False,
        "reasons": [{"code": "a.b", "message": "Because.", "rule": "a"}],
        "obligations": [],
        "prompt": {"title": "May it?", "detail": "", "scopes": ["once"], "until_seconds": 60},
        "review_result": False,
    },
}


@asynccontextmanager
async def opa_that(answer: Any) -> AsyncIterator[OpaPdp]:
    """Serve one answer on a unix socket, as a JSON document or as whatever a handler gives."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return await answer(request) if callable(answer) else web.json_response(answer)

    app = web.Application()
    app.router.add_post("/v1/data/spokegate/decision", handle)
    runner = web.AppRunner(app, shutdown_timeout=0)
    with tempfile.TemporaryDirectory(prefix="sg-") as directory:
        await runner.setup()
        path = Path(directory) / "opa.sock"
        await web.UnixSite(runner, str(path)).start()
        try:
            async with OpaPdp(path, timeout_seconds=0.3) as pdp:
                yield pdp
        finally:
            await runner.cleanup()


async def decide(answer: Any) -> Verdict:
    async with opa_that(answer) as pdp:
        return await pdp.decide({"version": 1})


def changed(*path: str, to: Any = ...) -> dict[str, Any]:
    """Return the good answer with one place changed, or removed."""
    answer = copy.deepcopy(GOOD)
    node: Any = answer
    for key in path[:-1]:
        node = node[key]
    if to is ...:
        del node[path[-1]]
    else:
        node[path[-1]] = to
    return answer


async def test_a_whole_decision_is_taken_with_its_revision() -> None:
    verdict = await decide(GOOD)
    assert (verdict.decision.effect, verdict.policy_revision) == ("ask", "sha256:1")


MALFORMED: list[Any] = [
    {},
    [],
    None,
    "allow",
    changed("result"),
    changed("result", to=None),
    changed("result", to=True),
    changed("result", to="allow"),
    changed("result", "effect"),
    changed("result", "effect", to="ALLOW"),
    changed("result", "effect", to="allow"),  # with a prompt
    changed("result", "prompt", to=None),  # an ask without one
    changed("result", "reasons", to=[]),
    changed("result", "reasons", to=[{"code": "", "message": "", "rule": ""}]),
    changed("result", "decided_by", to="grant"),
    changed("result", "grant", to="g-1"),
    changed("result", "hidden", to=True),
    changed("result", "hidden", to=0),
    changed("result", "review_result", to="no"),
    changed("result", "obligations", to=[{"type": "redact", "on": "moon"}]),
    changed("result", "prompt", "scopes", to=["forever"]),
    changed("result", "prompt", "scopes", to=[]),
    changed("result", "more", to=1),
    changed("provenance"),
    changed("provenance", to=None),
    changed("provenance", "bundles", to={}),
    changed("provenance", "bundles", to=None),
    changed("provenance", "bundles", "bundle", to={}),
    changed("provenance", "bundles", "other", to={"revision": "sha256:2"}),
    changed("provenance", "bundles", "bundle", to=None),
]


@pytest.mark.parametrize("answer", MALFORMED, ids=range(len(MALFORMED)))
async def test_an_answer_that_is_not_of_the_contract_is_no_decision(answer: Any) -> None:
    with pytest.raises(DecisionInvalid):
        await decide(answer)


@pytest.mark.parametrize("status", [400, 401, 404, 500, 502, 503])
async def test_an_error_of_opa_is_no_decision(status: int) -> None:
    async def fail(request: web.Request) -> web.Response:
        return web.json_response(GOOD, status=status)

    with pytest.raises(PdpUnavailable):
        await decide(fail)


@pytest.mark.parametrize("body", [b"", b"{", b"<html>", b'{"result": \xff}'])
@pytest.mark.parametrize("content_type", ["application/json", "text/html"])
async def test_an_answer_that_is_no_json_is_no_decision(body: bytes, content_type: str) -> None:
    async def garble(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=content_type)

    with pytest.raises((PdpUnavailable, DecisionInvalid)):
        await decide(garble)


async def test_a_late_answer_is_no_decision() -> None:
    async def late(request: web.Request) -> web.Response:
        await asyncio.sleep(0.5)
        return web.json_response(GOOD)

    with pytest.raises(PdpUnavailable):
        await decide(late)


async def test_nobody_listening_is_no_decision(tmp_path: Path) -> None:
    async with OpaPdp(tmp_path / "none.sock") as pdp:
        assert not await pdp.healthy()
        with pytest.raises(PdpUnavailable):
            await pdp.decide({})


async def test_nothing_is_retried_and_nothing_is_kept() -> None:
    asked = 0

    async def flap(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.json_response(GOOD, status=500 if asked == 2 else 200)

    async with opa_that(flap) as pdp:
        await pdp.decide({})
        with pytest.raises(PdpUnavailable):
            await pdp.decide({})
        await pdp.decide({})
    assert asked == 3
