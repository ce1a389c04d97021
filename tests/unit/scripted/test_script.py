"""What a scripted model says, by its rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scripted_model import Conversation, Reply, Rule, Script, ScriptInvalid, load_script
from scripted_model.conversation import RequestRefused, read

FARES = """
rules:
  - name: a plan
    when: {json: true}
    then: {json: {steps: [{app: metro_hail, functions: [metro_hail.estimate_fare]}]}}
  - name: ask both at once
    when:
      user: from '(?P<here>[^']+)' to '(?P<there>[^']+)'
      tools: [metro_hail.estimate_fare, quick_ride.estimate_fare]
      called: []
    then:
      calls:
        - {name: metro_hail.estimate_fare, arguments: {pickup: "${here}", destination: "${there}"}}
        - {name: quick_ride.estimate_fare, arguments: {pickup: "${here}", destination: "${there}"}}
  - name: say what they said
    when: {called: [metro_hail.estimate_fare]}
    then:
      text: "Metro Hail: $${metro_hail.estimate_fare#/fare|none}; Quick Ride: $${quick_ride.estimate_fare#/fare|none}."
"""
TRIP = "Calculate the fares from 'Main Street' to 'Elm Avenue'"


def tool(name: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {
            "name": name.replace(".", "__"),
            "description": "Does it.",
            "parameters": {"type": "object", "properties": properties},
        },
    }


RIDES = [tool("metro_hail.estimate_fare"), tool("quick_ride.estimate_fare")]


def talk(*messages: dict[str, Any], **members: Any) -> Conversation:
    return read({"model": "scripted", "messages": list(messages), **members})


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def called(name: str, result: Any, number: int = 1, **arguments: Any) -> list[dict[str, Any]]:
    function = {"name": name.replace(".", "__"), "arguments": json.dumps(arguments)}
    call = {"id": f"c{number}", "type": "function", "function": function}
    return [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": f"c{number}", "content": json.dumps(result)},
    ]


@pytest.fixture
def fares(tmp_path: Path) -> Script:
    path = tmp_path / "fares.yaml"
    path.write_text(FARES)
    return load_script(path)


def test_named_groups_of_the_users_words_become_arguments(fares: Script) -> None:
    answer = fares.answer(talk(user(TRIP), tools=RIDES))
    assert [(call.name, call.arguments) for call in answer.calls] == [
        ("metro_hail.estimate_fare", {"pickup": "Main Street", "destination": "Elm Avenue"}),
        ("quick_ride.estimate_fare", {"pickup": "Main Street", "destination": "Elm Avenue"}),
    ]


def test_results_become_text_and_what_is_missing_has_its_own_word(fares: Script) -> None:
    answer = fares.answer(talk(user(TRIP), *called("metro_hail.estimate_fare", {"fare": 57}), tools=RIDES))
    assert answer.content() == "Metro Hail: $57; Quick Ride: $none."


def test_calls_before_the_users_last_words_are_past(fares: Script) -> None:
    past = [user(TRIP), *called("metro_hail.estimate_fare", {"fare": 57}), user(TRIP)]
    assert fares.answer(talk(*past, tools=RIDES)).calls


def test_a_json_answer_is_only_for_who_asks_for_json(fares: Script) -> None:
    answer = fares.answer(talk(user(TRIP), response_format={"type": "json_object"}))
    assert json.loads(answer.content())["steps"][0]["app"] == "metro_hail"


def test_what_no_rule_fits_is_answered_with_a_fixed_text(fares: Script) -> None:
    assert fares.answer(talk(user("Good day"))).content() == "My script has no line for this."


def test_a_rule_for_a_number_of_times_is_then_used_up() -> None:
    script = Script(rules=(Rule(then=Reply(text="first"), times=1), Rule(then=Reply(text="then"))))
    assert [script.answer(talk(user("?"))).text for _ in range(3)] == ["first", "then", "then"]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"model": "m", "messages": []}, "messages"),
        ({"model": "m", "messages": [{"role": "robot", "content": "hi"}]}, "known role"),
        ({"model": "m", "messages": [{"role": "tool", "tool_call_id": "c1", "content": "1"}]}, "no call that is due"),
        ({"model": "m", "messages": called("a.b", 1)[:1]}, "missing"),
        ({"model": "m", "messages": [called("a.b", 1)[0], user("?")]}, "missing before it"),
        ({"model": "m", "messages": [user("?")], "tools": [{"type": "function", "function": {"name": "a.b"}}]}, "name"),
    ],
)
def test_what_a_provider_would_refuse_is_refused(body: dict[str, Any], why: str) -> None:
    with pytest.raises(RequestRefused, match=why):
        read(body)


def test_a_script_that_cannot_be_read_is_named_with_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("rules: [{wenn: {}, then: {text: hi}}]")
    with pytest.raises(ScriptInvalid, match=r"bad\.yaml.*(?s:.*)wenn"):
        load_script(path)
