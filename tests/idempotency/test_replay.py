"""One key has one effect and one answer, and belongs to one merchant, environment and route."""

import pytest

from gateway.models import Payment, Refund
from idempotency import metrics
from idempotency.models import IdempotencyKey
from merchants.services.demo import seed_demo_merchant
from orders.models import Order
from tests.support.shop import (
    ORDERS,
    PAYMENTS,
    REFUNDS,
    authorized,
    cancel,
    capture,
    create,
    data,
    error,
    new_no,
    opened,
    order_request,
    ordered,
    paid,
    payment_request,
    refund,
)
from tests.support.signing import SignedClient, demo_client
from tests.support.tables import row_counts

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


def assert_replayed(again, first) -> None:
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first


# --- The same again ---------------------------------------------------------------------------------------------


def test_a_repeated_payment_is_answered_with_the_same_bytes(client: SignedClient) -> None:
    wanted, key = payment_request(subject="测试支付"), new_no("key")
    first = client.post(PAYMENTS, wanted, idempotency_key=key)
    data(first)
    before = row_counts()
    for _ in range(3):
        again = client.post(PAYMENTS, wanted, idempotency_key=key)
        assert_replayed(again, first)
        assert again["X-Request-Id"] != first["X-Request-Id"]
    assert row_counts() == before


def test_every_write_replays(client: SignedClient) -> None:
    to_cancel, to_capture, to_refund, order = (
        opened(client),
        authorized(client),
        paid(client),
        ordered(client),
    )
    for path, body in (
        (ORDERS, order_request()),
        (f"{ORDERS}/{order['order_no']}/cancel", {}),
        (f"{PAYMENTS}/{to_cancel['payment_no']}/cancel", {"reason": "x"}),
        (f"/api/v1/channel/payments/{opened(client)['channel_trade_no']}/cancel", {}),
        (f"{PAYMENTS}/{to_capture['payment_no']}/capture", {"amount": 5}),
        (f"{PAYMENTS}/{to_capture['payment_no']}/sync", {}),
        (REFUNDS, {"payment_no": to_refund["payment_no"], "amount": 5}),
        ("/api/v1/merchant/api-keys", {"label": "second", "scopes": ["payments:read"]}),
    ):
        key = new_no("key")
        first = client.post(path, body, idempotency_key=key)
        data(first)
        before = row_counts()
        again = client.post(path, body, idempotency_key=key)
        assert again.status_code == 200, path
        assert again["Idempotent-Replayed"] == "true", path
        if "api-keys" not in path:  # a secret is shown once
            assert again.content == first.content, path
        assert row_counts() == before, path


def test_a_replay_is_the_original_answer(client: SignedClient) -> None:
    wanted, key = payment_request(), new_no("key")
    first = client.post(PAYMENTS, wanted, idempotency_key=key)
    data(cancel(client, data(first)))
    assert_replayed(client.post(PAYMENTS, wanted, idempotency_key=key), first)


def test_a_decline_is_an_answer_and_is_replayed(client: SignedClient) -> None:
    wanted, key = payment_request("decline"), new_no("key")
    first = client.post(PAYMENTS, wanted, idempotency_key=key)
    error(first, 402, "payment_declined")
    assert_replayed(client.post(PAYMENTS, wanted, idempotency_key=key), first)
    assert Payment.objects.count() == 1


def test_final_refusals_are_replayed(client: SignedClient) -> None:
    taken, order, given = opened(client), ordered(client), paid(client)
    for path, body, status, code in (
        (PAYMENTS, payment_request(order_no=taken["order_no"]), 409, "duplicate_order_no"),
        (PAYMENTS, payment_request(order_no=order["order_no"], amount=1), 422, "order_mismatch"),
        (ORDERS, order_request(order_no=order["order_no"]), 409, "duplicate_order_no"),
        (f"{ORDERS}/{given['order_no']}/cancel", {}, 409, "order_paid"),
        (f"{PAYMENTS}/{given['payment_no']}/cancel", {}, 409, "payment_not_cancellable"),
        (f"{PAYMENTS}/{given['payment_no']}/capture", {}, 409, "payment_not_capturable"),
        (REFUNDS, {"payment_no": given["payment_no"], "amount": 10_001}, 422, "refund_exceeds_payment"),
        (REFUNDS, {"payment_no": taken["payment_no"], "amount": 1}, 409, "payment_not_refundable"),
    ):
        key = new_no("key")
        first = client.post(path, body, idempotency_key=key)
        error(first, status, code)
        before = row_counts()
        assert_replayed(client.post(path, body, idempotency_key=key), first)
        assert row_counts() == before
    assert Refund.objects.count() == 0


