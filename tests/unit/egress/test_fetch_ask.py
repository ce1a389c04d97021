"""`call.fetch`, from a function over the real stream to a host and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spoke_runner.sdk import App, Call, Refused, Response
from tests.support.egress import HOST, Names, Site, greet, way_out
from tests.support.pdp import FakePdp, decision

EGRESS = [f"{HOST}:1"]

app = App()
seen: dict[str, Response] = {}


@app.function
async def do(call: Call, value: Any) -> Any:
    try:
        body = value.pop("body", "").encode() * value.pop("times", 1)
        seen["response"] = await call.fetch(**value, body=body)
    except Refused as refused:
        return [refused.reason, refused.message, bool(refused.decision_id)]
    except ValueError as error:
        return str(error)
    return seen["response"].status


async def test_a_function_gets_the_response(tmp_path: Path) -> None:
    async with Site(greet).open() as site:
        host = f"{HOST}:{site.port}"
        names = Names(api__example__org=[["127.0.0.1"]])
        async with way_out(
            tmp_path, host, names=names, private=[("127.0.0.1", site.port)], pdp=FakePdp(), code={"reach": app}
        ) as out:
            value = {"url": f"http://{host}/x", "method": "PUT", "headers": {"X": "1"}, "body": "text"}
            assert (await out.desk.invoke("reach.do", {"value": value})).result_json == "200"
            carried = out.desk.session.labels_of("reach").integrity
            decisions = await out.decisions()
    response = seen["response"]
    assert (response.status, response.body, response.text(), response.header("x-KEPT")) == (
        200,
        b"hello",
        "hello",
        "yes",
    )
    assert response.header("nothing") is None
    assert site.heads[0].startswith(b"PUT /x HTTP/1.1\r\n")
    assert b"X: 1\r\n" in site.heads[0]
    assert carried == {f"untrusted:{host}"}
    # A fetch is a part of the call that makes it.
    assert decisions[0]["chain"] == ["user", "reach"]


@pytest.mark.parametrize(
    ("value", "outcome"),
    [
        ({"url": f"http://{HOST}:1/"}, ["HOST_UNAVAILABLE", "The host is not available.", True]),
        ({"url": f"http://{HOST}/"}, ["POLICY_DENIED", "The request was refused.", True]),
        ({"url": "http://10.0.0.1/"}, ["REQUEST_INVALID", "url: `10.0.0.1` is an address: name a host", False]),
        ({"url": f"http://{HOST}/", "body": "x", "times": 600_000}, ["QUOTA_EXCEEDED", "A limit was reached.", False]),
        ({"url": f"http://{HOST}/", "body": "x", "times": 1_100_000}, "the request is larger than 1048576 bytes"),
    ],
)
async def test_a_function_is_told_what_kind_of_refusal_it_was_and_no_more(
    tmp_path: Path, value: dict[str, Any], outcome: Any
) -> None:
    def rule(document: dict[str, Any]) -> Any:
        declared = document["action"]["name"] != "connect" or document["resource"]["id"] in EGRESS
        return decision("allow" if declared else "deny")

    async with way_out(tmp_path, *EGRESS, pdp=FakePdp(rule), code={"reach": app}) as out:
        answer = await out.desk.invoke("reach.do", {"value": value})
        assert json.loads(answer.result_json) == outcome
