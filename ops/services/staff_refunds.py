"""Refunds by staff: the reservation and the audit are one transaction, then the channel is called."""

import uuid

from django.db import transaction

from gateway.flows import refund_create
from gateway.models import Payment, Refund
from ops.services import audit
from sagas import engine


class WrongRefund(Exception):
    """The number of this refund belongs to another payment."""


def refund(
    *, payment_id: uuid.UUID, refund_id: uuid.UUID, amount_minor: int, actor: str, reason: str
) -> Refund:
    """`refund_id` comes with the form, so that a form sent twice refunds once.

    Raises `PaymentNotRefundable`, `RefundExceedsPayment` and `WrongRefund`.
    """
    with transaction.atomic(durable=True):
        payment = Payment.objects.select_for_update().get(id=payment_id)
        if (sent_before := Refund.objects.filter(id=refund_id).first()) is not None:
            if sent_before.payment_id != payment.id:
                raise WrongRefund
            return sent_before
        saga = refund_create.start(
            payment=payment, refund_id=refund_id, amount_minor=amount_minor, reason=reason[:255]
        )
        reserved = Refund.objects.get(id=refund_id)
        audit.record(
            actor=actor,
            action="refund.create",
            object_type="payment",
            object_id=payment.payment_no,
            reason=reason,
            before={
                "refunded_minor": payment.refunded_minor,
                "refund_pending_minor": payment.refund_pending_minor,
            },
            after={
                "refund_no": reserved.refund_no,
                "amount_minor": amount_minor,
                "currency": payment.currency,
                "refund_pending_minor": payment.refund_pending_minor + amount_minor,
            },
        )
    engine.advance(saga)
    reserved.refresh_from_db()
    return reserved
