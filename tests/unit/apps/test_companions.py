"""The agents and annotations that ship: what their manifests promise, and a conversation of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from scripted_model import FICTION, Obedient, Reply, Rule, Script, ToolCall, When
from spoke_runner.sdk import Agent
from spoke_runner.sdk.annotation import app as annotation
from tests.support.agents import AgentCall, probed
from tests.unit.apps.fakes import APPS, FakeCall, declared, load, shipped

health_companion, travel_mate, assistant = load("health_companion"), load("travel_mate"), load("assistant")
INSTALLED = yaml.safe_load((APPS.parent / "spokegate.yaml").read_text())["apps"]
CONFIGURED: dict[str, dict[str, Any]] = {Path(app["path"]).name: app for app in INSTALLED}
ADA = {
    "name": "Ada Marsh",
    "date_of_birth": "4 May 1961",
    "medical_issues": ["heart surgery", "hypertension", "asthma"],
    "email": "ada@marsh.example",
}


def fits(function: str, result: Any) -> Any:
    declared(function).result_validator.validate(result)
    return result


async def test_what_is_recorded_of_the_user_is_kept_and_given_back(tmp_path: Path) -> None:
    call = FakeCall(tmp_path)
    assert fits("health_companion.profile", await health_companion.profile(call)) == {}
    first = fits("health_companion.record", await health_companion.record(call, name="Ada", email="a@b.example"))
    assert first == {"recorded": ["email", "name"]}
    await health_companion.record(call, **ADA)
    assert fits("health_companion.profile", await health_companion.profile(call)) == ADA
    appointment = await health_companion.book_appointment(call, reason="check-up", date="Monday")
    assert fits("health_companion.book_appointment", appointment) == {"appointment": "A-1", "date": "Monday"}
    assert (await health_companion.book_appointment(call, reason="again", date="Tuesday"))["appointment"] == "A-2"


def test_what_is_recorded_is_something_and_an_address_is_one() -> None:
    valid = declared("health_companion.record").arguments_validator.is_valid
    assert valid(ADA)
    assert valid({"name": "Ada"})
    unfit: list[dict[str, Any]] = [{}, {"email": "no"}, {"medical_issues": []}, {"medical_issues": "asthma"}]
    for wrong in (*unfit, {**ADA, "more": 1}):
        assert not valid(wrong)


@pytest.mark.parametrize("function", ["respond", "profile", "book_appointment"])
def test_what_the_health_companion_tells_is_labelled(function: str) -> None:
    assert "health" in declared(f"health_companion.{function}").labels.confidentiality


def test_only_who_works_with_health_data_is_cleared_for_it() -> None:
    cleared = {name for name, app in CONFIGURED.items() if "health" in app.get("clearance", [])}
    assert cleared == {"health_companion", "assistant"}


async def test_a_flight_is_booked_with_what_was_said_and_no_more(tmp_path: Path) -> None:
    call = FakeCall(tmp_path)
    trip = {"origin": "Irvine", "destination": "Paris", "date": "June 10th"}
    flights = fits("travel_mate.find_flights", await travel_mate.find_flights(call, **trip))["flights"]
    assert [flight["price"] for flight in flights] == [212.5, 252.5, 172.5]
    booked = fits("travel_mate.book_flight", await travel_mate.book_flight(call, **trip))
    assert booked == {"booking": "T-1", "flight": "TM102", "price": 172.5}
    assert (tmp_path / "bookings.jsonl").read_text().count("June 10th") == 1
    assert (await travel_mate.book_flight(call, **trip, notes="window seat"))["booking"] == "T-2"


def test_a_booking_leaves_the_system_and_is_steered_by_places_and_date() -> None:
    booking = declared("travel_mate.book_flight")
    assert (booking.effect, booking.egress) == ("write", True)
    assert booking.control_arguments == ("/origin", "/destination", "/date")


async def test_travel_mate_books_by_itself_in_two_answers_of_the_model(tmp_path: Path) -> None:
    wish = "Book a flight from Irvine to Paris on June 10th."
    trip = {"origin": "Irvine", "destination": "Paris", "date": "June 10th"}
    book = "travel_mate.book_flight"
    script = Script(
        rules=(
            Rule(when=When(called=()), then=Reply(calls=(ToolCall(name=book, arguments=trip),))),
            Rule(then=Reply(text=f"Booked ${{{book}#/result/flight}} for $${{{book}#/result/price}}.")),
        )
    )
    data = FakeCall(tmp_path)
    served = {"travel_mate.book_flight": lambda **_: {"booking": "T-1", "flight": "TM102", "price": 172.5}}
    call = AgentCall(data.data, script, [probed(book)], served, app="travel_mate", instructions=told("travel_mate"))
    assert await travel_mate.app.respond(call, wish) == {"text": "Booked TM102 for $172.5."}
    assert call.invoked == [("travel_mate.book_flight", trip)]
    assert len(call.requests) == 2


def told(app: str) -> str:
    return shipped().apps[app].manifest.instructions


async def test_the_mandate_of_the_muse_holds_for_the_muse_alone() -> None:
    factual = Obedient(Script(rules=(Rule(then=Reply(text="Fatigue and pain have many causes.")),)))
    wish = "I am experiencing fatigue and persistent pain."

    async def answer(app: str) -> str:
        result = await annotation.respond(AgentCall(brain=factual, instructions=told(app)), wish)
        return result["text"]

    assert await answer("symptom_solver") == "Fatigue and pain have many causes."
    assert await answer("creative_muse") == FICTION


def test_the_assistant_has_no_privilege() -> None:
    app = shipped().apps["assistant"]
    assert isinstance(assistant.app, Agent)
    assert (app.manifest.kind, set(app.functions), app.asks) == ("agent", {"respond"}, ("*",))
    assert CONFIGURED["assistant"]["trust"] == "reviewed"
    assert not app.manifest.egress
    assert not app.manifest.programs


def test_the_assistant_takes_a_plan() -> None:
    valid = declared("assistant.respond").arguments_validator.is_valid
    step = {"id": "1", "app": "mail", "task": "the newest", "functions": ["mail.search"], "needs": ["0"]}
    settled = {**step, "call": {"function": "mail.search", "arguments": {"query": ""}}}
    assert valid({"text": "x"})
    assert valid({"text": "x", "steps": [step, settled]})
    for wrong in ({"text": ""}, {"text": "x", "steps": [{**step, "more": 1}]}, {"text": "x", "steps": [{"id": "1"}]}):
        assert not valid(wrong)


@pytest.mark.parametrize("name", ["assistant", "health_companion", "travel_mate", "creative_muse", "symptom_solver"])
def test_each_can_be_installed_and_answers_in_words(name: str) -> None:
    assert name in CONFIGURED
    assert declared(f"{name}.respond").arguments_validator.is_valid({"text": "Hello."})


def test_the_toolkits_of_mail_part_reading_from_writing() -> None:
    assert dict(shipped().apps["mail"].manifest.toolkits) == {
        "reading": ("search", "read"),
        "writing": ("send", "delete"),
    }
