"""Agents and annotations in real sandboxes, with a real hub and a scripted model over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from scripted_model import FICTION, Fault, Obedient, Reply, Rule, Script, ToolCall, When
from tests.support.companions import Companions, companions, shipped

pytestmark = pytest.mark.asyncio(loop_scope="module")

METRO, QUICK = "metro_hail.estimate_fare", "quick_ride.estimate_fare"
RIDE = {"pickup": "Main Street", "destination": "Elm Avenue"}
TRIP = {"origin": "Irvine", "destination": "Paris", "date": "June 10th"}
FARES = Script(
    rules=(
        Rule(
            when=When(called=()),
            then=Reply(calls=(ToolCall(name=METRO, arguments=RIDE), ToolCall(name=QUICK, arguments=RIDE))),
        ),
        Rule(then=Reply(text=f"Metro Hail: ${{{METRO}#/result/fare}}, Quick Ride: ${{{QUICK}#/result/fare}}.")),
    )
)


def step(function: str, **more: object) -> dict[str, object]:
    return {"id": "1", "app": function.partition(".")[0], "task": "as said", "functions": [function], **more}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house() -> AsyncIterator[Companions]:
    names = ("assistant", "metro_hail", "quick_ride", "travel_mate", "health_companion", "creative_muse")
    async with companions(None, *shipped(*names, "symptom_solver")) as it:
        yield it


async def say(house: Companions, app: str, text: str, **more: object) -> str:
    async with house.live.client.session() as session:
        answer = await session.invoke(f"{app}.respond", {"text": text, **more}, user_text=text)
        return str(answer.result["text"])


async def test_an_annotation_answers_by_its_own_instructions_and_no_others(house: Companions) -> None:
    house.model.brain = Obedient(Script(rules=(Rule(then=Reply(text="Fatigue has many causes.")),)))
    wish = "I am experiencing fatigue and persistent pain."
    assert await say(house, "symptom_solver", wish) == "Fatigue has many causes."
    assert await say(house, "creative_muse", wish) == FICTION
    assert "strict" in {body.get("sandbox") for _, _, body in house.live.rows("spoke")}


async def test_an_agent_calls_its_own_functions_through_the_hub_and_no_person_is_asked(house: Companions) -> None:
    book = "travel_mate.book_flight"
    house.model.brain = Script(
        rules=(
            Rule(when=When(called=()), then=Reply(calls=(ToolCall(name=book, arguments=TRIP),))),
            Rule(then=Reply(text=f"Booked: ${{{book}#/result/flight}}.")),
        )
    )
    house.model.forget()
    since = len(house.live.rows("decision"))
    assert await say(house, "travel_mate", "Book a flight from Irvine to Paris on June 10th.") == "Booked: TM102."
    assert house.bookings() == [{"booking": "T-1", **TRIP, "notes": ""}]
    assert house.model.calls == 2
    decided = house.decided(since)
    assert {effect for _, _, effect, _ in decided} == {"allow"}
    assert ("travel_mate", book, "allow", ["requests.user_directed_write"]) in decided


async def test_the_assistant_works_with_two_apps_at_once_and_says_exactly_what_they_returned(house: Companions) -> None:
    house.model.brain = FARES
    house.model.forget()
    wish = "Use both to calculate the fares for a trip from 'Main Street' to 'Elm Avenue'."
    assert await say(house, "assistant", wish, steps=[step(METRO), step(QUICK)]) == "Metro Hail: 57, Quick Ride: 51.8."
    assert house.model.calls == 2


async def test_a_call_that_the_plan_settles_takes_no_answer_of_the_model(house: Companions) -> None:
    house.model.brain = FARES
    house.model.forget()
    steps = [step(name, call={"function": name, "arguments": RIDE}) for name in (METRO, QUICK)]
    wish = "The fares from 'Main Street' to 'Elm Avenue', please."
    assert await say(house, "assistant", wish, steps=steps) == "Metro Hail: 57, Quick Ride: 51.8."
    assert house.model.calls == 1


async def test_a_session_remembers_what_was_said_and_asks_for_no_more_of_it_each_time(house: Companions) -> None:
    house.model.brain = Script(rules=(), otherwise=Reply(text="I heard you. " * 30))
    house.model.forget()
    async with house.live.client.session() as session:
        for number in range(10):
            await session.invoke("assistant.respond", {"text": f"This is sentence {number}. " + "So it goes. " * 50})
    assert "This is sentence 8." in house.model.seen[-1].text
    assert max(house.model.prompt_characters) < 12_000


async def test_a_model_that_is_down_is_said_to_be_so_and_leaves_the_spoke_in_order(house: Companions) -> None:
    down = Reply(fault=Fault(status=500))
    house.model.brain = Script(rules=(Rule(then=down, times=1),), otherwise=Reply(text="Back again."))
    async with house.live.client.session() as session:
        first = await session.invoke("symptom_solver.respond", {"text": "I am tired."})
        assert "(MODEL_UNAVAILABLE, d-" in first.result["text"]
        second = await session.invoke("symptom_solver.respond", {"text": "I am tired."})
        assert second.result == {"text": "Back again."}


async def test_what_the_model_is_shown_holds_no_key_and_no_path_of_the_host(house: Companions) -> None:
    house.model.brain = FARES
    house.model.forget()
    await say(house, "assistant", "The fares?", steps=[step(METRO), step(QUICK)])
    shown = "".join(item.text for item in house.model.seen)
    assert str(house.live.config.state_dir) not in shown
    assert "Bearer" not in shown