def test_answers_that_are_not_final_are_not_stored(client: SignedClient) -> None:
    key, payment = new_no("key"), paid(client)
    before = IdempotencyKey.objects.count()
    error(create(client, key=key, amount=-1), 400, "validation_failed")
    error(client.request("POST", PAYMENTS, body=b"{", idempotency_key=key), 400, "malformed_body")
    error(
        client.post(PAYMENTS, payment_request(), idempotency_key=key, Content_Type="text/plain"),
        415,
        "unsupported_media_type",
    )
    error(create(client, key=key, channel="nonsense"), 422, "channel_not_available")
    error(
        client.post(PAYMENTS, {}, idempotency_key=key, X_Signature="v1=" + "0" * 64),
        401,
        "invalid_credentials",
    )
    error(refund(client, {"payment_no": "PAY-no-such"}, 1, key=key), 404, "not_found")
    assert IdempotencyKey.objects.count() == before
    data(create(client, key=key))
    data(refund(client, payment, 1, key=key))


def test_without_a_key_no_answer_is_stored(client: SignedClient) -> None:
    wanted = payment_request()
    data(client.post(PAYMENTS, wanted))
    error(client.post(PAYMENTS, wanted), 409, "duplicate_order_no")
    assert not IdempotencyKey.objects.exists()


# --- The same key, another body ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"amount": 10_001},
        {"currency": "EUR"},
        {"order_no": "ORDER-of-somebody-else"},
        {"subject": "Tea"},
        {"metadata": {"a": "b"}},
        {"return_url": "https://example.com/back"},
        {"order_no": "ORDER-of-somebody-else", "subject": "Tea"},
    ],
    ids=lambda change: "+".join(change),
)
def test_a_different_body_is_refused_and_its_fields_are_named(client: SignedClient, change: dict) -> None:
    """Issue 10 C: to answer a request for one order with the payment of another order would be worse than to refuse
    it."""
    key, wanted = new_no("key"), payment_request()
    first = client.post(PAYMENTS, wanted, idempotency_key=key)
    before = row_counts()
    refused = client.post(PAYMENTS, {**wanted, **change}, idempotency_key=key)
    assert error(refused, 422, "idempotency_key_reused") == {"idempotency_key": key, "fields": sorted(change)}
    assert "Idempotent-Replayed" not in refused
    assert row_counts() == before
    assert_replayed(client.post(PAYMENTS, wanted, idempotency_key=key), first)


def test_a_field_left_out_is_named(client: SignedClient) -> None:
    key, wanted = new_no("key"), payment_request(body="x")
    data(client.post(PAYMENTS, wanted, idempotency_key=key))
    refused = client.post(PAYMENTS, {**wanted, "body": "y"}, idempotency_key=key)
    assert error(refused, 422, "idempotency_key_reused")["fields"] == ["body"]
    del wanted["body"]
    refused = client.post(PAYMENTS, wanted, idempotency_key=key)
    assert error(refused, 422, "idempotency_key_reused")["fields"] == ["body"]


def test_another_order_under_the_key_is_refused(client: SignedClient) -> None:
    key, wanted = new_no("key"), order_request()
    first = client.post(ORDERS, wanted, idempotency_key=key)
    refused = client.post(ORDERS, {**wanted, "order_no": new_no()}, idempotency_key=key)
    assert error(refused, 422, "idempotency_key_reused")["fields"] == ["order_no"]
    assert_replayed(client.post(ORDERS, wanted, idempotency_key=key), first)


def test_the_order_of_fields_makes_no_difference(client: SignedClient) -> None:
    key, wanted = new_no("key"), payment_request(metadata={"a": "1", "b": "2"})
    first = client.post(PAYMENTS, wanted, idempotency_key=key)
    reversed_fields = {**dict(reversed(wanted.items())), "metadata": {"b": "2", "a": "1"}}
    assert_replayed(client.post(PAYMENTS, reversed_fields, idempotency_key=key), first)


def test_the_demo_merchant_may_repeat_a_key_with_another_order_no(transactional_db: None) -> None:
    """In step 3.2 of the quick start the order number contains the current second. No other field may differ."""
    seed_demo_merchant()
    demo, key = demo_client(), new_no("key")
    first = create(demo, key=key)
    again = create(demo, key=key)
    assert_replayed(again, first)
    assert again["Idempotency-Payload-Mismatch"] == "order_no"
    for change in ({"amount": 10_001}, {"subject": "Tea"}):
        refused = create(demo, key=key, **change)
        assert error(refused, 422, "idempotency_key_reused")["fields"] == sorted(["order_no", *change])
    assert (Payment.objects.count(), Order.objects.count()) == (1, 1)


