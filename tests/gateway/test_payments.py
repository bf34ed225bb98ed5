"""The life of a payment through the API."""

import re

import pytest

from channels.simulator import bank as the_bank
from gateway.models import Payment, PaymentAttempt
from sagas.models import SagaStep
from tests.support import background, bank
from tests.support.polling import expire_due
from tests.support.shop import (
    PAYMENTS,
    authorized,
    cancel,
    capture,
    create,
    data,
    error,
    get_order,
    get_payment,
    new_no,
    opened,
    ordered,
    paid,
    payment_request,
    sync,
)
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


# --- Creating -------------------------------------------------------------------------------------------


def test_a_new_payment_waits_for_its_customer(client: SignedClient) -> None:
    wanted = payment_request(
        body="Two cups",
        callback_url="http://localhost:8080/callback",
        return_url="https://shop.example/thanks",
        customer={"id": "c-1", "email": "a@example.com", "name": "Ada", "phone": "+44 1"},
        metadata={"table": "7"},
        items=[
            {"name": "Espresso", "quantity": 2, "unit_amount": 4_000},
            {"name": "Cake", "quantity": 1, "unit_amount": 2_000},
        ],
        expires_in=600,
    )
    payment = data(client.post(PAYMENTS, wanted))

    assert re.fullmatch(r"PAY-\d{8}-\d{6,}", payment["payment_no"])
    assert {name: payment[name] for name in wanted if name not in ("items", "expires_in")} == {
        name: value for name, value in wanted.items() if name not in ("items", "expires_in")
    }
    assert payment["status"] == "pending"
    assert payment["channel_trade_no"].startswith("sim_pay_")
    assert payment["payment_url"].startswith("http")
    assert (payment["captured_amount"], payment["refunded_amount"], payment["refund_status"]) == (
        0,
        0,
        "none",
    )
    detail = get_payment(client, payment)
    assert [(tried["number"], tried["channel"], tried["status"]) for tried in detail.pop("attempts")] == [
        (1, "simulator", "open")
    ]
    for none in ("captures", "authorization_increments", "disputes"):
        assert detail.pop(none) == []
    assert detail == payment
    order = get_order(client, wanted["order_no"])
    assert order["status"] == "pending"
    assert [(item["name"], item["amount"]) for item in order["items"]] == [
        ("Espresso", 8_000),
        ("Cake", 2_000),
    ]


def test_a_payment_without_items_gets_one_from_its_subject(client: SignedClient) -> None:
    payment = opened(client, subject="测试支付")
    assert get_order(client, payment["order_no"])["items"] == [
        {"name": "测试支付", "quantity": 1, "unit_amount": 10_000, "amount": 10_000}
    ]


def test_the_sandbox_serves_stripe_with_a_test_key(client: SignedClient) -> None:
    assert opened(client, channel="stripe")["sandbox"] is True
    assert opened(client)["sandbox"] is False


def test_a_live_key_without_a_live_channel_is_refused(live_client: SignedClient) -> None:
    for channel in ("simulator", "stripe", "nonsense"):
        details = error(create(live_client, channel=channel), 422, "channel_not_available")
        assert channel in details["channel"][0]
    assert not Payment.objects.exists()


def test_the_customer_pays(client: SignedClient) -> None:
    payment = opened(client)
    bank.pay(payment)
    assert bank.deliver_webhooks(payment["payment_no"]) == ["applied"]
    now = get_payment(client, payment)
    assert (now["status"], now["captured_amount"], now["payment_url"]) == ("succeeded", 10_000, None)
    assert now["paid_at"]
    assert get_order(client, payment["order_no"])["status"] == "paid"
    assert bank.read_ledger(payment["payment_no"]) == [("charge", 10_000)]


def test_the_customer_declines(client: SignedClient) -> None:
    payment = opened(client)
    bank.decline(payment)
    assert bank.deliver_webhooks(payment["payment_no"]) == ["applied"]
    now = get_payment(client, payment)
    assert (now["status"], now["failure_code"]) == ("failed", "card_declined")
    assert get_order(client, payment["order_no"])["status"] == "cancelled"


