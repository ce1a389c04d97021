"""Every error that can leave the hub, and the one table of how each looks outside.

The tree::

    SpokegateError                    base; carries a decision id once one is minted
    ├── RequestInvalid                malformed, or breaks a schema; its text is about the caller's own input
    ├── Unauthenticated               the connection carries no identity
    ├── Refused                       the caller may not
    │   ├── PolicyDenied              the policies say deny
    │   ├── ConsentRefused            a person said no
    │   ├── ObligationUnfulfilled     an obligation of the decision cannot be met
    │   └── ConsentRequired           a person would have to answer, and nobody did
    ├── FunctionNotFound              unknown, or not to be discovered by this caller
    ├── EntityNotFound                session, prompt, grant or decision
    ├── Unavailable                   a part of the system did not answer
    │   ├── PdpUnavailable
    │   ├── AuditUnavailable
    │   ├── SpokeUnavailable
    │   ├── HostUnavailable           egress: cannot be reached, or may not be
    │   └── ModelUnavailable          no model, or its provider did not answer
    ├── DecisionInvalid               the policies' answer is undefined or not of the contract
    ├── PlanInvalid                   the model made no plan that could be used
    ├── QuotaExceeded                 size, rate, hops, calls
    ├── AppFailed                     the target app failed or broke the protocol
    ├── DeadlineExceeded              the call took too long
    ├── Cancelled                     the caller went away
    └── Unimplemented                 not offered by this hub

`str(error)` is for the hub's own log and may hold details. What a caller sees is `public_message(error)`: one fixed
text for every reason, whatever the rule, because varied texts are an oracle. The one exception is RequestInvalid,
whose text speaks only of the caller's own input. An error that is not in the tree becomes INTERNAL.
"""

from __future__ import annotations

from typing import NamedTuple

from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode
from spokegate.v1.error_pb2 import ErrorReason

DOMAIN = "spokegate.dev"


class SpokegateError(Exception):
    """Something that the hub refuses or cannot do.

    Args:
        detail: What happened, for the hub's log; never shown to the caller.
        decision_id: The decision that it belongs to, where one was minted.
    """

    def __init__(self, detail: str = "", *, decision_id: str = "") -> None:
        super().__init__(detail)
        self.decision_id = decision_id


class RequestInvalid(SpokegateError):
    """The request is malformed or breaks a schema."""


class Unauthenticated(SpokegateError):
    """The connection carries no identity."""


class Refused(SpokegateError):
    """The caller may not do what it asked for."""


class PolicyDenied(Refused):
    """The policies say deny."""


class ConsentRefused(Refused):
    """A person was asked and said no."""


class ObligationUnfulfilled(Refused):
    """An obligation of the decision is unknown or cannot be met."""


class ConsentRequired(Refused):
    """A person would have to answer, and nobody did."""


class FunctionNotFound(SpokegateError):
    """The function does not exist, or this caller may not discover it."""


class EntityNotFound(SpokegateError):
    """The session, prompt, grant or decision does not exist or is another user's."""


class Unavailable(SpokegateError):
    """A part of the system did not answer."""


class PdpUnavailable(Unavailable):
    """OPA did not answer in time."""


class AuditUnavailable(Unavailable):
    """The audit log could not be written."""


class SpokeUnavailable(Unavailable):
    """The spoke could not be started, or went away during the call."""


class HostUnavailable(Unavailable):
    """A host outside cannot be resolved or connected to, is at an address that is not public, or broke off."""


class ModelUnavailable(Unavailable):
    """The hub has no model, or its provider did not answer, or refused."""


class PlanInvalid(SpokegateError):
    """The model made no plan that could be used, asked twice."""


class DecisionInvalid(SpokegateError):
    """The policies' answer is undefined or not of the contract."""


class QuotaExceeded(SpokegateError):
    """A limit on size, rate, hops or calls was reached."""


class AppFailed(SpokegateError):
    """The target app failed, broke the protocol, or returned what its schema forbids."""


class DeadlineExceeded(SpokegateError):
    """The call took longer than it may."""


class Cancelled(SpokegateError):
    """The caller went away."""


class Unimplemented(SpokegateError):
    """This hub does not offer the operation."""


class Outside(NamedTuple):
    """How an error looks to a caller."""

    code: StatusCode
    reason: ErrorReason.ValueType
    message: str


