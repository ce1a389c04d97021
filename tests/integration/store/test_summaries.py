"""Histories stay within their budget: by a model's summary off the path of who speaks, or without a model by a cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pytest

from hub.errors import ModelUnavailable, PolicyDenied
from hub.mediation.caller import SessionState
from hub.mediation.labels import NONE, Labels
from hub.mediation.memory import Memory, MemoryLimits, Recollection, Writing
from hub.permit import Issuer
from hub.sessions.memory import Summaries, Summarise
from hub.store.audit import AuditLog
from hub.store.database import open_database
from hub.store.memory import MemoryStore

LIMITS = MemoryLimits(history_characters=100, summary_characters=80)
MAIL = Labels.of(integrity=["untrusted:email"])
HEALTH = Labels.of(confidentiality=["health"])


# In the mediator's place.
ISSUERS: WeakKeyDictionary[Memory, Issuer[Any]] = WeakKeyDictionary()


class Model:
    """Answers each time with the next text, or raises it; keeps what it was asked."""

    def __init__(self, *answers: str | Exception) -> None:
        self.asked: list[tuple[str, str, Labels, str]] = []
        self._answers = list(answers)

    async def __call__(self, session: SessionState, app: str, labels: Labels, instructions: str, text: str) -> str:
        self.asked.append((session.user, app, labels, text))
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@asynccontextmanager
async def remembering(
    root: Path, model: Summarise | None, *, prune: bool = True, seconds: float = 5.0
) -> AsyncIterator[tuple[Memory, Summaries]]:
    engine = open_database(root / "hub.db")
    async with AuditLog(engine) as audit:
        store = MemoryStore(engine, audit)
        memory = Memory(store, LIMITS if prune else MemoryLimits(10**9, 10**9))
        ISSUERS[memory] = memory.take_issuer()
        async with Summaries(store, model, LIMITS, seconds=seconds) as summaries:
            if prune:
                memory.on_said = summaries.look
            yield memory, summaries
    engine.dispose()


async def say(memory: Memory, text: str, labels: Labels = NONE, *, user: str = "alice", role: str = "user") -> None:
    writing = Writing(SessionState(id="s-1", user=user), "diary", {"role": role, "text": text}, labels)
    await memory.write(ISSUERS[memory].issue(decision_id="d-1", what=writing))


async def told(memory: Memory, user: str = "alice") -> Recollection:
    return await memory.look(user, "diary", {"history": True})


async def test_what_outgrows_its_budget_is_summarised_with_the_labels_of_all_that_was_read(tmp_path: Path) -> None:
    model = Model("Alice likes cats.", "Alice likes cats and dogs.")
    async with remembering(tmp_path, model) as (memory, summaries):
        await say(memory, "a" * 60, MAIL)
        assert model.asked == []
        await say(memory, "b" * 45, HEALTH, role="assistant")
        await summaries.settled()
        first = await told(memory)
        await say(memory, "c" * 60)
        await summaries.settled()
        second = await told(memory)
    assert (first.summary, [turn.text for turn in first.turns]) == ("Alice likes cats.", ["b" * 45])
    assert first.labels == MAIL | HEALTH
    # The second time it reads its own summary, and what that carries stays.
    assert model.asked == [
        ("alice", "diary", MAIL, f"Summary so far:\n(none)\n\nConversation:\nuser: {'a' * 60}"),
        (
            "alice",
            "diary",
            MAIL | HEALTH,
            f"Summary so far:\nAlice likes cats.\n\nConversation:\nassistant: {'b' * 45}\nuser: {'c' * 60}",
        ),
    ]
    assert (second.summary, second.turns, second.labels) == ("Alice likes cats and dogs.", (), MAIL | HEALTH)


@pytest.mark.parametrize("answer", [ModelUnavailable("down"), PolicyDenied("not this model"), "", "  \n "])
async def test_without_a_model_that_answers_the_beginnings_stand_for_the_turns(
    tmp_path: Path, answer: str | Exception
) -> None:
    async with remembering(tmp_path, Model(answer)) as (memory, summaries):
        await say(memory, "one\n" + "a" * 60, MAIL)
        await say(memory, "b" * 45)
        await summaries.settled()
        found = await told(memory)
    assert (found.summary, [turn.text for turn in found.turns]) == ("user: one " + "a" * 60, ["b" * 45])
    assert found.labels == MAIL


async def test_a_model_that_hangs_holds_up_nobody_who_speaks(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def hangs(session: SessionState, app: str, labels: Labels, instructions: str, text: str) -> str:
        asked.set()
        await asyncio.Event().wait()
        return ""

    async with remembering(tmp_path, hangs, seconds=0.3) as (memory, summaries):
        await say(memory, "a" * 60)
        await say(memory, "b" * 60)
        await asked.wait()
        # It is still at it: what is told is bounded all the same.
        assert [turn.text for turn in (await told(memory)).turns] == ["b" * 60]
        await say(memory, "c" * 20)
        await summaries.settled()
        found = await told(memory)
    assert [turn.text for turn in found.turns] == ["c" * 20]
    assert found.summary.startswith("user: b")


@pytest.mark.parametrize("answered", [True, False])
async def test_what_is_told_does_not_grow_with_what_was_said(tmp_path: Path, answered: bool) -> None:
    model = Model(*["s" * 500] * 100) if answered else None
    async with remembering(tmp_path, model) as (memory, summaries):
        sizes = await _sizes(memory, summaries, lambda n: f"{n}: " + "x" * 40)
        found = await told(memory)
    assert max(sizes) <= LIMITS.history_characters + LIMITS.summary_characters
    assert found.turns[-1].text.startswith("29: ")
    if not answered:
        assert "x" in found.summary


async def test_what_is_told_grows_without_bound_where_nothing_is_pruned(tmp_path: Path) -> None:
    async with remembering(tmp_path, None, prune=False) as (memory, summaries):
        sizes = await _sizes(memory, summaries, lambda n: f"{n}: " + "x" * 40)
    assert sizes == sorted(sizes)
    assert sizes[-1] > 30 * 40


async def _sizes(memory: Memory, summaries: Summaries, text: Callable[[int], str]) -> list[int]:
    sizes = []
    for number in range(30):
        await say(memory, text(number))
        await summaries.settled()
        found = await told(memory)
        sizes.append(len(found.summary) + sum(len(turn.text) for turn in found.turns))
    return sizes


async def test_one_turn_larger_than_the_budget_is_told_by_its_beginning_until_it_is_summarised(tmp_path: Path) -> None:
    async with remembering(tmp_path, None) as (memory, summaries):
        await say(memory, "y" * 1000)
        assert [turn.text for turn in (await told(memory)).turns] == ["y" * 100]
        await summaries.settled()
        found = await told(memory)
    assert (found.turns, found.summary) == ((), "user: " + "y" * 74)
