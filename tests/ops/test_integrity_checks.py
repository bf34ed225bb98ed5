"""Each check passes on a healthy platform, and finds exactly the row that was broken on purpose."""

import dataclasses
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from monitoring.integrity import registry
from monitoring.integrity.search import find_violations
from tests.ops import test_integrity_saga_checks
from tests.ops.breakage import Breakage
from tests.ops.conftest import World
from tests.ops.fee_breakages import FEE_BREAKAGES
from tests.ops.ledger_breakages import LEDGER_BREAKAGES
from tests.ops.payout_breakages import PAYOUT_BREAKAGES
from tests.ops.settlement_breakages import SETTLEMENT_BREAKAGES

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

OF = "(SELECT id FROM payments WHERE payment_no = %({0})s)"
ORDER_OF = "(SELECT order_id FROM payments WHERE payment_no = %({0})s)"
ORDER_NO_OF = "SELECT order_no FROM payments WHERE payment_no = %({0})s"
SAGA_OF = "SELECT id::text FROM payments WHERE payment_no = %({0})s"


BREAKAGES = [
    *LEDGER_BREAKAGES,
    *PAYOUT_BREAKAGES,
    *SETTLEMENT_BREAKAGES,
    *FEE_BREAKAGES,
    Breakage(
        "disputed_amounts",
        "a disputed amount without a dispute",
        "UPDATE payments SET disputed_minor = 1 WHERE payment_no = %(paid)s",
        "paid",
    ),
    Breakage(
        "order_items",
        "no items",
        f"DELETE FROM order_items WHERE order_id = {ORDER_OF.format('paid')}",
        ORDER_NO_OF.format("paid"),
    ),
    Breakage(
        "order_items",
        "an item too dear",
        "UPDATE order_items SET unit_amount_minor = 10001, amount_minor = 10001"
        f" WHERE order_id = {ORDER_OF.format('paid')}",
        ORDER_NO_OF.format("paid"),
    ),
    Breakage(
        "order_items",
        "an item of nobody's",
        "DELETE FROM order_items WHERE order_id = (SELECT id FROM orders WHERE order_no = %(order_only)s)",
        "order_only",
    ),
    Breakage(
        "merchant_keys",
        "no live key",
        "DELETE FROM api_keys WHERE environment = 'live' AND merchant_id = %(merchant_id)s",
        "merchant_id",
    ),
    Breakage(
        "merchant_keys",
        "two live keys, none for tests",
        "UPDATE api_keys SET environment = 'live' WHERE merchant_id = %(merchant_id)s",
        "merchant_id",
    ),
    Breakage(
        "refund_totals",
        "a total without refund",
        "UPDATE payments SET refunded_minor = 1 WHERE payment_no = %(paid)s",
        "paid",
    ),
    Breakage(
        "refund_totals",
        "a refund that was not counted",
        "UPDATE payments SET refunded_minor = 0 WHERE payment_no = %(refunded)s",
        "refunded",
    ),
    Breakage(
        "refund_totals",
        "a reservation without refund",
        "UPDATE payments SET refund_pending_minor = 5 WHERE payment_no = %(refunded)s",
        "refunded",
    ),
    Breakage(
        "refund_totals",
        "a refund in another currency",
        "UPDATE refunds SET currency = 'EUR' WHERE refund_no = %(refund)s",
        "refunded",
    ),
    Breakage(
        "order_follows_payment",
        "paid, the order waits",
        f"UPDATE orders SET status = 'pending' WHERE id = {ORDER_OF.format('paid')}",
        "paid",
    ),
    Breakage(
        "order_follows_payment",
        "declined, the order is paid",
        f"UPDATE orders SET status = 'paid' WHERE id = {ORDER_OF.format('declined')}",
        "declined",
    ),
    Breakage(
        "order_follows_payment",
        "open, the order is cancelled",
        f"UPDATE orders SET status = 'cancelled' WHERE id = {ORDER_OF.format('open')}",
        "open",
    ),
    Breakage(
        "order_follows_payment",
        "another amount",
        "UPDATE payments SET amount_minor = 10001 WHERE payment_no = %(paid)s",
        "paid",
    ),
    Breakage(
        "order_follows_payment",
        "paid by nothing",
        "UPDATE orders SET status = 'paid' WHERE order_no = %(order_only)s",
        "order_only",
    ),
    Breakage(
        "payment_has_saga",
        "a payment of unknown origin",
        f"DELETE FROM saga_instances WHERE id = {OF.format('paid')}",
        "paid",
    ),
    Breakage(
        "payment_has_saga",
        "a refund of unknown origin",
        "DELETE FROM saga_instances WHERE business_id = %(refund)s",
        "refund",
    ),
    Breakage(
        "payment_has_saga",
        "a saga of nothing",
        "DELETE FROM payments WHERE payment_no = %(open)s",
        "open",
    ),
    Breakage(
        "saga_matches_payment",
        "created, and unknown at the channel",
        "UPDATE payments SET channel_trade_no = '', next_action = NULL WHERE payment_no = %(open)s",
        "open",
    ),
    Breakage(
        "saga_matches_payment",
        "rolled back, and open",
        "UPDATE payments SET status = 'pending' WHERE payment_no = %(declined)s",
        "declined",
    ),
    Breakage(
        "saga_matches_payment",
        "refunded, and pending",
        "UPDATE refunds SET status = 'pending' WHERE refund_no = %(refund)s",
        "refund",
    ),
    Breakage(
        "saga_matches_payment",
        "cancelled, and open",
        "UPDATE payments SET status = 'pending' WHERE payment_no = %(cancelled)s",
        "cancelled",
    ),
    Breakage(
        "saga_matches_payment",
        "captured, and held",
        "UPDATE payments SET status = 'authorized' WHERE payment_no = %(captured)s",
        "captured",
    ),
    Breakage(
        "terminal_steps",
        "a retry to come",
        "UPDATE saga_steps SET status = 'failed', next_retry_at = now()"
        f" WHERE step_order = 3 AND saga_id = {OF.format('paid')}",
        SAGA_OF.format("paid"),
    ),
    Breakage(
        "terminal_steps",
        "a call in doubt",
        f"UPDATE saga_steps SET in_doubt = true WHERE step_order = 2 AND saga_id = {OF.format('paid')}",
        SAGA_OF.format("paid"),
    ),
    Breakage(
        "terminal_steps",
        "a step left out",
        f"UPDATE saga_steps SET status = 'pending' WHERE step_order = 3 AND saga_id = {OF.format('paid')}",
        SAGA_OF.format("paid"),
    ),
    Breakage(
        "terminal_steps",
        "a step that is not compensated",
        f"UPDATE saga_steps SET status = 'completed' WHERE step_order = 1 AND saga_id = {OF.format('declined')}",
        SAGA_OF.format("declined"),
    ),
    Breakage(
        "terminal_steps",
        "no steps",
        f"DELETE FROM saga_steps WHERE saga_id = {OF.format('paid')}",
        SAGA_OF.format("paid"),
    ),
    Breakage(
        "stuck_sagas",
        "a lease that ran out",
        "UPDATE saga_instances SET status = 'in_progress', lease_expires_at = now() - interval '1 minute'"
        f" WHERE id = {OF.format('paid')}",
        SAGA_OF.format("paid"),
    ),
    Breakage(
        "stuck_sagas",
        "nobody's",
        f"UPDATE saga_instances SET status = 'in_progress', lease_expires_at = NULL WHERE id = {OF.format('paid')}",
        SAGA_OF.format("paid"),
    ),
    Breakage(
        "open_payments_watched",
        "a payment that nobody asks about",
        "UPDATE payments SET next_check_at = NULL WHERE payment_no = %(open)s",
        "open",
    ),
    Breakage(
        "open_payments_watched",
        "a refund that nobody asks about",
        "UPDATE refunds SET status = 'processing' WHERE refund_no = %(refund)s",
        "refund",
    ),
    Breakage(
        "outbox_drained",
        "an old event",
        "UPDATE outbox_events SET created_at = now() - interval '6 minutes'"
        " WHERE ordering_key = %(paid)s AND type = 'payment.created'",
        "SELECT event_id::text FROM outbox_events WHERE ordering_key = %(paid)s AND type = 'payment.created'",
    ),
    Breakage(
        "charge_has_payment",
        "a charge for nothing",
        "DELETE FROM payments WHERE payment_no = %(paid)s",
        "paid",
    ),
    Breakage(
        "charge_has_payment",
        "less than was charged",
        "UPDATE payments SET captured_minor = 9999 WHERE payment_no = %(paid)s",
        "paid",
    ),
    Breakage(
        "charge_has_payment",
        "another currency",
        "UPDATE payments SET currency = 'EUR' WHERE payment_no = %(captured)s",
        "captured",
    ),
    Breakage(
        "charge_has_payment",
        "charged twice",
        "INSERT INTO simulator_ledger (reference, refund_reference, kind, amount, currency, key)"
        " VALUES (%(paid)s, '', 'capture', 10000, 'USD', 'again')",
        "paid",
    ),
    Breakage(
        "payment_has_charge",
        "nobody was charged",
        "DELETE FROM simulator_ledger WHERE reference = %(paid)s",
        "paid",
    ),
    Breakage(
        "payment_has_charge",
        "claims money while open",
        "UPDATE payments SET captured_minor = 10000 WHERE payment_no = %(open)s",
        "open",
    ),
    Breakage(
        "refunds_in_books",
        "the bank gave nothing back",
        "DELETE FROM simulator_ledger WHERE kind = 'refund' AND refund_reference = %(refund)s",
        "refund",
    ),
    Breakage(
        "refunds_in_books",
        "given back, and failed here",
        "UPDATE refunds SET status = 'failed' WHERE refund_no = %(refund)s",
        "refund",
    ),
]


