"""Objects of another merchant or of the other environment are 404."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.db.models.functions import Now

from common.ids import public_number, uuid7
from gateway.models import Payment, Refund
from idempotency.models import IdempotencyKey
from merchants.services import NewMerchant
from orders.models import Order, OrderItem
from tests.support.shop import (
    ORDERS,
    PAYMENTS,
    REFUNDS,
    Body,
    authorized,
    create,
    data,
    error,
    get_order,
    get_payment,
    new_no,
    opened,
    ordered,
    paid,
    refund,
)
from tests.support.signing import SignedClient
from tests.support.tables import row_counts

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


def live_payment(merchant: NewMerchant) -> tuple[Body, Body]:
    """Inserts a paid live payment with a refund: no channel serves live keys in tests."""
    now = {
        "order_no": new_no(),
        "merchant_id": merchant.merchant.pk,
        "environment": "live",
        "currency": "USD",
    }
    with transaction.atomic():
        order = Order.objects.create(**now, amount_minor=10_000, subject="Coffee")
        OrderItem.objects.create(
            position=1, order=order, name="Coffee", quantity=1, unit_amount_minor=10_000, amount_minor=10_000
        )
        payment = Payment.objects.create(
            **now,
            id=uuid7(),
            payment_no=public_number("PAY", order.created_at.date()),
            order=order,
            amount_minor=10_000,
            captured_minor=10_000,
            refund_pending_minor=1,
            status="succeeded",
            channel="stripe",
            channel_trade_no=new_no("trade"),
            expires_at=Now() + timedelta(hours=1),
        )
        created_refund = Refund.objects.create(
            refund_no=public_number("REF", order.created_at.date()),
            payment=payment,
            merchant_id=merchant.merchant.pk,
            environment="live",
            amount_minor=1,
            currency="USD",
        )
    shown = {name: getattr(payment, name) for name in ("payment_no", "order_no", "channel_trade_no")}
    return shown, {"refund_no": created_refund.refund_no}


def try_everything(stranger: SignedClient, payment: Body, created_refund: Body) -> None:
    """Every endpoint that names an object answers 404, as for an object that never existed, and changes nothing."""
    before = row_counts()
    one = f"{PAYMENTS}/{payment['payment_no']}"
    for path in (one, f"{REFUNDS}/{created_refund['refund_no']}", f"{ORDERS}/{payment['order_no']}"):
        error(stranger.get(path), 404, "not_found")
        assert stranger.request("HEAD", path).status_code == 404
    writes: list[tuple[str, Any]] = [
        (f"{one}/cancel", {}),
        (f"{one}/capture", {}),
        (f"{one}/sync", {}),
        (f"{ORDERS}/{payment['order_no']}/cancel", {}),
        (f"/api/v1/channel/payments/{payment['channel_trade_no']}/cancel", {}),
        (REFUNDS, {"payment_no": payment["payment_no"], "amount": 1}),
    ]
    for path, body in writes:
        answer = stranger.post(path, body, idempotency_key=new_no("key"))
        error(answer, 404, "not_found")
        missing = path.replace(payment["payment_no"], "PAY-20250101-000000000000")
        if body:
            body = {**body, "payment_no": "PAY-20250101-000000000000"}
        result, of_nothing = json.loads(answer.content), None
        of_nothing = json.loads(stranger.post(missing, body, idempotency_key=new_no("key")).content)
        assert (result["code"], result["error"]) == (of_nothing["code"], of_nothing["error"])
    for path in (PAYMENTS, REFUNDS, ORDERS):
        assert data(stranger.get(path)) == {"items": [], "next_cursor": None}
    for query in (
        f"{PAYMENTS}?order_no={payment['order_no']}",
        f"{REFUNDS}?payment_no={payment['payment_no']}",
    ):
        assert data(stranger.get(query))["items"] == []
    assert row_counts() == before


@pytest.mark.parametrize("kind", ["opened", "paid", "authorized"])
def test_another_merchants_objects_do_not_exist(
    client: SignedClient, other_client: SignedClient, kind: str
) -> None:
    payment = {"opened": opened, "paid": paid, "authorized": authorized}[kind](client)
    created_refund = data(refund(client, paid(client), 1))
    try_everything(other_client, payment, created_refund)
    assert get_payment(client, payment).items() >= payment.items()


def test_live_objects_do_not_exist_for_a_test_key(
    acme: NewMerchant, client: SignedClient, live_client: SignedClient
) -> None:
    payment, created_refund = live_payment(acme)
    try_everything(client, payment, created_refund)
    assert get_payment(live_client, payment)["environment"] == "live"
    assert get_order(live_client, payment["order_no"])["environment"] == "live"


def test_test_objects_do_not_exist_for_a_live_key(client: SignedClient, live_client: SignedClient) -> None:
    payment = paid(client)
    try_everything(live_client, payment, data(refund(client, payment, 1)))


def test_lists_contain_only_own_objects(
    acme: NewMerchant, client: SignedClient, live_client: SignedClient, other_client: SignedClient
) -> None:
    mine, foreign, (live, _refund) = opened(client), opened(other_client), live_payment(acme)
    for path, name in ((PAYMENTS, "payment_no"), (ORDERS, "order_no")):
        for each, expected in ((client, mine), (other_client, foreign), (live_client, live)):
            assert [row[name] for row in data(each.get(path))["items"]] == [expected[name]]


def test_a_cursor_of_another_merchant_shows_nothing(client: SignedClient, other_client: SignedClient) -> None:
    for _ in range(3):
        opened(client)
    cursor = data(client.get(f"{PAYMENTS}?limit=1"))["next_cursor"]
    assert data(other_client.get(f"{PAYMENTS}?cursor={cursor}"))["items"] == []


def test_order_numbers_are_separate_for_each_merchant(
    client: SignedClient, other_client: SignedClient, live_client: SignedClient
) -> None:
    order_no = new_no()
    assert len({data(create(each, order_no=order_no))["payment_no"] for each in (client, other_client)}) == 2
    assert ordered(live_client, order_no=order_no)["environment"] == "live"
    details = error(create(client, order_no=order_no), 409, "duplicate_order_no")
    assert (
        details["payment_no"] == data(client.get(f"{PAYMENTS}?order_no={order_no}"))["items"][0]["payment_no"]
    )


def test_a_payment_never_pays_another_merchants_order(
    client: SignedClient, other_client: SignedClient
) -> None:
    order = ordered(client, amount=5)
    paid(other_client, order_no=order["order_no"])
    assert get_order(client, order["order_no"])["status"] == "pending"


def test_another_merchants_keys_do_not_exist(acme: NewMerchant, other_client: SignedClient) -> None:
    for action in ("rotate", "revoke"):
        path = f"/api/v1/merchant/api-keys/{acme.test_key.api_key.pk}/{action}"
        error(other_client.post(path, {}, idempotency_key=new_no("key")), 404, "not_found")
    numbers = [row["id"] for row in data(other_client.get("/api/v1/merchant/api-keys"))["items"]]
    assert str(acme.test_key.api_key.pk) not in numbers


def test_not_found_is_not_stored_under_the_key(client: SignedClient, other_client: SignedClient) -> None:
    payment, key = opened(client), new_no("key")
    path = f"{PAYMENTS}/{payment['payment_no']}/cancel"
    error(other_client.post(path, {}, idempotency_key=key), 404, "not_found")
    assert not IdempotencyKey.objects.filter(key=key).exists()
    assert data(client.post(path, {}, idempotency_key=key))["status"] == "cancelled"
