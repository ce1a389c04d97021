from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest

from spoke_runner.sdk import Refused
from tests.unit.apps.fakes import FakeCall, declared, load

metro_hail, quick_ride = load("metro_hail"), load("quick_ride")
RIDE = {"pickup": "Main Street", "destination": "Elm Avenue"}


async def test_the_fares_are_the_case_studys(tmp_path: Path) -> None:
    call = FakeCall(tmp_path)
    assert await metro_hail.estimate_fare(call, **RIDE) == {"company": "metro_hail", "fare": 57.0}
    assert await quick_ride.estimate_fare(call, **RIDE) == {"company": "quick_ride", "fare": 51.8}


async def test_a_comparison_asks_the_competitor_and_keeps_its_number(tmp_path: Path) -> None:
    call = FakeCall(tmp_path, metro_hail_estimate_fare=lambda **ride: {"company": "metro_hail", "fare": 1.5})
    comparison = await quick_ride.compare_fares(call, **RIDE)
    assert comparison == {
        "fares": {"quick_ride": 51.8, "metro_hail": 1.5},
        "cheapest": "metro_hail",
        "missing": {},
    }
    assert call.asked == [("metro_hail.estimate_fare", RIDE)]
    assert declared("quick_ride.compare_fares").result_validator.is_valid(comparison)


async def test_a_refused_comparison_says_what_is_missing_and_why(tmp_path: Path) -> None:
    def refuse(**_: object) -> NoReturn:
        raise Refused("POLICY_DENIED", decision_id="d-1")

    comparison = await quick_ride.compare_fares(FakeCall(tmp_path, metro_hail_estimate_fare=refuse), **RIDE)
    assert comparison == {
        "fares": {"quick_ride": 51.8},
        "cheapest": "quick_ride",
        "missing": {"metro_hail": "POLICY_DENIED"},
    }
    assert declared("quick_ride.compare_fares").result_validator.is_valid(comparison)


@pytest.mark.parametrize(
    "function", ["metro_hail.estimate_fare", "quick_ride.estimate_fare", "quick_ride.compare_fares"]
)
def test_places_are_named_and_not_endless(function: str) -> None:
    valid = declared(function).arguments_validator.is_valid
    assert valid(RIDE)
    assert not valid({**RIDE, "pickup": ""})
    assert not valid({**RIDE, "pickup": "x" * 201})
    assert not valid({"pickup": "a"})