def find(check: str) -> tuple[list[str], int]:
    """Runs a check with a grace of -1 minute, because `now()` does not advance within one transaction."""
    with connection.cursor() as cursor:
        violations, count = find_violations(cursor, registry.find_check(check), grace=timedelta(minutes=-1))
    return [violation.id for violation in violations], count


def test_a_healthy_platform_passes_every_check(world: World) -> None:
    assert {name: find(name) for name in registry.list_check_names()} == dict.fromkeys(
        registry.list_check_names(), ([], 0)
    )


def test_each_check_finds_what_was_broken(
    world: World,
    sabotage: Callable[..., None],
    value: Callable[..., Any],
    subtests: pytest.Subtests,
) -> None:
    numbers = dataclasses.asdict(world)
    for broken in BREAKAGES:
        row = numbers.get(broken.row) or value(broken.row, numbers)
        with subtests.test(f"{broken.check}: {broken.what}"), transaction.atomic():
            sabotage(broken.sql, numbers)
            assert find(broken.check) == ([row], 1)
            transaction.set_rollback(True)
    test_a_healthy_platform_passes_every_check(world)


def test_a_wrong_amount_in_the_ledger_is_found_from_both_sides(
    world: World, sabotage: Callable[..., None]
) -> None:
    sabotage("UPDATE simulator_ledger SET amount = 2999 WHERE refund_reference = %(n)s", {"n": world.refund})
    assert find("refunds_in_books") == ([world.refund, world.refund], 2)


