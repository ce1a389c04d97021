"""The one table of errors, walked whole."""

from __future__ import annotations

import inspect
import re

import pytest
from google.rpc import error_details_pb2
from grpc import StatusCode
from spokegate.v1.error_pb2 import ErrorReason

from hub import errors
from hub.errors import DOMAIN, ERROR_TABLE, INTERNAL, Outside, SpokegateError, outside, reason_name, to_status

TREE = [
    item
    for item in vars(errors).values()
    if inspect.isclass(item) and issubclass(item, SpokegateError) and item.__module__ == errors.__name__
]
BASES = {item for item in TREE if any(item in other.__bases__ for other in TREE)}
ROWS = [*ERROR_TABLE.items()]

# DESIGN, "Wire protocol": what happened, and how it looks.
CONTRACT = {
    "REQUEST_INVALID": StatusCode.INVALID_ARGUMENT,
    "UNAUTHENTICATED": StatusCode.UNAUTHENTICATED,
    "POLICY_DENIED": StatusCode.PERMISSION_DENIED,
    "CONSENT_REFUSED": StatusCode.PERMISSION_DENIED,
    "OBLIGATION_UNFULFILLED": StatusCode.PERMISSION_DENIED,
    "CONSENT_REQUIRED": StatusCode.FAILED_PRECONDITION,
    "FUNCTION_NOT_FOUND": StatusCode.NOT_FOUND,
    "ENTITY_NOT_FOUND": StatusCode.NOT_FOUND,
    "PDP_UNAVAILABLE": StatusCode.UNAVAILABLE,
    "AUDIT_UNAVAILABLE": StatusCode.UNAVAILABLE,
    "SPOKE_UNAVAILABLE": StatusCode.UNAVAILABLE,
    "HOST_UNAVAILABLE": StatusCode.UNAVAILABLE,
    "MODEL_UNAVAILABLE": StatusCode.UNAVAILABLE,
    "PLAN_INVALID": StatusCode.INTERNAL,
    "DECISION_INVALID": StatusCode.INTERNAL,
    "QUOTA_EXCEEDED": StatusCode.RESOURCE_EXHAUSTED,
    "APP_FAILED": StatusCode.UNKNOWN,
    "DEADLINE_EXCEEDED": StatusCode.DEADLINE_EXCEEDED,
    "CANCELLED": StatusCode.CANCELLED,
    "UNIMPLEMENTED": StatusCode.UNIMPLEMENTED,
}


def test_every_error_of_the_tree_has_a_row_and_only_those_have() -> None:
    assert set(TREE) - BASES == ERROR_TABLE.keys()


def test_the_tree_is_drawn_as_it_is() -> None:
    drawn = set(re.findall(r"[├└]── (\w+)", errors.__doc__ or "")) | {"SpokegateError"}
    assert drawn == {item.__name__ for item in TREE}


def test_every_reason_belongs_to_exactly_one_row() -> None:
    used = [row.reason for row in (*ERROR_TABLE.values(), INTERNAL)]
    assert sorted(used) == sorted(set(ErrorReason.values()) - {ErrorReason.ERROR_REASON_UNSPECIFIED})


@pytest.mark.parametrize(("error", "row"), ROWS, ids=[item.__name__ for item, _ in ROWS])
def test_each_error_leaves_as_its_row_says_with_its_decision(error: type[SpokegateError], row: Outside) -> None:
    status = to_status(error(decision_id="d-1"))
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert CONTRACT[info.reason] is row.code
    assert (status.code, status.message) == (row.code.value[0], row.message)
    assert (info.domain, dict(info.metadata)) == (DOMAIN, {"decision_id": "d-1"})
    assert ErrorReason.Value(f"ERROR_REASON_{info.reason}") == row.reason


@pytest.mark.parametrize("error", [item for item, _ in ROWS if item is not errors.RequestInvalid])
def test_details_stay_inside(error: type[SpokegateError]) -> None:
    assert "secret" not in str(to_status(error("secret", decision_id="d-1")))


def test_what_is_wrong_with_a_request_is_said_to_who_made_it() -> None:
    assert to_status(errors.RequestInvalid("arguments: not JSON")).message == "arguments: not JSON"


def test_refusals_all_read_the_same() -> None:
    texts = {row.message for row in ERROR_TABLE.values() if row.code is StatusCode.PERMISSION_DENIED}
    assert texts == {"The request was refused."}


def test_no_decision_means_no_decision_id() -> None:
    info = error_details_pb2.ErrorInfo()
    to_status(errors.QuotaExceeded()).details[0].Unpack(info)
    assert dict(info.metadata) == {}


class _OfSomebodyElse(SpokegateError):
    pass


@pytest.mark.parametrize("error", [KeyError("secret"), SpokegateError("secret"), _OfSomebodyElse("secret")])
def test_what_is_not_in_the_table_is_internal_and_says_nothing(error: Exception) -> None:
    assert outside(error) is INTERNAL
    assert reason_name(error) == "INTERNAL"
    assert "secret" not in str(to_status(error))
