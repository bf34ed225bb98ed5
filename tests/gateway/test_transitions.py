"""The allowed transitions of payments, attempts and refunds, by the code, the database and the documents."""

from typing import Any

import pytest
from django.db import transaction
from django.db.models.functions import Now

from common.ids import uuid7
from gateway.models import (
    AttemptStatus,
    AuthorizationIncrement,
    Capture,
    CaptureStatus,
    IncrementStatus,
    Payment,
    PaymentAttempt,
    PaymentStatus,
    Refund,
    RefundStatus,
)
from gateway.state_machine.transitions import (
    ATTEMPT_TRANSITIONS,
    CAPTURE_TRANSITIONS,
    INCREMENT_TRANSITIONS,
    PAYMENT_TRANSITIONS,
    REFUND_TRANSITIONS,
)
from merchants.services import NewMerchant
from orders import services as orders
from tests.support.transitions import pairs_in_documents, pairs_of, pairs_the_database_accepts

pytestmark = pytest.mark.django_db

AMOUNT_MINOR = 100


@transaction.atomic
def insert_payment(acme: NewMerchant, status: str = PaymentStatus.PENDING) -> Payment:
    order = orders.place_order(
        order_id=uuid7(),
        draft=orders.OrderDraft(
            order_no="ORDER-1",
            merchant_id=acme.merchant.id,
            environment="test",
            amount_minor=AMOUNT_MINOR,
            currency="USD",
            subject="Tea",
        ),
    )
    return Payment.objects.create(
        payment_no="PAY-1",
        merchant=acme.merchant,
        environment="test",
        order=order,
        order_no=order.order_no,
        amount_minor=AMOUNT_MINOR,
        currency="USD",
        status=status,
        channel="simulator",
        channel_reference="PAY-1",
        captured_minor=AMOUNT_MINOR if status == PaymentStatus.SUCCEEDED else 0,
        subject="Tea",
        expires_at=Now(),
    )


def test_payments(acme: NewMerchant) -> None:
    def changes(source: str, target: str) -> dict[str, Any]:
        if target == PaymentStatus.SUCCEEDED:
            return {"captured_minor": AMOUNT_MINOR}
        if target == PaymentStatus.PENDING and source != PaymentStatus.SUCCEEDED:
            return {"channel_reference": "PAY-1-2"}
        return {}

    accepted = pairs_the_database_accepts(
        PaymentStatus,
        lambda status: insert_payment(acme, status),
        refused_by="payment_status_moves_on",
        changes=changes,
    )
    assert accepted == pairs_of(PAYMENT_TRANSITIONS) == pairs_in_documents("payment")


def test_attempts(acme: NewMerchant) -> None:
    payment = insert_payment(acme)

    def insert(status: str) -> PaymentAttempt:
        return PaymentAttempt.objects.create(
            payment=payment, reference="PAY-1", channel="simulator", status=status
        )

    def changes(source: str, target: str) -> dict[str, Any]:
        is_duplicate = source in (AttemptStatus.DECLINED, AttemptStatus.CANCELLED)
        return {"duplicate_minor": AMOUNT_MINOR} if is_duplicate else {}

    accepted = pairs_the_database_accepts(
        AttemptStatus, insert, refused_by="payment_attempt_status_moves_on", changes=changes
    )
    assert accepted == pairs_of(ATTEMPT_TRANSITIONS) == pairs_in_documents("attempt")


def test_refunds(acme: NewMerchant) -> None:
    payment = insert_payment(acme, PaymentStatus.SUCCEEDED)

    def insert(status: str) -> Refund:
        return Refund.objects.create(
            refund_no="REF-1",
            payment=payment,
            merchant=acme.merchant,
            environment="test",
            amount_minor=AMOUNT_MINOR,
            currency="USD",
            status=status,
        )

    def changes(source: str, _target: str) -> dict[str, Any]:
        is_settled = source in (RefundStatus.SUCCEEDED, RefundStatus.FAILED)
        return {"previous_status": source, "contradicted_at": Now()} if is_settled else {}

    accepted = pairs_the_database_accepts(
        RefundStatus, insert, refused_by="refund_status_moves_on", changes=changes
    )
    assert accepted == pairs_of(REFUND_TRANSITIONS) == pairs_in_documents("refund")


def test_captures(acme: NewMerchant) -> None:
    payment = insert_payment(acme, PaymentStatus.AUTHORIZED)

    def insert(status: str) -> Capture:
        return Capture.objects.create(
            payment=payment, number=1, amount_minor=1, is_final=False, status=status
        )

    accepted = pairs_the_database_accepts(CaptureStatus, insert, refused_by="capture_status_moves_on")
    assert accepted == pairs_of(CAPTURE_TRANSITIONS) == pairs_in_documents("capture")


def test_authorization_increments(acme: NewMerchant) -> None:
    payment = insert_payment(acme, PaymentStatus.AUTHORIZED)

    def insert(status: str) -> AuthorizationIncrement:
        return AuthorizationIncrement.objects.create(
            payment=payment, number=1, reference="PAY-1", previous_minor=1, amount_minor=2, status=status
        )

    accepted = pairs_the_database_accepts(IncrementStatus, insert, refused_by="increment_status_moves_on")
    assert accepted == pairs_of(INCREMENT_TRANSITIONS) == pairs_in_documents("increment")


@pytest.mark.parametrize("status", [AttemptStatus.DECLINED, AttemptStatus.CANCELLED])
def test_an_ended_attempt_succeeds_only_with_a_duplicate_payment(acme: NewMerchant, status: str) -> None:
    payment = insert_payment(acme)
    accepted = pairs_the_database_accepts(
        [status, AttemptStatus.SUCCEEDED],
        lambda source: PaymentAttempt.objects.create(
            payment=payment, reference="PAY-1", channel="simulator", status=source
        ),
        refused_by="payment_attempt_status_moves_on",
    )
    assert accepted == set()
