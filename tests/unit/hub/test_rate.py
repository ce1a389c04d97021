"""The count of the last minute: never too few, never for ever, in bounded memory."""

from __future__ import annotations

import random

from hub.mediation.rate import Rate


def test_a_call_counts_for_a_minute_and_no_longer_than_two_seconds_more() -> None:
    rate = Rate()
    rate.count(10.9)
    assert [rate.within_a_minute(now) for now in (10.9, 70.0, 70.9)] == [1, 1, 1]
    assert rate.within_a_minute(72.0) == 0


def test_it_is_never_less_than_the_calls_of_the_minute_before() -> None:
    noise = random.Random(7)  # noqa: S311  # arrivals, not secrets
    rate, times, now = Rate(), list[float](), 0.0
    for _ in range(2000):
        now += noise.expovariate(3)
        rate.count(now)
        times.append(now)
        exact = sum(now - 60 <= time for time in times)
        slack = sum(now - 62 <= time for time in times)
        assert exact <= rate.within_a_minute(now) <= slack


def test_a_storm_takes_no_more_memory_than_a_call_each_second() -> None:
    rate = Rate()
    for number in range(100_000):
        rate.count(number / 1000)
    assert len(rate._by_second) <= 62
    assert 60_000 <= rate.within_a_minute(99.999) <= 61_000
