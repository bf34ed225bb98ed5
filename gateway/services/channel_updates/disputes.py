"""Applies what a channel reports about a dispute: stores it, books it, tells the merchant, and opens a review.

A dispute only goes forward: to a later stage, or within a stage towards its end. The disputed amount cannot be refunded
as well; what exceeds the payment is in suspense (ADR 49).
"""

from typing import Any

import structlog
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from channels import metrics
from channels.base import ChannelDispute, DisputeState
from common.ids import public_number
from events.outbox import Event, append_event
from gateway import representation, selectors, state_machine
from gateway.models import (
    CLOSED_DISPUTE_STATUSES,
    Dispute,
    DisputeReason,
    DisputeStage,
    DisputeStatus,
    Payment,
    PaymentAttempt,
    ReviewCode,
    UpdateEffect,
)
from gateway.review_reasons import ReviewMessage, ReviewReason, amount_value, status_value
from gateway.services.channel_updates.references import is_from_own_channel
from gateway.update_source import UpdateSource

log = structlog.get_logger(__name__)

_STATUSES = {
    DisputeState.NEEDS_RESPONSE: DisputeStatus.NEEDS_RESPONSE,
    DisputeState.UNDER_REVIEW: DisputeStatus.UNDER_REVIEW,
    DisputeState.WON: DisputeStatus.WON,
    DisputeState.LOST: DisputeStatus.LOST,
    DisputeState.CLOSED: DisputeStatus.CLOSED,
}
_STAGES = tuple(DisputeStage)


def apply_dispute_update(
    *, update: ChannelDispute, source: UpdateSource, payment_reference: str
) -> UpdateEffect:
    """Applies the update that `source` reports, in the caller's transaction.

    Updates may arrive in any order and more than once. A closed dispute is not opened again. A dispute of an unknown
    payment is only logged and counted: its event is applied when it comes again and the payment is known by then.
    """
    payment = selectors.lock_payment_by_reference(payment_reference) if payment_reference else None
    attempt = selectors.find_earlier_attempt(payment, payment_reference) if payment else None
    if payment is None or not is_from_own_channel(source, attempt or payment, payment.environment):
        log.warning("payment.disputed", reference="", status=update.state.value, reason=update.channel_reason)
        _count(source.channel, update.environment)
        return UpdateEffect.UNKNOWN_REFERENCE
    known = (
        Dispute.objects.select_for_update()
        .filter(
            channel=source.channel,
            channel_account_id=source.account_id,
            channel_dispute_no=update.channel_dispute_no,
        )
        .first()
    )
    if known is None:
        _create_dispute(payment, attempt, update, source)
        return UpdateEffect.DISPUTED
    known.payment = payment
    return UpdateEffect.DISPUTED if _change_dispute(known, update) else UpdateEffect.NOTHING_NEW


def _create_dispute(
    payment: Payment, attempt: PaymentAttempt | None, update: ChannelDispute, source: UpdateSource
) -> None:
    dispute = Dispute(
        dispute_no=public_number("DSP", timezone.now().date()),
        payment=payment,
        attempt=attempt,
        merchant_id=payment.merchant_id,
        environment=payment.environment,
        channel=source.channel,
        channel_account_id=source.account_id,
        channel_dispute_no=update.channel_dispute_no,
        currency=update.currency,
        **_reported_values(update),
    )
    dispute.closed_at = Now() if not dispute.is_open else None
    dispute.save(force_insert=True)
    _record_change(dispute, "dispute.created", withdrawn_before_minor=0)
    if not dispute.is_open:
        _record_change(dispute, f"dispute.{dispute.status}", dispute.withdrawn_minor)


def _change_dispute(dispute: Dispute, update: ChannelDispute) -> bool:
    reported = _reported_values(update)
    was_open, withdrawn_before_minor = dispute.is_open, dispute.withdrawn_minor
    is_unchanged = all(getattr(dispute, name) == value for name, value in reported.items())
    if is_unchanged or not _goes_forward(dispute, update):
        return False
    source = {"status": dispute.status, "stage": dispute.stage}
    is_closed = reported["status"] in CLOSED_DISPUTE_STATUSES
    closed_at = (Now() if was_open else dispute.closed_at) if is_closed else None
    moved = Dispute.objects.filter(id=dispute.id, **source).update(
        **reported, closed_at=closed_at, updated_at=Now()
    )
    if not moved:
        return False
    for name, value in reported.items():
        setattr(dispute, name, value)
    event_type = "dispute.updated" if dispute.is_open else f"dispute.{dispute.status}"
    _record_change(dispute, event_type, withdrawn_before_minor)
    return True


def _goes_forward(dispute: Dispute, update: ChannelDispute) -> bool:
    """Whether the update is later than what we know. Channels say no time of a change, so the stage decides, then the
    status. A channel that asks for another response within a stage sets a later due date."""
    stage, known_stage = _STAGES.index(update.stage), _STAGES.index(DisputeStage(dispute.stage))
    if stage != known_stage:
        return stage > known_stage
    status = _STATUSES[update.state]
    if not dispute.is_open:
        return status in CLOSED_DISPUTE_STATUSES
    if (dispute.status, status) == (DisputeStatus.UNDER_REVIEW, DisputeStatus.NEEDS_RESPONSE):
        due, known_due = update.evidence_due_by, dispute.evidence_due_by
        return due is not None and (known_due is None or due > known_due)
    return True


def _reported_values(update: ChannelDispute) -> dict[str, Any]:
    return {
        "amount_minor": update.amount_minor,
        "reason": DisputeReason(update.reason.value),
        "channel_reason": update.channel_reason[:100],
        "status": _STATUSES[update.state],
        "stage": DisputeStage(update.stage.value),
        "evidence_due_by": update.evidence_due_by,
    }


def _record_change(dispute: Dispute, event_type: str, withdrawn_before_minor: int) -> None:
    """Books what the bank has taken, emits the event, and opens a review when the dispute begins or ends."""
    payment = dispute.payment
    state_machine.book_disputes(
        payment=payment, withdrawn_before={dispute.dispute_no: withdrawn_before_minor}
    )
    state_machine.settle_suspense(payment=payment)
    dispute.refresh_from_db()
    dispute.payment = payment
    append_event(
        Event(
            type=event_type,
            ordering_key=payment.payment_no,
            merchant_id=dispute.merchant_id,
            environment=dispute.environment,
            subject_id=dispute.id,
            data=representation.dispute_body(dispute),
            callback_url=payment.callback_url,
        )
    )
    log.warning(
        event_type, payment_no=payment.payment_no, dispute_no=dispute.dispute_no, status=dispute.status
    )
    if event_type != "dispute.updated":
        state_machine.open_review(
            payment=payment,
            code=ReviewCode.DISPUTE,
            subject=dispute.dispute_no,
            reason=ReviewReason(
                ReviewMessage.DISPUTED,
                {
                    "channel": dispute.channel,
                    "reason": status_value(DisputeReason(dispute.reason)),
                    "amount": amount_value(dispute.amount_minor, dispute.currency),
                    "status": status_value(DisputeStatus(dispute.status)),
                },
            ),
        )
        _count(dispute.channel, dispute.environment)


def _count(channel: str, environment: str) -> None:
    transaction.on_commit(metrics.DISPUTES.labels(channel, environment).inc)
