"""Prompts: who is asked, whose answer counts, and what silence means."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from hub.errors import EntityNotFound, QuotaExceeded, RequestInvalid
from hub.mediation.caller import new_id
from hub.mediation.consent import Answer, Ended, Notice, Outcome, Prompts, Question, ScopeOffer, Yes
from hub.mediation.labels import NONE, Labels
from hub.mediation.request import GrantScope
from tests.support.desk import answering, until


def question(**changes: Any) -> Question:
    fields: dict[str, Any] = {
        "id": new_id("p"),
        "user": "alice",
        "decision_id": "d-1",
        "session": "s-1",
        "caller": "asker",
        "chain": ("user", "asker"),
        "function": "target.do",
        "function_effect": "write",
        "arguments_json": "{}",
        "control_arguments": (),
        "untrusted_pointers": (),
        "planned": False,
        "labels": NONE,
        "title": "May it?",
        "detail": "",
        "reasons": (),
        "offers": (ScopeOffer("once", "this"),),
        "timeout_seconds": 2.0,
    }
    return Question(**{**fields, **changes})


async def asked_in(prompts: Prompts, asked: Question) -> tuple[Outcome, Yes | None]:
    with prompts.ask(asked) as it:
        answer = await it.answer()
    return answer.outcome, answer.yes


async def test_a_yes_comes_back_with_its_scope() -> None:
    prompts = Prompts()
    async with answering(prompts, "once"):
        assert await asked_in(prompts, question()) == (Outcome.APPROVED, Yes("once"))


async def test_a_no_comes_back() -> None:
    prompts = Prompts()
    async with answering(prompts, None):
        assert await asked_in(prompts, question()) == (Outcome.REFUSED, None)


async def test_nobody_watching_is_answered_at_once() -> None:
    prompts = Prompts()
    async with answering(prompts, "once", user="bob"):
        assert await asked_in(prompts, question(timeout_seconds=60)) == (Outcome.UNWATCHED, None)


async def test_silence_ends_in_its_time() -> None:
    prompts = Prompts()
    async with answering(prompts):
        assert await asked_in(prompts, question(timeout_seconds=0.02)) == (Outcome.EXPIRED, None)


async def test_the_first_answer_counts() -> None:
    prompts, asked = Prompts(), question()
    with prompts.watch("alice"):
        task = asyncio.create_task(asked_in(prompts, asked))
        await asyncio.sleep(0)
        prompts.answer("alice", asked.id, None)
        with pytest.raises(EntityNotFound):
            prompts.answer("alice", asked.id, Yes("once"))
        assert await task == (Outcome.REFUSED, None)
    with pytest.raises(EntityNotFound):
        prompts.answer("alice", asked.id, Yes("once"))


async def test_another_users_prompt_cannot_be_seen_or_answered() -> None:
    prompts, asked = Prompts(), question(timeout_seconds=0.05)
    with prompts.watch("alice"):
        async with answering(prompts, "once", user="bob") as seen:
            task = asyncio.create_task(asked_in(prompts, asked))
            await asyncio.sleep(0)
            with pytest.raises(EntityNotFound):
                prompts.answer("bob", asked.id, Yes("once"))
            assert await task == (Outcome.EXPIRED, None)
            assert seen == []


async def test_a_scope_that_is_not_offered_is_refused_and_the_prompt_goes_on_waiting() -> None:
    prompts, asked = Prompts(), question()
    with prompts.watch("alice"):
        task = asyncio.create_task(asked_in(prompts, asked))
        await asyncio.sleep(0)
        with pytest.raises(RequestInvalid, match="once"):
            prompts.answer("alice", asked.id, Yes("session"))
        prompts.answer("alice", asked.id, Yes("once"))
        assert await task == (Outcome.APPROVED, Yes("once"))


async def test_a_prompt_whose_caller_goes_away_is_withdrawn() -> None:
    prompts, asked = Prompts(), question()
    with prompts.watch("alice") as events:
        task = asyncio.create_task(asked_in(prompts, asked))
        assert await anext(events) is asked
        task.cancel()
        assert await anext(events) == Ended(asked.id, Outcome.WITHDRAWN)
        with pytest.raises(EntityNotFound):
            prompts.answer("alice", asked.id, Yes("once"))


async def test_who_comes_late_sees_what_waits() -> None:
    prompts, asked = Prompts(), question()
    with prompts.watch("alice"):
        task = asyncio.create_task(asked_in(prompts, asked))
        await asyncio.sleep(0)
        async with answering(prompts, "once") as seen:
            await task
        assert seen == [asked]


async def test_every_watcher_hears_the_end() -> None:
    prompts = Prompts()
    with prompts.watch("alice") as first, prompts.watch("alice") as second:
        await asked_in(prompts, question(timeout_seconds=0.02))
        for events in (first, second):
            assert isinstance(await anext(events), Question)
            assert isinstance(await anext(events), Ended)


async def test_a_watcher_that_does_not_keep_up_is_cut_off_and_the_others_go_on() -> None:
    prompts = Prompts()
    yes: list[GrantScope] = ["once"] * 600
    with prompts.watch("alice") as slow:
        async with answering(prompts, *yes) as seen:
            for _ in range(600):
                await asked_in(prompts, question())
            await until(lambda: len(seen) == 600)
        heard = [event async for event in slow]
    assert len(heard) == 1024


def notice(user: str = "alice", message: str = "Mail went out.") -> Notice:
    return Notice(user, "d-1", "s-1", "target.do", "asker", message)


async def test_a_notice_reaches_every_watcher_of_its_user_in_order_with_the_questions() -> None:
    prompts = Prompts()
    with prompts.watch("alice") as first, prompts.watch("alice") as second, prompts.watch("bob") as other:
        prompts.notify(notice(user="bob", message="For bob."))
        prompts.notify(notice())
        await asked_in(prompts, question(timeout_seconds=0.02))
        for events in (first, second):
            assert await anext(events) == notice()
            assert isinstance(await anext(events), Question)
        assert await anext(other) == notice(user="bob", message="For bob.")
    prompts.notify(notice())  # nobody watches


async def test_a_flood_of_notices_cuts_no_watcher_off_from_the_questions() -> None:
    prompts = Prompts()
    with prompts.watch("alice") as events:
        for number in range(5000):
            prompts.notify(notice(message=str(number)))
        await asked_in(prompts, question(timeout_seconds=0.02))
        heard = [await anext(events) for _ in range(258)]
        prompts.notify(notice(message="caught up"))
        assert await anext(events) == notice(message="caught up")
    assert heard[:256] == [notice(message=str(number)) for number in range(256)]
    assert [type(event) for event in heard[256:]] == [Question, Ended]


async def test_watchers_are_bounded_and_make_room() -> None:
    prompts = Prompts()
    for _ in range(20):
        with prompts.watch("alice"):
            pass
    managers = [prompts.watch("alice") for _ in range(16)]
    for manager in managers:
        manager.__enter__()
    with pytest.raises(QuotaExceeded), prompts.watch("alice"):
        pass
    with prompts.watch("bob"):
        pass
    for manager in managers:
        manager.__exit__(None, None, None)


async def test_any_number_of_waiting_prompts_can_be_watched() -> None:
    prompts = Prompts()
    with prompts.watch("alice"):
        tasks = [asyncio.create_task(asked_in(prompts, question())) for _ in range(1100)]
        await asyncio.sleep(0)
        with prompts.watch("alice") as events:
            assert isinstance(await anext(events), Question)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_the_same_question_is_shown_once_and_its_answer_is_for_all() -> None:
    prompts = Prompts()
    async with answering(prompts) as seen:
        tasks = [asyncio.create_task(asked_in(prompts, question())) for _ in range(5)]
        await until(lambda: seen)
        prompts.answer("alice", seen[0].id, Yes("once"))
        assert await asyncio.gather(*tasks) == [(Outcome.APPROVED, Yes("once"))] * 5
        assert len(seen) == 1


@pytest.mark.parametrize(
    "difference",
    [
        {"session": "s-2"},
        {"chain": ("user", "other", "asker")},
        {"function": "target.say"},
        {"arguments_json": '{"value":1}'},
        {"untrusted_pointers": ("/value",)},
        {"labels": Labels.of(["health"])},
        {"detail": "For another reason."},
    ],
)
async def test_questions_that_a_person_can_tell_apart_are_not_shared(difference: dict[str, Any]) -> None:
    prompts = Prompts()
    async with answering(prompts) as seen:
        tasks = [asyncio.create_task(asked_in(prompts, asked)) for asked in (question(), question(**difference))]
        await until(lambda: len(seen) == 2)
        prompts.answer("alice", seen[0].id, Yes("once"))
        prompts.answer("alice", seen[1].id, None)
        assert [outcome for outcome, _ in await asyncio.gather(*tasks)] == [Outcome.APPROVED, Outcome.REFUSED]


async def test_another_users_question_is_never_shared() -> None:
    prompts = Prompts()
    async with answering(prompts) as seen, answering(prompts, user="bob") as by_bob:
        tasks = [asyncio.create_task(asked_in(prompts, question(user=user))) for user in ("alice", "bob")]
        await until(lambda: seen and by_bob)
        prompts.answer("alice", seen[0].id, Yes("once"))
        prompts.answer("bob", by_bob[0].id, None)
        assert [outcome for outcome, _ in await asyncio.gather(*tasks)] == [Outcome.APPROVED, Outcome.REFUSED]


async def test_a_shared_question_waits_for_those_who_are_left() -> None:
    prompts = Prompts()
    async with answering(prompts) as seen:
        first, second = (asyncio.create_task(asked_in(prompts, question())) for _ in range(2))
        await until(lambda: seen)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        prompts.answer("alice", seen[0].id, Yes("once"))
        assert await second == (Outcome.APPROVED, Yes("once"))


async def test_after_its_end_the_same_question_is_shown_anew() -> None:
    prompts = Prompts()
    async with answering(prompts, None, "once") as seen:
        assert await asked_in(prompts, question()) == (Outcome.REFUSED, None)
        assert await asked_in(prompts, question()) == (Outcome.APPROVED, Yes("once"))
        assert len(seen) == 2


async def test_a_yes_becomes_one_grant_even_when_its_maker_goes_away() -> None:
    answer, made, go_on = Answer(Outcome.APPROVED, Yes("session")), [], asyncio.Event()

    async def make(yes: Yes) -> Any:
        made.append(yes.scope)
        await go_on.wait()
        return "the grant"

    first, second = (asyncio.create_task(answer.grant(make)) for _ in range(2))
    await until(lambda: made)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    go_on.set()
    assert (await second, made) == ("the grant", ["session"])  # type: ignore[comparison-overlap]


UNTIL = ScopeOffer("until", "for a while", latest=time.time() + 3600)


@pytest.mark.parametrize(
    ("yes", "problem"),
    [
        (Yes("always"), "scope: the prompt offers once, session, until, not always"),
        (Yes("until", expires=time.time() + 7200), "expire_time: not between now and the latest"),
        (Yes("until", expires=time.time() - 1), "expire_time: not between now and the latest"),
        (Yes("until", expires=float("nan")), "expire_time: not between now and the latest"),
        (Yes("session", expires=time.time() + 60), "expire_time: goes with the scope until, not with session"),
        (Yes("once", uses=2), "uses: at least 1, and not with the scope once"),
        (Yes("session", uses=0), "uses: at least 1"),
        (Yes("session", edited={"value": 1}), "edited arguments: /value: an edit may only narrow"),
    ],
)
async def test_a_yes_that_goes_further_than_the_prompt_is_none_and_it_goes_on_waiting(yes: Yes, problem: str) -> None:
    asked = question(offers=(ScopeOffer("once", "this"), ScopeOffer("session", "these"), UNTIL))
    prompts = Prompts()
    with prompts.watch("alice"):
        task = asyncio.create_task(asked_in(prompts, asked))
        await asyncio.sleep(0)
        with pytest.raises(RequestInvalid, match=problem):
            prompts.answer("alice", asked.id, yes)
        within = Yes("until", expires=time.time() + 60, uses=3, edited={})
        prompts.answer("alice", asked.id, within)
        assert await task == (Outcome.APPROVED, within)