@pytest.mark.parametrize(
    ("simulate", "code"),
    [
        ("decline", "card_declined"),
        ("insufficient_funds", "insufficient_funds"),
        ("nonsense", "invalid_simulation"),
    ],
)
def test_a_decline_is_402_and_closes_payment_and_order(
    client: SignedClient, simulate: str, code: str
) -> None:
    wanted = payment_request(simulate)
    details = error(client.post(PAYMENTS, wanted), 402, "payment_declined")
    assert details["failure_code"] == code
    payment = get_payment(client, details)
    assert (payment["status"], payment["failure_code"]) == ("failed", code)
    assert get_order(client, wanted["order_no"])["status"] == "cancelled"
    saga = background.saga_of(payment["payment_no"], "payment.create")
    assert saga.status == "compensated"
    steps = dict(SagaStep.objects.filter(saga=saga).values_list("step_name", "status"))
    assert steps == {
        "CreateOrder": "compensated",
        "CallPaymentChannel": "failed",
        "ActivatePayment": "pending",
    }
    assert PaymentAttempt.objects.get(payment__payment_no=payment["payment_no"]).status == "declined"
    assert bank.read_ledger(payment["payment_no"]) == []


@pytest.mark.parametrize(
    "fault", ["timeout_before", "timeout_after", "error_5xx", "error_5xx_after", "reset", "reset_after"]
)
def test_an_unknown_outcome_is_202_and_the_background_finishes_it(client: SignedClient, fault: str) -> None:
    wanted, key = payment_request(fault), new_no("key")
    first = client.post(PAYMENTS, wanted, idempotency_key=key)
    payment = data(first, 202)
    assert (payment["status"], payment["payment_url"], payment["channel_trade_no"]) == ("pending", None, None)

    background.finish()

    again = client.post(PAYMENTS, wanted, idempotency_key=key)
    finished = data(again)
    assert finished["payment_no"] == payment["payment_no"]
    assert finished["payment_url"]
    assert Payment.objects.count() == 1
    third = client.post(PAYMENTS, wanted, idempotency_key=key)
    assert (third.content, third["Idempotent-Replayed"]) == (again.content, "true")


@pytest.mark.parametrize(
    "fault", ["timeout_after_charge", "auto_pay,error_5xx_after", "auto_pay,reset_after*2"]
)
def test_a_charge_with_a_lost_answer_is_recorded_later(client: SignedClient, fault: str) -> None:
    payment = data(create(client, fault), 202)
    assert bank.read_ledger(payment["payment_no"]) == [("charge", 10_000)]
    background.finish()
    now = get_payment(client, payment)
    assert (now["status"], now["captured_amount"]) == ("succeeded", 10_000)
    assert bank.read_ledger(payment["payment_no"]) == [("charge", 10_000)]
    assert get_order(client, payment["order_no"])["status"] == "paid"


def test_a_charge_with_only_lost_answers_succeeds(client: SignedClient) -> None:
    """Retries run out, the saga compensates, and the cancel finds the payment paid."""
    payment = data(create(client, "auto_pay,timeout_after*always,query:timeout_before*always"), 202)
    background.finish()
    now = get_payment(client, payment)
    assert now["status"] == "succeeded"
    assert background.saga_of(payment["payment_no"], "payment.create").status == "completed"
    assert bank.read_ledger(payment["payment_no"]) == [("charge", 10_000)]


def test_a_payment_fails_uncharged_when_the_channel_is_never_reached(client: SignedClient) -> None:
    wanted, key = payment_request("unreachable*always"), new_no("key")
    payment = data(client.post(PAYMENTS, wanted, idempotency_key=key), 202)
    background.finish()
    assert get_payment(client, payment)["status"] == "failed"
    assert get_order(client, payment["order_no"])["status"] == "cancelled"
    assert background.saga_of(payment["payment_no"], "payment.create").status == "compensated"
    assert bank.read_ledger(payment["payment_no"]) == []
    details = error(client.post(PAYMENTS, wanted, idempotency_key=key), 402, "payment_declined")
    assert details["failure_code"] == "retries_exhausted"


def test_a_repeated_order_no_is_refused_with_the_existing_payment(client: SignedClient) -> None:
    payment = opened(client)
    details = error(create(client, order_no=payment["order_no"]), 409, "duplicate_order_no")
    assert details == {"order_no": payment["order_no"], "payment_no": payment["payment_no"]}
    assert Payment.objects.count() == 1


