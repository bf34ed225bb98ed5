"""The admin pages of payments, refunds and channel events. They are read-only: only services change payments."""

from gateway.admin.captures import AuthorizationIncrementAdmin, CaptureAdmin
from gateway.admin.channel_events import ChannelEventAdmin
from gateway.admin.dispute_responses import DisputeResponseAdmin, EvidenceFileAdmin, SuspenseItemAdmin
from gateway.admin.disputes import DisputeAdmin
from gateway.admin.payments import PaymentAdmin, PaymentAttemptAdmin, PaymentReviewAdmin
from gateway.admin.refunds import RefundAdmin
from gateway.admin.routing_rules import RoutingRuleAdmin

__all__ = [
    "AuthorizationIncrementAdmin",
    "CaptureAdmin",
    "ChannelEventAdmin",
    "DisputeAdmin",
    "DisputeResponseAdmin",
    "EvidenceFileAdmin",
    "PaymentAdmin",
    "PaymentAttemptAdmin",
    "PaymentReviewAdmin",
    "RefundAdmin",
    "RoutingRuleAdmin",
    "SuspenseItemAdmin",
]
