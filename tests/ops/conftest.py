"""A platform with a bit of everything in it, and ways to break it behind its own back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import connection, transaction

from merchants.services import NewMerchant
from tests.support import bank, shop
from tests.support.fixtures import (  # noqa: F401
    _in_a_hurry,
    acme,
    client,
)
from tests.support.signing import SignedClient


@dataclass(frozen=True)
class World:
    """Numbers of what is there: payments, refunds and orders."""

    merchant_id: str
    paid: str
    refunded: str
    refund: str
    declined: str
    open: str
    cancelled: str
    captured: str
    order_only: str


@pytest.fixture
def world(acme: NewMerchant, client: SignedClient) -> World:  # noqa: F811
    paid = shop.paid(client)
    refunded = shop.paid(client)
    refund = shop.data(shop.refund(client, refunded, 3_000))
    details = shop.error(shop.create(client, "decline"), 402, "payment_declined")
    opened = shop.opened(client)
    cancelled = shop.opened(client)
    shop.data(shop.cancel(client, cancelled))
    captured = shop.authorized(client)
    shop.data(shop.capture(client, captured, amount=7_000))
    order = shop.ordered(client)
    numbers = (paid, refunded, opened, cancelled, captured)
    for payment in numbers:
        bank.deliver_webhooks(payment["payment_no"])
    return World(
        merchant_id=str(acme.merchant.pk),
        paid=paid["payment_no"],
        refunded=refunded["payment_no"],
        refund=refund["refund_no"],
        declined=details["payment_no"],
        open=opened["payment_no"],
        cancelled=cancelled["payment_no"],
        captured=captured["payment_no"],
        order_only=order["order_no"],
    )


@pytest.fixture
def sabotage() -> Callable[..., None]:
    """Writes past every trigger and foreign key, as no code of the platform can."""

    def write(sql: str, parameters: dict[str, Any] | None = None) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(sql, parameters)
            assert cursor.rowcount, "nothing was broken"

    return write


@pytest.fixture
def value() -> Callable[..., Any]:
    """The first column of the first row."""

    def read(sql: str, parameters: dict[str, Any] | None = None) -> Any:
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchone()[0]

    return read
