"""Tables of the gateway, one subject to a module."""

from gateway.models.attempt import (
    OPEN_ATTEMPT_STATUSES,
    AttemptStatus,
    PaymentAttempt,
    build_attempt_reference,
    read_attempt_reference,
    reduce_application_fee,
)
from gateway.models.authorization_increment import AuthorizationIncrement, IncrementStatus
from gateway.models.capture import Capture, CaptureStatus
from gateway.models.channel_event import ChannelEvent, UpdateEffect
from gateway.models.dispute import (
    CLOSED_DISPUTE_STATUSES,
    Dispute,
    DisputeReason,
    DisputeStage,
    DisputeStatus,
)
from gateway.models.dispute_response import (
    UNFINISHED_RESPONSES,
    DisputeResponse,
    EvidenceFile,
    ResponseKind,
    ResponseStatus,
)
from gateway.models.payment import (
    CLOSED_UNPAID_STATUSES,
    MAX_EXPIRY_ATTEMPTS,
    OPEN_PAYMENT_STATUSES,
    CaptureMethod,
    Payment,
    PaymentStatus,
)
from gateway.models.refund import OPEN_REFUND_STATUSES, Refund, RefundOrigin, RefundStatus
from gateway.models.review import PaymentReview, ReviewCode
from gateway.models.routing_rule import RoutingRule, RoutingStrategy
from gateway.models.suspense import SuspenseItem, SuspenseStatus

__all__ = [
    "CLOSED_DISPUTE_STATUSES",
    "CLOSED_UNPAID_STATUSES",
    "MAX_EXPIRY_ATTEMPTS",
    "OPEN_ATTEMPT_STATUSES",
    "OPEN_PAYMENT_STATUSES",
    "OPEN_REFUND_STATUSES",
    "UNFINISHED_RESPONSES",
    "AttemptStatus",
    "AuthorizationIncrement",
    "Capture",
    "CaptureMethod",
    "CaptureStatus",
    "ChannelEvent",
    "Dispute",
    "DisputeReason",
    "DisputeResponse",
    "DisputeStage",
    "DisputeStatus",
    "EvidenceFile",
    "IncrementStatus",
    "Payment",
    "PaymentAttempt",
    "PaymentReview",
    "PaymentStatus",
    "Refund",
    "RefundOrigin",
    "RefundStatus",
    "ResponseKind",
    "ResponseStatus",
    "ReviewCode",
    "RoutingRule",
    "RoutingStrategy",
    "SuspenseItem",
    "SuspenseStatus",
    "UpdateEffect",
    "build_attempt_reference",
    "read_attempt_reference",
    "reduce_application_fee",
]
