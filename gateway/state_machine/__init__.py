"""The state machines of payments, attempts and refunds, and the reviews of payments.

`transitions.py` has the allowed transitions. The functions are conditional updates that run in the caller's transaction
and answer whether the row changed. Lock order: payment, refund, order, and the saga's row last.
"""

from gateway.state_machine.attempts import (
    begin_next_attempt,
    get_next_attempt_number,
    record_duplicate_payment,
)
from gateway.state_machine.authorization_increments import (
    begin_increment,
    mark_increment_failed,
    mark_increment_succeeded,
)
from gateway.state_machine.captured_money import (
    mark_payment_succeeded,
    record_late_payment,
    record_partial_capture,
)
from gateway.state_machine.captures import (
    begin_capture,
    mark_capture_failed,
    mark_capture_succeeded,
)
from gateway.state_machine.dispute_bookings import book_disputes
from gateway.state_machine.dispute_responses import (
    begin_response,
    mark_response_failed,
    mark_response_submitted,
)
from gateway.state_machine.events import build_payment_event
from gateway.state_machine.payments import (
    activate_payment,
    close_unpaid_payment,
    mark_payment_authorized,
    mark_payment_processing,
    record_card,
    record_expiry_attempt,
    record_refused_card,
    reopen_payment,
    reset_expiry_attempts,
    schedule_payment_query,
)
from gateway.state_machine.refund_corrections import (
    change_refund_to_failed,
    change_refund_to_succeeded,
    end_refund_confirmation,
    schedule_refund_confirmation,
)
from gateway.state_machine.refund_failures import mark_refund_failed
from gateway.state_machine.refunds import (
    mark_refund_processing,
    mark_refund_succeeded,
    record_channel_refund,
    record_new_refund,
    schedule_refund_query,
)
from gateway.state_machine.reviews import clear_needs_review, open_review, resolve_reviews
from gateway.state_machine.suspense import (
    charge_suspense,
    hold_in_suspense,
    return_from_suspense,
    settle_suspense,
)

__all__ = [
    "activate_payment",
    "begin_capture",
    "begin_increment",
    "begin_next_attempt",
    "begin_response",
    "book_disputes",
    "build_payment_event",
    "change_refund_to_failed",
    "change_refund_to_succeeded",
    "charge_suspense",
    "clear_needs_review",
    "close_unpaid_payment",
    "end_refund_confirmation",
    "get_next_attempt_number",
    "hold_in_suspense",
    "mark_capture_failed",
    "mark_capture_succeeded",
    "mark_increment_failed",
    "mark_increment_succeeded",
    "mark_payment_authorized",
    "mark_payment_processing",
    "mark_payment_succeeded",
    "mark_refund_failed",
    "mark_refund_processing",
    "mark_refund_succeeded",
    "mark_response_failed",
    "mark_response_submitted",
    "open_review",
    "record_card",
    "record_channel_refund",
    "record_duplicate_payment",
    "record_expiry_attempt",
    "record_late_payment",
    "record_new_refund",
    "record_partial_capture",
    "record_refused_card",
    "reopen_payment",
    "reset_expiry_attempts",
    "resolve_reviews",
    "return_from_suspense",
    "schedule_payment_query",
    "schedule_refund_confirmation",
    "schedule_refund_query",
    "settle_suspense",
]
