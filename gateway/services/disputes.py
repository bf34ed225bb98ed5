"""What a channel reports of disputes: kept in a table, told to the merchant, and opened for review. The dispute itself
is fought at the channel; what it takes cannot be refunded as well."""

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
)
from gateway.services import channel_payments, channel_updates
from gateway.services.channel_updates import Effect

log = structlog.get_logger(__name__)

_STATUSES = {
    DisputeState.NEEDS_RESPONSE: DisputeStatus.NEEDS_RESPONSE,
    DisputeState.UNDER_REVIEW: DisputeStatus.UNDER_REVIEW,
    DisputeState.WON: DisputeStatus.WON,
    DisputeState.LOST: DisputeStatus.LOST,
    DisputeState.CLOSED: DisputeStatus.CLOSED,
}


def reference_of(update: ChannelDispute, source: str) -> str:
    """What we know the disputed payment by; empty for one that is not ours. Asks the channel: no transaction may be
    open.

    Raises `ServiceUnavailable` when the channel does not answer: it sends its event again.
    """
    return channel_payments.reference_of(update.channel_trade_no, source, update.environment)


def apply(*, update: ChannelDispute, reference: str, source: str) -> Effect:
    """In the transaction that stores the event. Reports may come in any order, and more than once: a closed dispute is
    not opened again."""
    payment = selectors.lock_payment_by_reference(reference) if reference else None
    attempt = selectors.find_earlier_attempt(payment, reference) if payment else None
    if payment is None or not channel_updates.is_source_of(source, attempt or payment, payment.environment):
        log.warning("payment.disputed", reference="", status=update.state.value, reason=update.reason)
        _count(update, source)
        return Effect.DISPUTED
    known = (
        Dispute.objects.select_for_update()
        .filter(channel=source, channel_dispute_no=update.channel_dispute_no)
        .first()
    )
    if known is None:
        _open(payment, attempt, update, source)
    else:
        known.payment = payment
        _update(known, update)
    return Effect.DISPUTED


def _open(payment: Payment, attempt: PaymentAttempt | None, update: ChannelDispute, source: str) -> None:
    dispute = Dispute(
        dispute_no=public_number("DSP", timezone.now().date()),
        payment=payment,
        attempt=attempt,
        merchant_id=payment.merchant_id,
        environment=payment.environment,
        channel=source,
        channel_dispute_no=update.channel_dispute_no,
        currency=update.currency,
        **_facts(update),
    )
    dispute.closed_at = Now() if not dispute.is_open else None
    dispute.save(force_insert=True)
    _emit("payment.dispute.created", dispute, update)
    if not dispute.is_open:
        _emit("payment.dispute.closed", dispute, update)


def _update(dispute: Dispute, update: ChannelDispute) -> None:
    facts = _facts(update)
    was_open = dispute.is_open
    overtaken = not was_open and facts["status"] not in CLOSED_DISPUTE_STATUSES
    unchanged = all(getattr(dispute, name) == value for name, value in facts.items())
    if overtaken or unchanged:
        return
    for name, value in facts.items():
        setattr(dispute, name, value)
    dispute.updated_at = Now()
    if was_open and not dispute.is_open:
        dispute.closed_at = Now()
    dispute.save()
    closes = not dispute.is_open
    _emit("payment.dispute.closed" if closes else "payment.dispute.updated", dispute, update)


def _facts(update: ChannelDispute) -> dict[str, Any]:
    return {
        "amount_minor": update.amount_minor,
        "reason": update.reason[:100],
        "status": _STATUSES[update.state],
        "is_inquiry": update.is_inquiry,
        "evidence_due_by": update.evidence_due_by,
    }


def _emit(event_type: str, dispute: Dispute, update: ChannelDispute) -> None:
    """What follows from a new state of the dispute: the disputed amount, the event, and the review."""
    dispute.refresh_from_db(fields=["created_at", "updated_at", "closed_at"])
    payment = dispute.payment
    blocked = sum(each.blocked_minor for each in payment.disputes.all())
    Payment.objects.filter(id=payment.id).update(disputed_minor=blocked, updated_at=Now())
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
        _count(update, dispute.channel)


def _count(update: ChannelDispute, source: str) -> None:
    transaction.on_commit(metrics.DISPUTES.labels(source, update.environment).inc)
