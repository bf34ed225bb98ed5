"""Creates and finds refunds at Stripe. All functions raise `StripeError` and `UnexpectedFormat`."""

from collections.abc import Iterator
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
from channels.stripe import amounts, lookup
from channels.stripe.amounts import UnsupportedAmount
from channels.stripe.fields import StripeJson
from channels.stripe.metadata import REFUND_NO, build_metadata, read_reference
from channels.stripe.refund_objects import read_refund

_NOTHING_PAID = Declined("nothing_to_refund", "Stripe holds no money of this payment.")


def create_refund(api: stripe.StripeClient, request: CreateRefund) -> RefundResult:
    try:
        amount = amounts.to_stripe(request.amount_minor, request.currency)
    except UnsupportedAmount as error:
        return error.to_result()
    intent_id = lookup.find_payment_intent_id(api, request.payment)
    if not intent_id:
        return _NOTHING_PAID
    params: Any = {
        "payment_intent": intent_id,
        "amount": amount,
        "metadata": build_metadata({}, {REFUND_NO: request.reference}, request.payment.environment),
    }
    if request.returns_application_fee:
        # Without it the platform keeps its fee (docs.stripe.com/connect/direct-charges#issue-refunds).
        params["refund_application_fee"] = True
    refund = api.v1.refunds.create(params, {"idempotency_key": request.key})
    return Reported(read_refund(refund.to_dict(), request.payment.environment))


def find_refund(api: stripe.StripeClient, ref: RefundRef) -> RefundResult:
    """Finds a refund by Stripe's id, or by our number in the list of the payment's refunds, which does not lag."""
    environment = ref.payment.environment
    if ref.channel_refund_no:
        refund = api.v1.refunds.retrieve(ref.channel_refund_no)
        return Reported(read_refund(refund.to_dict(), environment))
    intent_id = lookup.find_payment_intent_id(api, ref.payment)
    if not intent_id:
        return NotFoundAtChannel()
    for fields in _list_refunds(api, intent_id):
        if read_reference(fields, REFUND_NO, environment) == ref.reference:
            return Reported(read_refund(fields, environment))
    return NotFoundAtChannel()


def find_refunds(api: stripe.StripeClient, payment: PaymentRef) -> RefundListResult:
    """Returns all refunds of the payment, those made in Stripe's dashboard included."""
    intent_id = lookup.find_payment_intent_id(api, payment)
    if not intent_id:
        return Reported(())
    return Reported(
        tuple(read_refund(fields, payment.environment) for fields in _list_refunds(api, intent_id))
    )


def _list_refunds(api: stripe.StripeClient, intent_id: str) -> Iterator[StripeJson]:
    params: Any = {"payment_intent": intent_id, "limit": lookup.PAGE_SIZE}
    for refund in api.v1.refunds.list(params).auto_paging_iter():
        yield refund.to_dict()