@pytest.fixture
def _no_unique_order_numbers() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE payments DROP CONSTRAINT payment_order_no_once")
        cursor.execute("ALTER TABLE orders DROP CONSTRAINT order_no_once")
    yield
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE payments, orders CASCADE")
        unique = "UNIQUE (merchant_id, environment, order_no)"
        cursor.execute(f"ALTER TABLE payments ADD CONSTRAINT payment_order_no_once {unique}")
        cursor.execute(f"ALTER TABLE orders ADD CONSTRAINT order_no_once {unique}")


@pytest.mark.usefixtures("_no_unique_order_numbers")
def test_duplicate_order_numbers_are_found(world: World, sabotage: Callable[..., None]) -> None:
    same = "SET order_no = 'ORDER-same' WHERE"
    numbers = dataclasses.asdict(world)
    sabotage(f"UPDATE payments {same} payment_no IN (%(paid)s, %(open)s)", numbers)
    assert find("duplicate_order_numbers") == (sorted([world.paid, world.open]), 2)
    orders = "SELECT order_id FROM payments WHERE payment_no IN (%(paid)s, %(open)s)"
    sabotage(f"UPDATE orders {same} id IN ({orders})", numbers)
    assert find("duplicate_order_numbers")[1] == 4


def test_every_check_is_shown_to_fail() -> None:
    shown = {broken.check for broken in (*BREAKAGES, *test_integrity_saga_checks.BREAKAGES)}
    in_other_tests = {"duplicate_order_numbers", "wechat_sandbox_agrees", "alipay_sandbox_agrees"}
    assert shown | in_other_tests == set(registry.list_check_names())
