"""Full and partial refunds, never above the captured amount, also when they are concurrent."""

import re

import pytest

from gateway.models import Payment, Refund
from tests.support import background, bank
from tests.support.polling import poll_due
from tests.support.shop import (
    REFUNDS,
    authorized,
    cancel,
    capture,
    create,
    data,
    error,
    get_payment,
    get_refund,
    new_no,
    opened,
    paid,
    refund,
    sync,
)
from tests.support.signing import SignedClient
from tests.support.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


def _money(client: SignedClient, payment: dict) -> tuple[int, int, str]:
    now = get_payment(client, payment)
    return now["refunded_amount"], now["refundable_amount"], now["refund_status"]


def _refunded_at_the_bank(payment: dict) -> list[int]:
    return [amount for kind, amount in bank.read_ledger(payment["payment_no"]) if kind == "refund"]


def test_a_partial_refund(client: SignedClient) -> None:
    payment = paid(client)
    created_refund = data(refund(client, payment, 4_000, reason="one cup was cold"))
    assert re.fullmatch(r"REF-\d{8}-\d{6,}", created_refund["refund_no"])
    assert (created_refund["status"], created_refund["amount"], created_refund["currency"]) == (
        "succeeded",
        4_000,
        "USD",
    )
    assert created_refund["reason"] == "one cup was cold"
    assert created_refund["channel_refund_no"].startswith("sim_ref_")
    assert get_refund(client, created_refund) == created_refund
    assert _money(client, payment) == (4_000, 6_000, "partial")
    assert get_payment(client, payment)["status"] == "succeeded"
    assert _refunded_at_the_bank(payment) == [4_000]


def test_partial_refunds_add_up_to_a_full_refund(client: SignedClient) -> None:
    payment = paid(client)
    for amount in (5_000, 4_999, 1):
        assert data(refund(client, payment, amount))["status"] == "succeeded"
    assert _money(client, payment) == (10_000, 0, "full")
    error(refund(client, payment, 1), 422, "refund_exceeds_payment")
    assert _refunded_at_the_bank(payment) == [5_000, 4_999, 1]


def test_a_refund_above_the_limit_is_refused_with_the_refundable_amount(client: SignedClient) -> None:
    """Step 6.2 of the quick start: 5000, then 8000 of 10000."""
    payment = paid(client)
    data(refund(client, payment, 5_000, reason="测试退款1"))
    details = error(refund(client, payment, 8_000, reason="测试退款2"), 422, "refund_exceeds_payment")
    assert details == {
        "payment_no": payment["payment_no"],
        "payment_amount": 10_000,
        "captured_amount": 10_000,
        "refunded_amount": 5_000,
        "pending_amount": 0,
        "refundable_amount": 5_000,
    }
    assert Refund.objects.count() == 1
    assert _money(client, payment) == (5_000, 5_000, "partial")


def test_a_refund_above_the_captured_amount_is_refused(client: SignedClient) -> None:
    payment = authorized(client)
    data(capture(client, payment, amount=3_000))
    error(refund(client, payment, 3_001), 422, "refund_exceeds_payment")
    assert data(refund(client, payment, 3_000))["status"] == "succeeded"
    assert _money(client, payment) == (3_000, 0, "full")


def test_only_a_paid_payment_can_be_refunded(client: SignedClient) -> None:
    unpaid = [opened(client), authorized(client), data(cancel(client, opened(client)))]
    unpaid.append(get_payment(client, error(create(client, "decline"), 402, "payment_declined")))
    for payment in unpaid:
        details = error(refund(client, payment, 1), 409, "payment_not_refundable")
        assert details == {"payment_no": payment["payment_no"], "status": payment["status"]}
    assert not Refund.objects.exists()


def test_a_declined_refund_releases_its_reservation(client: SignedClient) -> None:
    payment = paid(client, "refund_declined")
    details = error(refund(client, payment, 4_000), 402, "refund_declined")
    assert (details["status"], details["failure_code"]) == ("failed", "refund_declined")
    assert get_refund(client, details)["status"] == "failed"
    assert _money(client, payment) == (0, 10_000, "none")
    assert background.saga_of(details["refund_no"], "refund.create").status == "compensated"
    assert _refunded_at_the_bank(payment) == []


@pytest.mark.parametrize(
    "fault", ["timeout_before", "timeout_after", "error_5xx", "reset_after", "unreachable"]
)
def test_a_refund_with_a_lost_answer_happens_once(client: SignedClient, fault: str) -> None:
    payment, key = paid(client, f"refund:{fault}"), new_no("key")
    pending = data(refund(client, payment, 4_000, key=key), 202)
    assert pending["status"] == "pending"
    assert _money(client, payment) == (0, 6_000, "none")
    background.finish()
    done = data(refund(client, payment, 4_000, key=key))
    assert (done["refund_no"], done["status"]) == (pending["refund_no"], "succeeded")
    assert _money(client, payment) == (4_000, 6_000, "partial")
    assert _refunded_at_the_bank(payment) == [4_000]