# --- Paying an order that was placed before ---------------------------------------------------------------


def test_a_payment_pays_the_order_with_the_same_order_no(client: SignedClient) -> None:
    order = ordered(client, items=[{"name": "Tea", "quantity": 5, "unit_amount": 2_000}])
    payment = paid(client, order_no=order["order_no"])
    now = get_order(client, order["order_no"])
    assert (now["status"], now["items"]) == ("paid", order["items"])
    assert payment["order_no"] == order["order_no"]


@pytest.mark.parametrize("change", [{"amount": 9_999}, {"amount": 10_001}, {"currency": "EUR"}])
def test_a_payment_of_another_amount_is_refused(client: SignedClient, change: dict) -> None:
    order = ordered(client)
    details = error(create(client, order_no=order["order_no"], **change), 422, "order_mismatch")
    assert details == {"order_no": order["order_no"], "amount": 10_000, "currency": "USD"}
    assert not Payment.objects.exists()
    assert get_order(client, order["order_no"])["status"] == "pending"


def test_a_cancelled_order_is_not_payable(client: SignedClient) -> None:
    order = ordered(client)
    data(client.post(f"/api/v1/orders/{order['order_no']}/cancel", {}))
    details = error(create(client, order_no=order["order_no"]), 409, "order_not_payable")
    assert details["status"] == "cancelled"


# --- Lists --------------------------------------------------------------------------------------------------


def _numbers(client: SignedClient, query: str = "") -> list[str]:
    return [payment["payment_no"] for payment in data(client.get(f"{PAYMENTS}{query}"))["items"]]


def test_payments_are_listed_newest_first(client: SignedClient) -> None:
    made = [opened(client)["payment_no"] for _ in range(3)]
    assert _numbers(client) == made[::-1]


def test_pages_hold_every_payment_once(client: SignedClient) -> None:
    made = [opened(client)["payment_no"] for _ in range(5)]
    found, cursor, sizes = [], "", []
    while cursor is not None:
        page = data(client.get(f"{PAYMENTS}?limit=2{f'&cursor={cursor}' if cursor else ''}"))
        found += [payment["payment_no"] for payment in page["items"]]
        sizes.append(len(page["items"]))
        cursor = page["next_cursor"]
    assert (found, sizes) == (made[::-1], [2, 2, 1])


def test_a_full_last_page_has_no_next_cursor(client: SignedClient) -> None:
    for _ in range(2):
        opened(client)
    assert data(client.get(f"{PAYMENTS}?limit=2"))["next_cursor"] is None


def test_lists_are_filtered(client: SignedClient) -> None:
    waiting, done, stripe = opened(client), paid(client), opened(client, channel="stripe")
    assert _numbers(client, "?status=succeeded") == [done["payment_no"]]
    assert _numbers(client, f"?order_no={waiting['order_no']}") == [waiting["payment_no"]]
    assert _numbers(client, "?channel=stripe") == [stripe["payment_no"]]
    assert _numbers(client, "?status=failed") == []
    assert _numbers(client, "?status=pending&channel=simulator") == [waiting["payment_no"]]


def test_lists_are_filtered_by_creation_time(client: SignedClient) -> None:
    first, second, third = (opened(client) for _ in range(3))
    for day, payment in enumerate((first, second, third), start=1):
        Payment.objects.filter(payment_no=payment["payment_no"]).update(
            created_at=f"2025-01-0{day}T12:00:00Z"
        )
    assert _numbers(client, "?created_from=2025-01-02T12:00:00Z") == [
        third["payment_no"],
        second["payment_no"],
    ]
    assert _numbers(client, "?created_to=2025-01-02T12:00:00Z") == [first["payment_no"]]
    between = "?created_from=2025-01-02T00:00:00Z&created_to=2025-01-03T00:00:00%2B00:00"
    assert _numbers(client, between) == [second["payment_no"]]


# --- Cancelling ---------------------------------------------------------------------------------------------


def test_an_open_payment_is_cancelled_at_the_channel_too(client: SignedClient) -> None:
    payment = opened(client)
    now = data(cancel(client, payment, reason="out of stock"))
    assert (now["status"], now["failure_message"], now["payment_url"]) == ("cancelled", "out of stock", None)
    assert get_order(client, payment["order_no"])["status"] == "cancelled"
    assert bank.build_webhook(payment)["payment"]["state"] == "cancelled"
    assert background.saga_of(payment["payment_no"], "payment.cancel").status == "completed"
    assert bank.deliver_webhooks(payment["payment_no"]) == ["nothing_new"]


