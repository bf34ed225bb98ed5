"""Changes of a settled refund, when the channel reports another outcome than the settled one."""

from datetime import timedelta
from typing import Any

from django.db.models.functions import Now

from gateway.models import (
    OPEN_REFUND_STATUSES,
    Refund,
    RefundStatus,
    ReviewCode,
)
from gateway.polling_intervals import FIRST_POLL_SECONDS
from gateway.review_reasons import ReviewMessage, ReviewReason, amount_value
from gateway.state_machine.events import emit_refund_event
from gateway.state_machine.ledger_postings import post_late_refund_success, post_reversed_refund
from gateway.state_machine.refund_failures import review_failed_automatic_refund
from gateway.state_machine.refunds import add_to_totals
from gateway.state_machine.reviews import open_review, resolve_reviews
from gateway.state_machine.suspense import hold_in_suspense, settle_suspense


def change_refund_to_failed(*, refund: Refund, code: str, message: str) -> bool:
    """The channel took a succeeded refund back (the customer's bank returned the money): the amount can be refunded
    again. The channel is queried once more, in case its reports overtook each other. The caller holds the payment's
    lock."""
    moved = _change_outcome(
        refund, RefundStatus.SUCCEEDED, RefundStatus.FAILED, failure_code=code, failure_message=message
    )
    if moved:
        add_to_totals(refund, refunded_minor=-refund.amount_minor)
        post_reversed_refund(refund)
        refund.refresh_from_db()
        emit_refund_event("refund.failed", refund)
        review_failed_automatic_refund(refund, message or code)
        settle_suspense(payment=refund.payment)
    return moved


def change_refund_to_succeeded(*, refund: Refund, channel_refund_no: str) -> bool:
    """The channel refunded a failed refund after all. As much of it is recorded as is left to refund; if that is not
    the whole amount, the status stays, the rest is in suspense, and the payment needs review. The caller holds the
    payment's lock.

    False when it was recorded before.
    """
    if refund.late_refunded_minor:
        return False
    left_minor = (
        refund.duplicate_attempt.unbooked_duplicate_minor
        if refund.duplicate_attempt
        else refund.payment.unbooked_minor
    )
    number = channel_refund_no or refund.channel_refund_no
    if left_minor < refund.amount_minor:
        return _record_part(refund, left_minor, number)
    moved = _change_outcome(
        refund, RefundStatus.FAILED, RefundStatus.SUCCEEDED, channel_refund_no=number, failure_code=""
    )
    if moved:
        add_to_totals(refund, refunded_minor=refund.amount_minor)
        post_late_refund_success(refund, amount_minor=refund.amount_minor)
        refund.refresh_from_db()
        emit_refund_event("refund.succeeded", refund)
        resolve_reviews(
            payment=refund.payment,
            codes=(ReviewCode.REFUND_FAILED, ReviewCode.REFUND_OUTCOME),
            subject=refund.refund_no,
            resolution="the refund succeeded after all",
            actor="channel",
        )
    return moved


def schedule_refund_confirmation(*, refund: Refund) -> bool:
    """Makes the poller query a settled refund: a report that contradicts its outcome may be an old one."""
    return bool(
        Refund.objects.filter(id=refund.id, next_check_at=None).update(
            next_check_at=Now(), check_count=0, updated_at=Now()
        )
    )


def end_refund_confirmation(*, refund: Refund) -> None:
    """A query has confirmed the settled outcome: no further query."""
    Refund.objects.filter(id=refund.id, next_check_at__isnull=False).exclude(
        status__in=OPEN_REFUND_STATUSES
    ).update(next_check_at=None)


def _record_part(refund: Refund, part_minor: int, channel_refund_no: str) -> bool:
    """Nothing is left to refund when `part_minor` is 0."""
    recorded = (
        Refund.objects.filter(id=refund.id, status=RefundStatus.FAILED)
        .exclude(previous_status=RefundStatus.FAILED)
        .update(
            previous_status=RefundStatus.FAILED,
            contradicted_at=Now(),
            late_refunded_minor=part_minor,
            channel_refund_no=channel_refund_no,
            updated_at=Now(),
        )
    )
    if recorded:
        if part_minor:
            add_to_totals(refund, refunded_minor=part_minor)
            post_late_refund_success(refund, amount_minor=part_minor)
        refund.refresh_from_db()
        emit_refund_event("refund.late_success", refund)
        open_review(
            payment=refund.payment,
            code=ReviewCode.REFUND_OUTCOME,
            subject=refund.refund_no,
            reason=ReviewReason(
                ReviewMessage.REFUND_AFTER_ALL,
                {
                    "refund_no": refund.refund_no,
                    "excess": amount_value(refund.amount_minor - part_minor, refund.currency),
                },
            ),
        )
        hold_in_suspense(
            payment=refund.payment,
            attempt=refund.duplicate_attempt,
            channel_refund_no=channel_refund_no or refund.refund_no,
            amount_minor=refund.amount_minor - part_minor,
            currency=refund.currency,
            refund=refund,
        )
    return bool(recorded)


def _change_outcome(refund: Refund, source: RefundStatus, target: RefundStatus, **changes: Any) -> bool:
    moved = Refund.objects.filter(id=refund.id, status=source).update(
        status=target,
        previous_status=source,
        contradicted_at=Now(),
        settled_at=Now(),
        next_check_at=Now() + timedelta(seconds=FIRST_POLL_SECONDS),
        check_count=0,
        updated_at=Now(),
        **changes,
    )
    return bool(moved)
