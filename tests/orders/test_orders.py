"""Orders, alone and with their payments."""

from urllib.parse import quote

import pytest
from django.db import IntegrityError, connection, transaction

from gateway.models import Payment
from orders.models import Order, OrderItem
from sagas.models import SagaInstance
from tests.support import background, bank
from tests.support.shop import (
    ORDERS,
    cancel_order,
    create,
    data,
    error,
    get_order,
    get_payment,
    new_no,
    opened,
    order_request,
    ordered,
    paid,
)
from tests.support.signing import SignedClient
from tests.support.threads import at_once, in_background, wait_until, waiting_for_locks

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


def test_an_order_is_placed(client: SignedClient) -> None:
    wanted = order_request(
        items=[
            {"name": "Tea", "quantity": 3, "unit_amount": 3_000},
            {"name": "Milk", "quantity": 1, "unit_amount": 1_000},
        ],
        metadata={"table": "7"},
    )
    order = data(client.post(ORDERS, wanted))
    assert {name: order[name] for name in wanted if name != "items"} == {
        name: value for name, value in wanted.items() if name != "items"
    }
    assert [(item["name"], item["amount"]) for item in order["items"]] == [("Tea", 9_000), ("Milk", 1_000)]
    assert (order["status"], order["environment"], order["paid_at"]) == ("pending", "test", None)
    assert get_order(client, order["order_no"]) == order


def test_items_express_discounts_free_lines_and_rounding(client: SignedClient) -> None:
    items = [
        {"name": "Tea", "quantity": 3, "unit_amount": 3_333},
        {"name": "Sample", "quantity": 1, "unit_amount": 0},
        {"name": "Voucher", "quantity": 2, "unit_amount": -500},
        {"name": "Rounding", "quantity": 1, "unit_amount": 1},
    ]
    order = ordered(client, amount=9_000, items=items)
    assert [item["amount"] for item in order["items"]] == [9_999, 0, -1_000, 1]
    payment = paid(client, amount=9_000, items=items)
    assert [item["amount"] for item in get_order(client, payment["order_no"])["items"]] == [
        9_999,
        0,
        -1_000,
        1,
    ]


@pytest.mark.parametrize(
    ("unit_amounts", "field"),
    [((10_000, -1), "items"), ((-10_000,), "items"), ((10_000, -(10**12)), "items.1.unit_amount")],
)
def test_items_that_do_not_add_up_are_refused_by_name(
    client: SignedClient, unit_amounts: tuple[int, ...], field: str
) -> None:
    items = [{"name": "Tea", "quantity": 1, "unit_amount": amount} for amount in unit_amounts]
    assert list(error(client.post(ORDERS, order_request(items=items)), 400, "validation_failed")) == [field]


def test_an_order_without_items_gets_one_from_its_subject(client: SignedClient) -> None:
    assert ordered(client)["items"] == [
        {"name": "Coffee", "quantity": 1, "unit_amount": 10_000, "amount": 10_000}
    ]


@pytest.mark.parametrize("order_no", ["A", "a_b.c:d@e+f=g~h-i", "...", "0" * 64])
def test_an_order_is_found_by_any_number_it_may_have(client: SignedClient, order_no: str) -> None:
    ordered(client, order_no=order_no)
    assert get_order(client, order_no)["order_no"] == order_no


def test_payments_are_listed_by_any_number(client: SignedClient) -> None:
    payment = opened(client, order_no="a_b.c:d@e+f=g~h-i")
    found = data(client.get(f"/api/v1/payments?order_no={quote('a_b.c:d@e+f=g~h-i')}"))["items"]
    assert [each["payment_no"] for each in found] == [payment["payment_no"]]


@pytest.mark.parametrize("order_no", [".", ".."])
def test_a_number_that_no_address_can_hold_is_refused(client: SignedClient, order_no: str) -> None:
    """Clients and proxies read `/orders/..` as `/`, so nobody could request such an order."""
    details = error(client.post(ORDERS, order_request(order_no=order_no)), 400, "validation_failed")
    assert list(details) == ["order_no"]


def test_a_number_is_used_once(client: SignedClient) -> None:
    order = ordered(client)
    answer = client.post(ORDERS, order_request(order_no=order["order_no"]))
    assert error(answer, 409, "duplicate_order_no")["order_no"] == order["order_no"]
    payment = opened(client)
    answer = client.post(ORDERS, order_request(order_no=payment["order_no"]))
    assert error(answer, 409, "duplicate_order_no")["order_no"] == payment["order_no"]


def test_simultaneous_requests_place_one_order_for_a_number(client: SignedClient) -> None:
    wanted = order_request()
    answers = at_once(*[lambda: client.post(ORDERS, wanted)] * 12)
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 11
    assert Order.objects.count() == 1


def test_orders_are_listed_and_filtered(client: SignedClient) -> None:
    made = [ordered(client)["order_no"] for _ in range(3)]
    done = paid(client)["order_no"]
    data(cancel_order(client, made[0]))

    def numbers(query: str = "") -> list[str]:
        return [row["order_no"] for row in data(client.get(f"{ORDERS}{query}"))["items"]]

    assert numbers() == [done, *made[::-1]]
    assert numbers("?status=paid") == [done]
    assert numbers("?status=cancelled") == [made[0]]
    assert numbers("?created_to=2020-01-01T00:00:00Z") == []
    page = data(client.get(f"{ORDERS}?limit=3"))
    assert numbers(f"?limit=3&cursor={page['next_cursor']}") == [made[0]]