def test_an_authorized_payment_is_released(client: SignedClient) -> None:
    payment = authorized(client)
    assert data(cancel(client, payment))["status"] == "cancelled"
    assert bank.read_ledger(payment["payment_no"]) == [("authorize", 10_000), ("void", 10_000)]


def test_a_payment_is_cancelled_by_the_channels_number(client: SignedClient) -> None:
    payment = opened(client)
    answer = client.post(f"/api/v1/channel/payments/{payment['channel_trade_no']}/cancel", {"reason": "x"})
    assert data(answer)["status"] == "cancelled"
    assert get_payment(client, payment)["status"] == "cancelled"


@pytest.mark.parametrize("end", ["succeeded", "cancelled", "failed"])
def test_a_finished_payment_is_not_cancelled(client: SignedClient, end: str) -> None:
    if end == "failed":
        payment = error(create(client, "decline"), 402, "payment_declined")
    else:
        payment = paid(client) if end == "succeeded" else data(cancel(client, opened(client)))
    details = error(cancel(client, payment), 409, "payment_not_cancellable")
    assert details["status"] == end


def test_a_payment_that_a_cancel_finds_paid_succeeds(client: SignedClient) -> None:
    payment = opened(client, "no_webhook")
    bank.pay(payment)
    details = error(cancel(client, payment), 409, "payment_not_cancellable")
    assert details["status"] == "succeeded"
    now = get_payment(client, payment)
    assert (now["status"], now["captured_amount"]) == ("succeeded", 10_000)
    assert get_order(client, payment["order_no"])["status"] == "paid"


@pytest.mark.parametrize("fault", ["timeout_before", "timeout_after", "error_5xx_after", "reset"])
def test_a_cancel_with_a_lost_answer_is_finished_later(client: SignedClient, fault: str) -> None:
    payment, key = opened(client, f"cancel:{fault}"), new_no("key")
    assert data(cancel(client, payment, key=key), 202)["status"] == "pending"
    error(cancel(client, payment), 409, "operation_in_progress")
    background.finish()
    assert data(cancel(client, payment, key=key))["status"] == "cancelled"
    assert get_payment(client, payment)["status"] == "cancelled"


def test_cancelling_during_creation_compensates_the_creation(client: SignedClient) -> None:
    payment, key = data(create(client, "timeout_after"), 202), new_no("key")
    assert data(cancel(client, payment, key=key), 202)["status"] == "pending"
    background.finish()
    assert get_payment(client, payment)["status"] == "cancelled"
    assert data(cancel(client, payment, key=key))["status"] == "cancelled"
    assert bank.build_webhook(payment)["payment"]["state"] == "cancelled"


# --- Capturing ----------------------------------------------------------------------------------------------


def test_an_authorized_payment_is_captured_in_full(client: SignedClient) -> None:
    payment = authorized(client)
    assert get_order(client, payment["order_no"])["status"] == "pending"
    now = data(capture(client, payment))
    assert (now["status"], now["captured_amount"]) == ("succeeded", 10_000)
    assert get_order(client, payment["order_no"])["status"] == "paid"
    assert bank.read_ledger(payment["payment_no"]) == [("authorize", 10_000), ("capture", 10_000)]


def test_a_partial_capture_releases_the_rest(client: SignedClient) -> None:
    payment = authorized(client)
    now = data(capture(client, payment, amount=3_000))
    assert (now["amount"], now["captured_amount"], now["refundable_amount"]) == (10_000, 3_000, 3_000)
    assert bank.read_ledger(payment["payment_no"]) == [
        ("authorize", 10_000),
        ("capture", 3_000),
        ("void", 7_000),
    ]
    error(capture(client, payment, amount=1), 409, "payment_not_capturable")


def test_a_capture_above_the_authorized_amount_is_refused(client: SignedClient) -> None:
    payment = authorized(client)
    details = error(capture(client, payment, amount=10_001), 422, "capture_exceeds_payment")
    assert details["authorized_amount"] == 10_000
    assert bank.read_ledger(payment["payment_no"]) == [("authorize", 10_000)]


