"""Applies what a channel reports about a dispute: stores it, tells the merchant, and opens a review.

The dispute itself is handled at the channel. The disputed amount cannot be refunded as well.
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
    DisputeStatus,
    Payment,
    PaymentAttempt,
    ReviewCode,
    UpdateEffect,
)
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


def apply_dispute_update(
    *, update: ChannelDispute, source: UpdateSource, payment_reference: str
) -> UpdateEffect:
    """Applies the update that `source` reports, in the caller's transaction.

    Updates may arrive in any order and more than once. A closed dispute is not opened again. A dispute of an unknown
    payment is only logged and counted.
    """
    payment = selectors.lock_payment_by_reference(payment_reference) if payment_reference else None
    attempt = selectors.find_earlier_attempt(payment, payment_reference) if payment else None
    if payment is None or not is_from_own_channel(source, attempt or payment, payment.environment):
        log.warning("payment.disputed", reference="", status=update.state.value, reason=update.reason)
        _count(source.channel, update.environment)
        return UpdateEffect.DISPUTED
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
    else:
        known.payment = payment
        _change_dispute(known, update)
    return UpdateEffect.DISPUTED


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
    state_machine.post_dispute_change(dispute=dispute, withdrawn_before_minor=0)
    _record_change(dispute, "payment.dispute.created")
    if not dispute.is_open:
        _record_change(dispute, "payment.dispute.closed")


def _change_dispute(dispute: Dispute, update: ChannelDispute) -> None:
    reported = _reported_values(update)
    was_open, withdrawn_before_minor = dispute.is_open, dispute.withdrawn_minor
    is_overtaken = not was_open and reported["status"] not in CLOSED_DISPUTE_STATUSES
    is_unchanged = all(getattr(dispute, name) == value for name, value in reported.items())
    if is_overtaken or is_unchanged:
        return
    for name, value in reported.items():
        setattr(dispute, name, value)
    dispute.updated_at = Now()
    if was_open and not dispute.is_open:
        dispute.closed_at = Now()
    dispute.save()
    state_machine.post_dispute_change(dispute=dispute, withdrawn_before_minor=withdrawn_before_minor)
    _record_change(dispute, "payment.dispute.updated" if dispute.is_open else "payment.dispute.closed")


def _reported_values(update: ChannelDispute) -> dict[str, Any]:
    return {
        "amount_minor": update.amount_minor,
        "reason": update.reason[:100],
        "status": _STATUSES[update.state],
        "is_inquiry": update.is_inquiry,
        "evidence_due_by": update.evidence_due_by,
    }


def _record_change(dispute: Dispute, event_type: str) -> None:
    """Updates the payment's disputed amount, emits the event, and opens a review when the dispute begins or ends."""
    dispute.refresh_from_db(fields=["created_at", "updated_at", "closed_at"])
    payment = dispute.payment
    disputed_minor = sum(each.blocked_minor for each in payment.disputes.all())
    Payment.objects.filter(id=payment.id).update(disputed_minor=disputed_minor, updated_at=Now())
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
    if event_type != "payment.dispute.updated":
        amount = f"{dispute.amount_minor} {dispute.currency} in minor units"
        state_machine.open_review(
            payment=payment,
            code=ReviewCode.DISPUTE,
            subject=dispute.dispute_no,
            text=f"disputed at {dispute.channel} ({dispute.reason}): {amount}, {dispute.status}",
        )
        _count(dispute.channel, dispute.environment)


def _count(channel: str, environment: str) -> None:
    transaction.on_commit(metrics.DISPUTES.labels(channel, environment).inc)