def test_an_unconfirmed_refund_needs_review_and_stays_reserved(client: SignedClient) -> None:
    payment = paid(client, "refund:timeout_after*always,query_refund:timeout_before*always")
    pending = data(refund(client, payment, 4_000), 202)
    background.finish()
    saga = background.saga_of(pending["refund_no"], "refund.create")
    assert (saga.status, saga.needs_attention) == ("in_progress", True)
    assert get_refund(client, pending)["status"] == "pending"
    assert _money(client, payment) == (0, 6_000, "none")
    assert _refunded_at_the_bank(payment) == [4_000]


def test_a_refund_is_settled_later(client: SignedClient) -> None:
    payment = paid(client, "refund_pending:0")
    waiting = data(refund(client, payment, 4_000))
    assert waiting["status"] == "processing"
    assert _money(client, payment) == (0, 6_000, "none")
    assert data(sync(client, payment))["refunded_amount"] == 4_000
    assert get_refund(client, waiting)["status"] == "succeeded"


def test_a_refund_that_fails_later_can_be_repeated(client: SignedClient) -> None:
    payment = paid(client, "refund_fails_later:0")
    waiting = data(refund(client, payment, 10_000))
    assert waiting["status"] == "processing"
    error(refund(client, payment, 1), 422, "refund_exceeds_payment")
    background.make_checks_due()
    assert poll_due() == 1
    failed = get_refund(client, waiting)
    assert (failed["status"], failed["failure_code"]) == ("failed", "refund_failed")
    assert _money(client, payment) == (0, 10_000, "none")
    assert data(refund(client, payment, 10_000))["status"] == "processing"


def test_a_refund_webhook_settles_once(client: SignedClient) -> None:
    payment = paid(client, "refund_pending:0")
    waiting = data(refund(client, payment, 4_000))
    assert bank.settle_due_payments() == 1
    reported = [payload for payload in bank.list_webhooks(payment["payment_no"]) if "refund" in payload]
    effects = [bank.read_effect(bank.send_webhook(payload)) for payload in reported * 3]
    assert effects == ["applied", "nothing_new", "nothing_new"]
    assert get_refund(client, waiting)["status"] == "succeeded"
    assert _money(client, payment) == (4_000, 6_000, "partial")


@pytest.mark.parametrize("change", [{"amount_minor": 4_001}, {"currency": "EUR"}])
def test_a_refund_with_a_mismatch_needs_review(client: SignedClient, change: dict) -> None:
    payment = paid(client, "refund_pending:600")
    waiting = data(refund(client, payment, 4_000))
    reported = {
        "reference": waiting["refund_no"],
        "channel_refund_no": waiting["channel_refund_no"],
        "state": "succeeded",
        "amount_minor": 4_000,
        "currency": "USD",
        "failure_code": "",
        "failure_message": "",
    }
    answer = bank.send_webhook(
        {"event_id": new_no("evt"), "type": "refund.succeeded", "refund": {**reported, **change}}
    )
    assert bank.read_effect(answer) == "parked"
    assert Payment.objects.get(payment_no=payment["payment_no"]).needs_attention
    assert get_refund(client, waiting)["status"] == "processing"


def test_refunds_are_listed_and_filtered(client: SignedClient) -> None:
    first, second = paid(client), paid(client, "refund_declined")
    made = [data(refund(client, first, amount))["refund_no"] for amount in (1, 2, 3)]
    failed = error(refund(client, second, 9), 402, "refund_declined")["refund_no"]

    def numbers(query: str = "") -> list[str]:
        return [row["refund_no"] for row in data(client.get(f"{REFUNDS}{query}"))["items"]]

    assert numbers() == [failed, *made[::-1]]
    assert numbers("?status=failed") == [failed]
    assert numbers(f"?payment_no={first['payment_no']}") == made[::-1]
    assert numbers("?created_to=2020-01-01T00:00:00Z") == []
    page = data(client.get(f"{REFUNDS}?limit=3"))
    rest = data(client.get(f"{REFUNDS}?limit=3&cursor={page['next_cursor']}"))
    assert [len(page["items"]), len(rest["items"]), rest["next_cursor"]] == [3, 1, None]


def test_forty_concurrent_refunds_never_exceed_the_payment(client: SignedClient) -> None:
    """40 times 1000 of 10000: exactly ten succeed."""
    payment = paid(client)
    answers = at_once(*[lambda: refund(client, payment, 1_000)] * 40)
    assert sorted(answer.status_code for answer in answers) == [200] * 10 + [422] * 30
    assert {
        error(answer, 422, "refund_exceeds_payment")["refundable_amount"]
        for answer in answers
        if answer.status_code == 422
    } == {0}
    assert _money(client, payment) == (10_000, 0, "full")
    assert Refund.objects.filter(status="succeeded").count() == 10
    assert _refunded_at_the_bank(payment) == [1_000] * 10


def test_concurrent_refunds_while_the_bank_settles_slowly(client: SignedClient) -> None:
    """Reservations count: an amount whose refund is still processing is not refunded again."""
    payment = paid(client, "refund_pending:600")
    answers = at_once(*[lambda: refund(client, payment, 3_000)] * 12)
    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [422] * 9
    row = Payment.objects.get(payment_no=payment["payment_no"])
    assert (row.refunded_minor, row.refund_pending_minor) == (0, 9_000)