def test_only_an_authorized_payment_can_be_captured(client: SignedClient) -> None:
    for payment in (opened(client), paid(client), data(cancel(client, opened(client)))):
        details = error(capture(client, payment), 409, "payment_not_capturable")
        assert details["status"] == payment["status"]


@pytest.mark.parametrize(
    "fault", ["timeout_before", "timeout_after", "error_5xx", "reset_after", "unreachable"]
)
def test_a_capture_with_a_lost_answer_happens_once(client: SignedClient, fault: str) -> None:
    payment, key = authorized(client, f"capture:{fault}"), new_no("key")
    assert data(capture(client, payment, key=key, amount=4_000), 202)["status"] == "authorized"
    error(capture(client, payment, amount=4_000), 409, "operation_in_progress")
    error(cancel(client, payment), 409, "operation_in_progress")
    background.finish()
    assert data(capture(client, payment, key=key, amount=4_000))["captured_amount"] == 4_000
    assert [kind for kind, _amount in bank.read_ledger(payment["payment_no"])] == [
        "authorize",
        "capture",
        "void",
    ]


def test_a_capture_is_declined_after_the_channel_released_the_funds(client: SignedClient) -> None:
    payment = authorized(client)
    bank.SimulatedPayment.objects.filter(pk=payment["payment_no"]).update(state="cancelled")
    error(capture(client, payment), 402, "capture_declined")
    assert data(sync(client, payment))["status"] == "cancelled"


# --- Syncing ---------------------------------------------------------------------------------------


def test_sync_records_the_channels_status(client: SignedClient) -> None:
    payment = opened(client, "no_webhook")
    assert data(sync(client, payment))["status"] == "pending"
    bank.pay(payment)
    assert get_payment(client, payment)["status"] == "pending"
    assert data(sync(client, payment))["status"] == "succeeded"
    assert get_order(client, payment["order_no"])["status"] == "paid"


def test_sync_records_a_processing_payment(client: SignedClient) -> None:
    payment = opened(client, "processing:600,no_webhook")
    bank.pay(payment)
    assert data(sync(client, payment))["status"] == "processing"


def test_a_sync_without_an_answer_changes_nothing_and_can_be_repeated(client: SignedClient) -> None:
    payment, key = opened(client, "query:timeout_before"), new_no("key")
    answer = sync(client, payment, key=key)
    error(answer, 503, "service_unavailable")
    assert answer["Retry-After"]
    assert data(sync(client, payment, key=key))["status"] == "pending"


def test_a_sync_whose_refunds_are_not_answered_says_so(client: SignedClient) -> None:
    payment, key = paid(client, "query_refund:timeout_before"), new_no("key")
    assert the_bank.refund_at_bank(payment["payment_no"], 4_000)
    error(sync(client, payment, key=key), 503, "service_unavailable")
    assert data(sync(client, payment, key=key))["refunded_amount"] == 4_000


# --- Expiry ---------------------------------------------------------------------------------------------------


def test_an_unpaid_payment_expires(client: SignedClient) -> None:
    payment, other = opened(client), opened(client)
    background.expire_payment(payment["payment_no"])
    assert expire_due() == 1
    background.finish()
    assert get_payment(client, payment)["status"] == "expired"
    assert get_order(client, payment["order_no"])["status"] == "cancelled"
    assert bank.build_webhook(payment)["payment"]["state"] == "cancelled"
    assert get_payment(client, other)["status"] == "pending"
    assert expire_due() == 0


def test_a_payment_paid_just_before_expiry_succeeds(client: SignedClient) -> None:
    payment = opened(client, "no_webhook")
    bank.pay(payment)
    background.expire_payment(payment["payment_no"])
    expire_due()
    background.finish()
    assert get_payment(client, payment)["status"] == "succeeded"


def test_an_authorized_payment_does_not_expire(client: SignedClient) -> None:
    payment = authorized(client)
    background.expire_payment(payment["payment_no"])
    assert expire_due() == 0


def test_a_payment_that_expired_at_the_bank_expires_here_too(client: SignedClient) -> None:
    payment = opened(client)
    bank.let_payment_expire(payment["payment_no"])
    assert data(sync(client, payment))["status"] == "expired"