# --- Cancelling -------------------------------------------------------------------------------------------------


def test_an_order_without_payment_is_cancelled(client: SignedClient) -> None:
    order = ordered(client)
    now = data(cancel_order(client, order["order_no"], reason="changed my mind"))
    assert now["status"] == "cancelled"
    assert now["cancelled_at"]
    assert data(cancel_order(client, order["order_no"])) == now, "cancelling twice is allowed"


def test_an_open_payment_is_cancelled_at_the_channel_first(client: SignedClient) -> None:
    payment = opened(client)
    assert data(cancel_order(client, payment["order_no"]))["status"] == "cancelled"
    assert get_payment(client, payment)["status"] == "cancelled"
    assert bank.build_webhook(payment)["payment"]["state"] == "cancelled"


def test_cancelling_a_paid_order_is_refused_with_the_advice_to_refund(client: SignedClient) -> None:
    payment = paid(client)
    details = error(cancel_order(client, payment["order_no"]), 409, "order_paid")
    assert details["payment_no"] == payment["payment_no"]
    assert get_order(client, payment["order_no"])["status"] == "paid"


def test_an_order_that_was_paid_before_its_cancellation_stays_paid(client: SignedClient) -> None:
    payment = opened(client, "no_webhook")
    bank.pay(payment)
    error(cancel_order(client, payment["order_no"]), 409, "order_paid")
    assert get_order(client, payment["order_no"])["status"] == "paid"
    error(cancel_order(client, payment["order_no"]), 409, "order_paid")


def test_an_order_whose_channel_does_not_answer_is_cancelled_later(client: SignedClient) -> None:
    payment, key = opened(client, "cancel:timeout_before"), new_no("key")
    assert data(cancel_order(client, payment["order_no"], key=key), 202)["status"] == "pending"
    background.finish()
    assert data(cancel_order(client, payment["order_no"], key=key))["status"] == "cancelled"


def test_cancelling_and_paying_an_order_at_the_same_moment(client: SignedClient) -> None:
    """The payment locks the row first: the cancel must see the payment and must not cancel the order."""
    order = ordered(client)
    with transaction.atomic():
        Order.objects.select_for_update().get(order_no=order["order_no"])
        paying = in_background(lambda: create(client, order_no=order["order_no"]))
        wait_until(lambda: waiting_for_locks() == 1)
        cancelling = in_background(lambda: cancel_order(client, order["order_no"]))
        wait_until(lambda: waiting_for_locks() == 2)
    payment, answer = data(paying.result()), cancelling.result()
    order_now, payment_now = get_order(client, order["order_no"]), get_payment(client, payment)
    assert (order_now["status"], payment_now["status"]) in (
        ("pending", "pending"),
        ("cancelled", "cancelled"),
    )
    assert answer.status_code in (200, 409)


# --- What the database itself refuses -------------------------------------------------------------------------------


def test_the_database_refuses_an_order_whose_items_do_not_add_up(client: SignedClient) -> None:
    order = Order.objects.get(order_no=ordered(client)["order_no"])
    for wrong in (
        lambda: OrderItem.objects.filter(order=order).delete(),
        lambda: OrderItem.objects.filter(order=order).update(unit_amount_minor=1, amount_minor=1),
        lambda: Order.objects.filter(id=order.id).update(amount_minor=9_999),
        lambda: Order.objects.create(
            merchant_id=order.merchant_id,
            environment="test",
            order_no=new_no(),
            amount_minor=1,
            currency="USD",
        ),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            wrong()


def test_the_database_refuses_to_reopen_an_ended_order(client: SignedClient) -> None:
    for order_no, end in ((paid(client)["order_no"], "paid"), (ordered(client)["order_no"], "cancelled")):
        if end == "cancelled":
            data(cancel_order(client, order_no))
        for status in {"pending", "paid", "cancelled"} - {end}:
            with pytest.raises(IntegrityError), transaction.atomic():
                Order.objects.filter(order_no=order_no).update(status=status)


def test_the_quick_starts_statements_return_no_rows(client: SignedClient) -> None:
    paid(client), ordered(client), create(client, "decline")
    statements = (
        "SELECT order_no, COUNT(*) FROM payments GROUP BY order_no HAVING COUNT(*) > 1",
        "SELECT o.id, o.order_no, COUNT(oi.id) AS items_count FROM orders o "
        "LEFT JOIN order_items oi ON o.id = oi.order_id GROUP BY o.id, o.order_no HAVING COUNT(oi.id) = 0",
        "SELECT m.id, m.email, COUNT(ak.id) AS api_keys_count FROM merchants m "
        "LEFT JOIN api_keys ak ON m.id = ak.merchant_id GROUP BY m.id, m.email HAVING COUNT(ak.id) < 2",
    )
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
            assert cursor.fetchall() == []
    assert Payment.objects.count() == 2
    assert SagaInstance.objects.count() == 2
