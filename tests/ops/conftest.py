"""A database with payments in every state (`World`), and a fixture that writes past its constraints (`sabotage`)."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from django.db import connection, transaction
from django_redis import get_redis_connection
from pytest_django import DjangoDbBlocker

from idempotency.cache import PREFIX
from merchants.services import NewMerchant
from tests.support import bank, clean_database, shop
from tests.support.fixtures import (  # noqa: F401
    _in_a_hurry,
    client,
    in_a_hurry,
    new_merchant,
    test_client_of,
)
from tests.support.signing import SignedClient
from tests.support.snapshot import Snapshot


@dataclass(frozen=True)
class World:
    """The numbers of the created payments, refund and order."""

    merchant_id: str
    paid: str
    refunded: str
    refund: str
    declined: str
    open: str
    cancelled: str
    captured: str
    order_only: str


@dataclass(frozen=True)
class WorldSnapshot:
    rows: Snapshot
    merchant: NewMerchant
    world: World


@pytest.fixture(scope="session")
def world_snapshot(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> WorldSnapshot:
    """Created before the first test that needs it, while the database is empty."""
    with django_db_blocker.unblock():
        return _world_snapshot()


@cache
def _world_snapshot() -> WorldSnapshot:
    """Created once in each process, although several folders import the fixture."""
    merchant = new_merchant()
    with in_a_hurry():
        world = _create_world(merchant, test_client_of(merchant))
    snapshot = WorldSnapshot(Snapshot("world"), merchant, world)
    clean_database.restore()
    return snapshot


@pytest.fixture
def acme(request: pytest.FixtureRequest, transactional_db: None) -> NewMerchant:
    """Returns the merchant of the world in a test that has one, otherwise a new merchant."""
    if "world_snapshot" not in request.fixturenames:
        return new_merchant()
    snapshot: WorldSnapshot = request.getfixturevalue("world_snapshot")
    snapshot.rows.restore()
    _forget_answers()
    return deepcopy(snapshot.merchant)


def _forget_answers() -> None:
    """Deletes the stored answers in Redis: the merchant is the same in each test, and so are its idempotency keys."""
    redis = get_redis_connection("default")
    if names := list(redis.scan_iter(f"{PREFIX}*", count=10_000)):
        redis.delete(*names)


@pytest.fixture
def world(world_snapshot: WorldSnapshot, acme: NewMerchant) -> World:
    return world_snapshot.world


def _create_world(acme: NewMerchant, client: SignedClient) -> World:  # noqa: F811
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
    """Writes rows while triggers and foreign keys are switched off, which no code of the platform can do."""

    def write(sql: str, parameters: dict[str, Any] | None = None) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(sql, parameters)
            assert cursor.rowcount, "nothing was broken"

    return write


@pytest.fixture
def value() -> Callable[..., Any]:
    """Returns a function that reads the first column of the first row."""

    def read(sql: str, parameters: dict[str, Any] | None = None) -> Any:
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchone()[0]

    return read
