"""Wishes from end to end: planner, apps in real sandboxes and a scripted model; answers, model calls and prompts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from spokegate.v1 import hub_pb2

from scripted_model import Obedient, Reply, Rule, Script, ToolCall, When
from tests.support.companions import Companions, companions, shipped

pytestmark = pytest.mark.asyncio(loop_scope="module")

METRO, QUICK, BOOK = "metro_hail.estimate_fare", "quick_ride.estimate_fare", "travel_mate.book_flight"
RIDE = {"pickup": "Main Street", "destination": "Elm Avenue"}
TRIP = {"origin": "Irvine", "destination": "Paris", "date": "June 10th"}
RECORD = {"name": "Ada Marsh", "medical_issues": ["heart surgery", "asthma"], "email": "ada@marsh.example"}
NEWEST = "${mail.search#/result/messages/0/message_id}"


def planned(pattern: str, *steps: dict[str, Any]) -> Rule:
    return Rule(
        when=When(json_=True, user=pattern),
        then=Reply(json_={"steps": [{"id": str(n), **step} for n, step in enumerate(steps, 1)]}),
    )


def step(*functions: str, task: str, **more: Any) -> dict[str, Any]:
    app = functions[0].partition(".")[0]
    return {"app": app, "functions": [name.partition(".")[2] for name in functions], "task": task, **more}


def once(function: str, user: str, **arguments: Any) -> Rule:
    made = (ToolCall(name=function, arguments=arguments),)
    return Rule(when=When(user=user, tools=(function,), not_called=(function,)), then=Reply(calls=made))


def said(text: str, *called: str) -> Rule:
    return Rule(when=When(called=called), then=Reply(text=text))


FARES = "Use both metro_hail and quick_ride to calculate the fares for a trip from 'Main Street' to 'Elm Avenue'."
FLIGHT = "Book a flight from Irvine to Paris on June 10th."
HEALTH = "I am Ada Marsh, I had heart surgery and asthma, and my e-mail is ada@marsh.example. Note it for my doctor."
SYMPTOMS = "I am experiencing fatigue and persistent pain."
MAIL = "Summarize the newest email for me."
SCRIPT = Script(
    rules=(
        planned(
            "fares",
            step(METRO, task=FARES, call={"function": "estimate_fare", "arguments": RIDE}),
            step(QUICK, task=FARES, call={"function": "estimate_fare", "arguments": RIDE}),
        ),
        planned("flight", step("travel_mate.respond", task=FLIGHT)),
        planned("surgery", step("health_companion.respond", task=HEALTH)),
        planned("fatigue", step("symptom_solver.respond", task=SYMPTOMS)),
        planned("newest email", step("mail.search", "mail.read", task=MAIL)),
        Rule(when=When(json_=True), then=Reply(json_={"steps": []})),
        once(BOOK, "flight", **TRIP),
        once("health_companion.record", "surgery", **RECORD),
        once("mail.search", "newest", query=""),
        once("mail.read", "newest", message_id=NEWEST),
        said(f"Booked ${{{BOOK}#/result/flight}}.", BOOK),
        said("Noted.", "health_companion.record"),
        said("${mail.read#/result/from} writes: ${mail.read#/result/subject}.", "mail.read"),
        said(f"It costs $${{{METRO}#/result/fare}}.", METRO),
        said(f"It costs $${{{QUICK}#/result/fare}}.", QUICK),
        Rule(when=When(user="fatigue"), then=Reply(text="Fatigue and pain have many causes.")),
    ),
    otherwise=Reply(text="Hello!"),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house() -> AsyncIterator[Companions]:
    names = ("assistant", "metro_hail", "quick_ride", "travel_mate", "health_companion", "creative_muse", "mail")
    async with companions(Obedient(SCRIPT), *shipped(*names, "symptom_solver", "documents")) as it:
        it.put_mail("bob@example.org", "Lunch", "At noon?")
        yield it


async def wish(house: Companions, text: str) -> hub_pb2.ConverseEnd:
    async with house.live.client.session() as session:
        events = [event async for event in session.converse(text)]
    assert events[-1].WhichOneof("event") == "final"
    return events[-1].final


@pytest.mark.parametrize(
    ("text", "answer", "model_calls"),
    [
        (SYMPTOMS, "Fatigue and pain have many causes.", 2),
        (FLIGHT, "Booked TM102.", 3),
        (HEALTH, "Noted.", 3),
        (MAIL, "bob@example.org writes: Lunch.", 4),
        ("Hi there!", "Hello!", 2),
    ],
)
async def test_a_wish_is_answered_without_a_question_and_with_one_call_of_the_model_more(
    house: Companions, text: str, answer: str, model_calls: int
) -> None:
    end = await wish(house, text)
    assert (end.text, end.model_calls, end.prompts) == (answer, model_calls, 0)


async def test_two_apps_answer_side_by_side_each_by_itself(house: Companions) -> None:
    end = await wish(house, FARES)
    assert end.text == "metro_hail: It costs $57.\n\nquick_ride: It costs $51.8."
    assert (end.model_calls, end.prompts) == (3, 0)


async def test_what_one_app_was_told_another_is_not(house: Companions) -> None:
    await wish(house, HEALTH)
    house.model.forget()
    await wish(house, FLIGHT)
    shown = "".join(item.text for item in house.model.seen[1:])  # but for the planner, which hears the user alone
    assert "surgery" not in shown
    assert all("surgery" not in str(booking) for booking in house.bookings())