def test_another_body_of_a_refund_capture_or_cancel_is_refused(client: SignedClient) -> None:
    given, held, waiting = paid(client), authorized(client), opened(client)
    for call in (
        lambda key, **more: refund(client, given, 10, key=key, **more),
        lambda key, **more: cancel(client, waiting, key=key, **more),
    ):
        key = new_no("key")
        data(call(key))
        assert error(call(key, reason="x"), 422, "idempotency_key_reused")["fields"] == ["reason"]
    key = new_no("key")
    data(capture(client, held, key=key, amount=10))
    assert error(capture(client, held, key=key, amount=11), 422, "idempotency_key_reused")["fields"] == [
        "amount"
    ]
    assert Refund.objects.count() == 1


def test_another_target_is_another_request(client: SignedClient) -> None:
    key, first, second = new_no("key"), paid(client), paid(client)
    data(refund(client, first, 10, key=key))
    refused = refund(client, second, 10, key=key)
    assert error(refused, 422, "idempotency_key_reused")["fields"] == ["payment_no"]
    key = new_no("key")
    data(cancel(client, opened(client), key=key))
    refused = cancel(client, opened(client), key=key)
    assert error(refused, 422, "idempotency_key_reused")["fields"] == ["payment_no"]


# --- Whose key it is --------------------------------------------------------------------------------------------


def test_a_key_belongs_to_one_merchant_environment_and_route(
    client: SignedClient, live_client: SignedClient, other_client: SignedClient
) -> None:
    key = new_no("key")
    numbers = [
        data(each.post(ORDERS, order_request(), idempotency_key=key))["order_no"]
        for each in (client, live_client, other_client)
    ]
    payment = data(create(client, key=key))
    given = data(create(other_client, "auto_pay", key=key))
    data(refund(other_client, given, 1, key=key))
    data(cancel(client, payment, key=key))
    assert len(set(numbers)) == 3
    assert IdempotencyKey.objects.filter(key=key).count() == 7


def test_another_merchants_request_with_the_same_key_and_body_is_its_own(
    client: SignedClient, other_client: SignedClient
) -> None:
    key, wanted = new_no("key"), payment_request()
    mine = data(client.post(PAYMENTS, wanted, idempotency_key=key))
    answer = other_client.post(PAYMENTS, wanted, idempotency_key=key)
    assert data(answer)["payment_no"] != mine["payment_no"]
    assert "Idempotent-Replayed" not in answer


@pytest.mark.parametrize("key", ["k", "a b:c/d?e=%00&{}[]\"'\\", "~" * 255])
def test_every_printable_key_is_accepted(client: SignedClient, key: str) -> None:
    first = client.post(PAYMENTS, wanted := payment_request(), idempotency_key=key)
    data(first)
    assert_replayed(client.post(PAYMENTS, wanted, idempotency_key=key), first)


@pytest.mark.parametrize("key", ["", "~" * 256, "a\tb", "a\x7fb", "caf\xe9", "a\x00b"])
def test_an_invalid_key_is_refused_by_name(transactional_db: None, key: str) -> None:
    seed_demo_merchant()
    before = row_counts()
    answer = demo_client().post(PAYMENTS, payment_request(), idempotency_key=key)
    assert list(error(answer, 400, "validation_failed")) == ["Idempotency-Key"]
    assert row_counts() == before


# --- What operators see -------------------------------------------------------------------------------------------


def test_requests_hits_and_conflicts_are_counted(client: SignedClient) -> None:
    def counts() -> list[float]:
        return [
            metrics.REQUESTS.labels("/payments")._value.get(),
            sum(
                metrics.CACHE_HITS.labels("/payments", source)._value.get()
                for source in ("redis", "postgres")
            ),
            metrics.CONFLICTS.labels("/payments", "key_reused")._value.get(),
        ]

    key, wanted, before = new_no("key"), payment_request(), counts()
    for body in (wanted, wanted, {**wanted, "subject": "Tea"}, {**wanted, "amount": 1}):
        client.post(PAYMENTS, body, idempotency_key=key)
    assert [now - then for now, then in zip(counts(), before, strict=True)] == [4, 1, 2]