ERROR_TABLE: dict[type[SpokegateError], Outside] = {
    RequestInvalid: Outside(
        StatusCode.INVALID_ARGUMENT, ErrorReason.ERROR_REASON_REQUEST_INVALID, "The request is invalid."
    ),
    Unauthenticated: Outside(
        StatusCode.UNAUTHENTICATED, ErrorReason.ERROR_REASON_UNAUTHENTICATED, "The connection carries no identity."
    ),
    PolicyDenied: Outside(
        StatusCode.PERMISSION_DENIED, ErrorReason.ERROR_REASON_POLICY_DENIED, "The request was refused."
    ),
    ConsentRefused: Outside(
        StatusCode.PERMISSION_DENIED, ErrorReason.ERROR_REASON_CONSENT_REFUSED, "The request was refused."
    ),
    ObligationUnfulfilled: Outside(
        StatusCode.PERMISSION_DENIED, ErrorReason.ERROR_REASON_OBLIGATION_UNFULFILLED, "The request was refused."
    ),
    ConsentRequired: Outside(
        StatusCode.FAILED_PRECONDITION,
        ErrorReason.ERROR_REASON_CONSENT_REQUIRED,
        "A person has to agree, and nobody answered.",
    ),
    FunctionNotFound: Outside(
        StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_FUNCTION_NOT_FOUND, "There is no such function."
    ),
    EntityNotFound: Outside(StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_ENTITY_NOT_FOUND, "There is no such thing."),
    PdpUnavailable: Outside(
        StatusCode.UNAVAILABLE, ErrorReason.ERROR_REASON_PDP_UNAVAILABLE, "No decision can be had now."
    ),
    AuditUnavailable: Outside(
        StatusCode.UNAVAILABLE, ErrorReason.ERROR_REASON_AUDIT_UNAVAILABLE, "The decision cannot be recorded now."
    ),
    SpokeUnavailable: Outside(
        StatusCode.UNAVAILABLE, ErrorReason.ERROR_REASON_SPOKE_UNAVAILABLE, "The app is not available."
    ),
    HostUnavailable: Outside(
        StatusCode.UNAVAILABLE, ErrorReason.ERROR_REASON_HOST_UNAVAILABLE, "The host is not available."
    ),
    ModelUnavailable: Outside(
        StatusCode.UNAVAILABLE, ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE, "The model is not available."
    ),
    PlanInvalid: Outside(
        StatusCode.INTERNAL, ErrorReason.ERROR_REASON_PLAN_INVALID, "No plan could be made for this wish."
    ),
    DecisionInvalid: Outside(
        StatusCode.INTERNAL, ErrorReason.ERROR_REASON_DECISION_INVALID, "The policies gave no valid decision."
    ),
    QuotaExceeded: Outside(
        StatusCode.RESOURCE_EXHAUSTED, ErrorReason.ERROR_REASON_QUOTA_EXCEEDED, "A limit was reached."
    ),
    AppFailed: Outside(StatusCode.UNKNOWN, ErrorReason.ERROR_REASON_APP_FAILED, "The app failed."),
    DeadlineExceeded: Outside(
        StatusCode.DEADLINE_EXCEEDED, ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED, "The call took too long."
    ),
    Cancelled: Outside(StatusCode.CANCELLED, ErrorReason.ERROR_REASON_CANCELLED, "The call was cancelled."),
    Unimplemented: Outside(
        StatusCode.UNIMPLEMENTED, ErrorReason.ERROR_REASON_UNIMPLEMENTED, "This hub does not offer that."
    ),
}

INTERNAL = Outside(StatusCode.INTERNAL, ErrorReason.ERROR_REASON_INTERNAL, "The hub failed.")


def outside(error: BaseException) -> Outside:
    """Return how an error looks to a caller; INTERNAL for whatever is not in the tree."""
    return ERROR_TABLE.get(type(error), INTERNAL) if isinstance(error, SpokegateError) else INTERNAL


def reason_name(error: BaseException) -> str:
    """Return the error's reason as ErrorInfo and the audit log spell it, such as `POLICY_DENIED`."""
    return ErrorReason.Name(outside(error).reason).removeprefix("ERROR_REASON_")


def public_message(error: BaseException) -> str:
    """Return the text that a caller may see."""
    if isinstance(error, RequestInvalid) and str(error):
        return str(error)
    return outside(error).message


def to_status(error: BaseException) -> status_pb2.Status:
    """Return the google.rpc.Status of an error, with ErrorInfo{reason, domain, metadata["decision_id"]}."""
    row = outside(error)
    decision_id = error.decision_id if isinstance(error, SpokegateError) else ""
    info = error_details_pb2.ErrorInfo(
        reason=reason_name(error), domain=DOMAIN, metadata={"decision_id": decision_id} if decision_id else None
    )
    detail = any_pb2.Any()
    detail.Pack(info)
    code: int = row.code.value[0]

    return status_pb2.Status(code=code, message=public_message(error), details=[detail])
