"""Expiry leaves submitted payments open, and repeats cancellations that the channel refuses."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from gateway.models import MAX_EXPIRY_ATTEMPTS, Payment, PaymentReview
from gateway.services.payment_reviews import resolve_open_reviews
from sagas.models import SagaInstance
from tests.support import background, bank
from tests.support.polling import expire_due
from tests.support.shop import cancel, cancel_order, error, get_payment, opened
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


def test_a_submitted_payment_is_neither_cancelled_nor_expired(client: SignedClient) -> None:
    payment = opened(client, "processing:600")
    bank.pay(payment)
    background.expire_payment(payment["payment_no"])
    error(cancel(client, payment), 409, "payment_not_cancellable")
    assert expire_due() == 1, "the platform has no update yet"
    background.finish()
    assert get_payment(client, payment)["status"] == "pending"
    bank.deliver_webhooks(payment["payment_no"])
    assert get_payment(client, payment)["status"] == "processing"
    assert expire_due() == 0
    error(cancel(client, payment), 409, "payment_not_cancellable")
    error(cancel_order(client, payment["order_no"]), 409, "payment_not_cancellable")
    assert bank.read_ledger(payment["payment_no"]) == []
    webhook = bank.build_webhook(payment, state="declined", failure_code="card_declined")
    assert bank.read_effect(bank.send_webhook(webhook)) == "applied", (
        "a decline after that takes effect at once"
    )
    assert get_payment(client, payment)["status"] == "failed"


def test_refused_cancellations_of_an_expired_payment_are_repeated_with_growing_pauses(
    client: SignedClient,
) -> None:
    payment = opened(client, "cancel:timeout_before*always,query:timeout_before*always")
    background.expire_payment(payment["payment_no"])
    row = Payment.objects.filter(payment_no=payment["payment_no"])
    cancels = SagaInstance.objects.filter(definition="payment.cancel")
    for attempt in range(1, MAX_EXPIRY_ATTEMPTS):
        assert expire_due() == 1
        cancels.filter(status="pending").update(status="in_progress")
        cancels.update(status="compensated", lease_expires_at=None, compensated_at=Now())
        assert expire_due() == 0
        found = row.annotate(pause=F("next_expiry_at") - Now()).get()
        expected = timedelta(minutes=10 * 2 ** (attempt - 1))
        assert timedelta() <= expected - found.pause < timedelta(minutes=1)
        row.update(next_expiry_at=Now())
    assert expire_due() == 0
    assert "refused 5 times" in row.get().attention_reason
    row.update(next_expiry_at=Now())
    assert expire_due() == 0
    assert PaymentReview.objects.count() == 1
    assert cancels.count() == MAX_EXPIRY_ATTEMPTS - 1
    with transaction.atomic():
        resolve_open_reviews(
            payment_no=payment["payment_no"], actor="ana", reason="the channel is well again"
        )
    assert expire_due() == 1, "after staff have resolved the review"
