"""The money that a saga is about: its amount, merchant and page."""

import uuid
from dataclasses import dataclass

from django.urls import reverse

from common.admin import money_text
from gateway.models import Payment, Refund
from merchants.models import Environment
from sagas.inspection import SagaView


@dataclass(frozen=True, slots=True)
class SagaSubject:
    amount: str
    merchant: str
    merchant_id: uuid.UUID
    url: str
    is_test: bool


def find_saga_subject(saga: SagaView) -> SagaSubject | None:
    """By the number of a payment or refund. The cancellation of an earlier attempt is named `number/attempt`."""
    number, _slash, _attempt = saga.business_id.partition("/")
    row: Payment | Refund | None
    if number.startswith("REF-"):
        row = Refund.objects.select_related("merchant").filter(refund_no=number).first()
        page = "admin:gateway_refund_change"
    else:
        row = Payment.objects.select_related("merchant").filter(payment_no=number).first()
        page = "admin:gateway_payment_change"
    if row is None:
        return None
    return SagaSubject(
        money_text(row.amount_minor, row.currency),
        row.merchant.name,
        row.merchant_id,
        reverse(page, args=[row.pk]),
        row.environment == Environment.TEST,
    )
