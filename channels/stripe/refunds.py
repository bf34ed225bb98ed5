"""Refunds at Stripe. All raise `StripeError` and `Unreadable`."""

from typing import Any

import stripe

from channels.base import (
    CreateRefund,
    Declined,
    NotFoundAtChannel,
    PaymentRef,
    RefundListResult,
    RefundRef,
    RefundResult,
    Reported,
)
from channels.stripe import amounts, lookup, shapes
from channels.stripe.amounts import UnsupportedAmount
from channels.stripe.shapes import REFUND_NO

_NOTHING_PAID = Declined("nothing_to_refund", "Stripe holds no money of this payment.")


def create(api: stripe.StripeClient, request: CreateRefund) -> RefundResult:
    try:
        amount = amounts.to_stripe(request.amount_minor, request.currency)
    except UnsupportedAmount as error:
        return error.as_answer()
    held_by = lookup.intent_id(api, request.payment)
    if not held_by:
        return _NOTHING_PAID
    params: Any = {
        "payment_intent": held_by,
        "amount": amount,
        "metadata": shapes.labels({}, {REFUND_NO: request.reference}, request.payment.environment),
    }
    created = api.v1.refunds.create(params, {"idempotency_key": request.key})
    return Reported(shapes.refund_of(created.to_dict(), request.payment.environment))


def find(api: stripe.StripeClient, ref: RefundRef) -> RefundResult:
    """The refunds of one payment are few, and their list is never behind."""
    environment = ref.payment.environment
    if ref.channel_refund_no:
        known = api.v1.refunds.retrieve(ref.channel_refund_no).to_dict()
        return Reported(shapes.refund_of(known, environment))
    held_by = lookup.intent_id(api, ref.payment)
    if not held_by:
        return NotFoundAtChannel()
    params: Any = {"payment_intent": held_by, "limit": lookup.PAGE}
    for listed in api.v1.refunds.list(params).auto_paging_iter():
        shape = listed.to_dict()
        if shapes.reference_of(shape, REFUND_NO, environment) == ref.reference:
            return Reported(shapes.refund_of(shape, environment))
    return NotFoundAtChannel()


def find_all(api: stripe.StripeClient, payment: PaymentRef) -> RefundListResult:
    """Every refund of the payment, those made in Stripe's dashboard included."""
    held_by = lookup.intent_id(api, payment)
    if not held_by:
        return Reported(())
    params: Any = {"payment_intent": held_by, "limit": lookup.PAGE}
    listed = api.v1.refunds.list(params).auto_paging_iter()
    return Reported(tuple(shapes.refund_of(refund.to_dict(), payment.environment) for refund in listed))
