"""The succeeded captures add up to the captured amount of the channel, in any order of its updates."""

import uuid

import pytest
from django.db import IntegrityError, transaction

from gateway.models import Capture, Payment
from gateway.state_machine import captures
from tests.support.shop import authorized
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


@pytest.fixture
def payment(client: SignedClient) -> Payment:
    """A payment of which 10,000 are authorized and nothing is captured."""
    return Payment.objects.get(payment_no=authorized(client)["payment_no"])


def begin(payment: Payment, amount_minor: int, *, is_final: bool = False) -> Capture:
    capture_id = uuid.uuid4()
    captures.begin_capture(
        capture_id=capture_id, payment=payment, amount_minor=amount_minor, is_final=is_final
    )
    return Capture.objects.get(id=capture_id)


def reported(payment: Payment, captured_minor: int, *, is_final: bool = False) -> Capture | None:
    payment.captured_minor = captured_minor
    return captures.settle_captures(payment=payment, is_final=is_final)


def rows(payment: Payment) -> list[tuple[int, int, str, bool, bool, bool]]:
    return [
        (
            each.number,
            each.amount_minor,
            each.status,
            each.is_final,
            each.is_made_at_channel,
            each.settled_at is not None,
        )
        for each in payment.captures.order_by("number")
    ]


def test_a_capture_begins_in_flight_with_the_next_number(payment: Payment) -> None:
    first = begin(payment, 3_000, is_final=True)
    assert first.payment_id == payment.id
    assert rows(payment) == [(1, 3_000, "pending", True, False, False)]
    with pytest.raises(IntegrityError), transaction.atomic():
        begin(payment, 1)
    assert captures.mark_capture_failed(capture_id=first.id, code="declined", message="no")
    begin(payment, 2_000)
    assert rows(payment)[1] == (2, 2_000, "pending", False, False, False)


def test_the_capture_in_flight_explains_the_amount(payment: Payment) -> None:
    own = begin(payment, 3_000)
    settled = reported(payment, 3_000, is_final=True)
    assert settled is not None
    assert (settled.id, settled.status) == (own.id, "succeeded")
    assert settled.settled_at is not None
    assert rows(payment) == [(1, 3_000, "succeeded", False, False, True)]


@pytest.mark.parametrize("captured", [2_999, 3_001])
def test_another_amount_was_captured_at_the_channel(payment: Payment, captured: int) -> None:
    begin(payment, 3_000)
    settled = reported(payment, captured, is_final=True)
    assert settled is not None
    assert (settled.number, settled.settled_at is not None) == (2, True)
    assert rows(payment) == [
        (1, 3_000, "pending", False, False, False),
        (2, captured, "succeeded", True, True, True),
    ]


def test_only_what_is_missing_is_recorded(payment: Payment) -> None:
    failed = begin(payment, 500)
    captures.mark_capture_failed(capture_id=failed.id, code="declined", message="no")
    assert reported(payment, 3_000) is not None
    assert rows(payment)[1:] == [(2, 3_000, "succeeded", False, True, True)]
    for nothing_new in (3_000, 2_999):
        assert reported(payment, nothing_new) is None
    settled = reported(payment, 3_001)
    assert settled is not None
    assert (settled.number, settled.amount_minor) == (3, 1)
    assert len(rows(payment)) == 3


def test_only_the_capture_itself_is_settled(payment: Payment, client: SignedClient) -> None:
    other = Payment.objects.get(payment_no=authorized(client)["payment_no"])
    own, another = begin(payment, 3_000), begin(other, 3_000)
    captures.mark_capture_succeeded(capture_id=own.id)
    another.refresh_from_db()
    assert another.status == "pending"


def test_a_settled_capture_stays_settled(payment: Payment) -> None:
    own = begin(payment, 3_000)
    assert captures.mark_capture_succeeded(capture_id=own.id) is True
    assert captures.mark_capture_succeeded(capture_id=own.id) is False
    assert captures.mark_capture_failed(capture_id=own.id, code="late", message="late") is False
    own.refresh_from_db()
    assert (own.status, own.failure_code, own.failure_message) == ("succeeded", "", "")
    other = begin(payment, 1_000)
    assert captures.mark_capture_failed(capture_id=other.id, code="declined", message="no money") is True
    other.refresh_from_db()
    assert (other.status, other.failure_code, other.failure_message) == ("failed", "declined", "no money")
    assert other.settled_at is not None
    assert captures.mark_capture_succeeded(capture_id=other.id) is False, "a failed capture stays failed"
