"""The checks of sagas and the ledger pass on a healthy platform, and each finds what was broken on purpose."""

import ast
import dataclasses
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from gateway.models import Payment
from monitoring.integrity.registry import CHECKS, list_check_names
from monitoring.integrity.search import SETTLED, find_all_violations
from monitoring.models import ConsistencyResult
from monitoring.services import run_checks
from monitoring.tasks import check_consistency
from scripts.local.config import ROOT
from tests.ops.breakage import Breakage
from tests.ops.conftest import World
from tests.support import background, bank, shop
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


def saga(definition: str, number: str) -> str:
    wanted = f"definition = '{definition}' AND metadata->>'payment_no' = %({number})s"
    return f"(SELECT id FROM saga_instances WHERE {wanted})"


PAID, REFUND, DECLINED = (
    saga("payment.create", "paid"),
    saga("refund.create", "refunded"),
    saga("payment.create", "declined"),
)
EVENT = "INSERT INTO saga_events (saga_id, kind, step_name, direction, outcome, detail, fence, worker, actor, reason)"


def event(
    of: str, step: str, direction: str = "forward", *, fence: str = "fence", worker: str = "max(worker)"
) -> str:
    """Returns SQL that adds a successful attempt to the history of a saga, in the name of its last worker."""
    return (
        f"{EVENT} SELECT id, 'attempt', '{step}', '{direction}', 'success', '{{}}', {fence},"
        f" (SELECT {worker} FROM saga_events e WHERE e.saga_id = i.id), '', '' FROM saga_instances i WHERE id = {of}"
    )


def step(change: str, order: int, of: str) -> str:
    return f"UPDATE saga_steps SET {change} WHERE step_order = {order} AND saga_id = {of}"


def instance(change: str, of: str) -> str:
    return f"UPDATE saga_instances SET {change} WHERE id = {of}"


LEDGER = "INSERT INTO simulator_ledger (reference, refund_reference, kind, amount, currency, key)"
OPEN_SAGA = "status = 'in_progress', completed_at = NULL"

BREAKAGES = [
    Breakage("step_effects_once", "a call that happened twice", event(PAID, "CallPaymentChannel")),
    Breakage("step_effects_once", "compensated twice", event(DECLINED, "CreateOrder", "compensating")),
    Breakage("completed_sagas", "a step that waits", step("status = 'pending'", 3, PAID)),
    Breakage("completed_sagas", "a step in doubt", step("in_doubt = true", 2, PAID)),
    Breakage(
        "completed_sagas",
        "a step nobody ran",
        f"DELETE FROM saga_events WHERE step_name = 'ActivatePayment' AND saga_id = {PAID}",
    ),
    Breakage("completed_sagas", "a compensated step", event(PAID, "CallPaymentChannel", "compensating")),
    Breakage(
        "completed_sagas",
        "a step that was lost",
        f"DELETE FROM saga_steps WHERE step_order = 2 AND saga_id = {PAID}",
    ),
    Breakage("completed_sagas", "no steps", f"DELETE FROM saga_steps WHERE saga_id = {PAID}"),
    Breakage("compensated_sagas", "a step that stands", step("status = 'completed'", 1, DECLINED)),
    Breakage("compensated_sagas", "a call in doubt", step("in_doubt = true", 2, DECLINED)),
    Breakage(
        "compensated_sagas", "an effect that is not compensated", step("status = 'failed'", 1, DECLINED)
    ),
    Breakage(
        "compensated_sagas",
        "an unknown taken for a failure",
        event(DECLINED, "CallPaymentChannel").replace("'success'", "'unknown'"),
    ),
    Breakage("compensation_order", "history", event(DECLINED, "ActivatePayment", "compensating")),
    Breakage(
        "compensation_order",
        "times",
        step("status = 'compensated', compensated_at = now() + interval '1 hour'", 2, DECLINED),
    ),
    Breakage("fencing_tokens", "an older fence wrote later", event(PAID, "Late", fence="fence - 1")),
    Breakage("fencing_tokens", "a fence from nowhere", event(PAID, "Late", fence="fence + 1")),
    Breakage("fencing_tokens", "the end written under another's claim", instance("fence = fence + 1", PAID)),
    Breakage("fencing_tokens", "a fence of two workers", event(PAID, "Late", worker="min('another:1')")),
    Breakage("finished_sagas", "over, and held", instance("lease_owner = 'somebody:1'", PAID)),
    Breakage("finished_sagas", "failed without a review", instance("status = 'failed'", PAID)),
    Breakage(
        "saga_deadlines",
        "open for ever",
        instance(f"{OPEN_SAGA}, deadline_at = now() - interval '1 hour'", PAID),
    ),
    Breakage(
        "sagas_once",
        "created by two sagas",
        instance("business_id = %(paid)s", saga("payment.create", "open")),
    ),
    Breakage(
        "ledger_entries_once", "charged twice", f"{LEDGER} VALUES (%(paid)s, '', 'charge', 1, 'USD', 'other')"
    ),
    Breakage(
        "ledger_entries_once",
        "refunded twice",
        f"{LEDGER} VALUES (%(refunded)s, %(refund)s, 'refund', 3000, 'USD', 'other')",
    ),
    Breakage(
        "ledger_entries_once",
        "one key twice",
        f"{LEDGER} SELECT %(open)s, '', kind, 1, 'USD', key FROM simulator_ledger"
        " WHERE kind = 'charge' AND reference = %(paid)s",
    ),
    Breakage(
        "events_once",
        "paid twice",
        "UPDATE outbox_events SET type = 'payment.succeeded'"
        " WHERE type = 'payment.created' AND ordering_key = %(paid)s",
    ),
    Breakage("created_payments", "no payment", "DELETE FROM payments WHERE payment_no = %(open)s"),
    Breakage(
        "created_payments",
        "no order",
        "DELETE FROM orders WHERE id = (SELECT order_id FROM payments WHERE payment_no = %(open)s)",
    ),
    Breakage(
        "created_payments", "not at the bank", "DELETE FROM simulator_payments WHERE reference = %(open)s"
    ),
    Breakage(
        "created_payments",
        "a tombstone at the bank",
        "UPDATE simulator_payments SET create_key = NULL WHERE reference = %(open)s",
    ),
    Breakage(
        "created_payments",
        "another amount",
        "UPDATE simulator_payments SET amount = 10001 WHERE reference = %(open)s",
    ),
    Breakage(
        "compensated_payments",
        "still open here",
        "UPDATE payments SET status = 'pending' WHERE payment_no = %(declined)s",
    ),
    Breakage(
        "compensated_payments",
        "still open at the bank",
        "UPDATE simulator_payments SET state = 'open' WHERE reference = %(declined)s",
    ),
    Breakage(
        "compensated_payments",
        "the order waits",
        "UPDATE orders SET status = 'pending'"
        " WHERE id = (SELECT order_id FROM payments WHERE payment_no = %(declined)s)",
    ),
    Breakage(
        "cancelled_payments",
        "still open here",
        "UPDATE payments SET status = 'pending' WHERE payment_no = %(cancelled)s",
    ),
    Breakage(
        "cancelled_payments",
        "still open at the bank",
        "UPDATE simulator_payments SET state = 'open' WHERE reference = %(cancelled)s",
    ),
    Breakage(
        "captured_payments",
        "more than requested",
        "UPDATE simulator_ledger SET amount = 7001 WHERE kind = 'capture' AND reference = %(captured)s",
    ),
    Breakage(
        "captured_payments",
        "taken and taken back",
        instance("status = 'compensated'", saga("payment.capture", "captured")),
    ),
    Breakage(
        "captures_add_up",
        "a capture without money",
        "INSERT INTO captures (id, payment_id, number, amount_minor, is_final, status)"
        " SELECT gen_random_uuid(), id, 2, 1, false, 'succeeded' FROM payments WHERE payment_no = %(captured)s",
        "captured",
    ),
    Breakage(
        "captures_add_up",
        "an open capture without a saga",
        "INSERT INTO captures (id, payment_id, number, amount_minor, is_final, status)"
        " SELECT gen_random_uuid(), id, 2, 1, false, 'pending' FROM payments WHERE payment_no = %(captured)s",
        "captured",
    ),
    Breakage(
        "increments_add_up",
        "authorized without an increment",
        "UPDATE payments SET authorization_increment_minor = 1 WHERE payment_no = %(captured)s",
        "captured",
    ),
    Breakage(
        "completed_approvals",
        "completed, and still approved at the bank",
        f"WITH completed AS (UPDATE saga_instances SET definition = 'payment.complete'"
        f" WHERE id = {saga('payment.capture', 'captured')})"
        " UPDATE simulator_payments SET state = 'approved' WHERE reference = %(captured)s",
    ),
    Breakage(
        "completed_approvals",
        "compensated, and captured at the bank",
        instance(
            "definition = 'payment.complete', status = 'compensated'", saga("payment.capture", "captured")
        ),
    ),
    Breakage("finished_refunds", "no refund here", "DELETE FROM refunds WHERE refund_no = %(refund)s"),
    Breakage(
        "finished_refunds",
        "unknown to the bank",
        "DELETE FROM simulator_refunds WHERE reference = %(refund)s",
    ),
    Breakage(
        "finished_refunds",
        "paid less",
        "UPDATE simulator_ledger SET amount = 2999 WHERE refund_reference = %(refund)s",
    ),
    Breakage(
        "finished_refunds",
        "paid, and failed here",
        "UPDATE refunds SET status = 'failed' WHERE refund_no = %(refund)s",
    ),
    Breakage(
        "finished_refunds",
        "compensated, and refunded at the bank",
        instance("status = 'compensated'", REFUND),
    ),
    Breakage(
        "refund_limits",
        "more than was captured",
        "UPDATE refunds SET amount_minor = 10001 WHERE refund_no = %(refund)s",
    ),
    Breakage(
        "refund_limits",
        "a forgotten reservation",
        "UPDATE payments SET refund_pending_minor = 5 WHERE payment_no = %(paid)s",
    ),
    Breakage(
        "ledger_limits",
        "gave back more than it took",
        "UPDATE simulator_ledger SET amount = 10001 WHERE refund_reference = %(refund)s",
    ),
    Breakage(
        "ledger_limits",
        "took more than it held",
        "UPDATE simulator_ledger SET amount = 1 WHERE kind = 'authorize' AND reference = %(captured)s",
    ),
    Breakage(
        "ledger_agrees",
        "a charge we do not know",
        "UPDATE payments SET captured_minor = 0 WHERE payment_no = %(paid)s",
    ),
    Breakage(
        "ledger_agrees",
        "a charge the bank does not know",
        "DELETE FROM simulator_ledger WHERE reference = %(paid)s",
    ),
    Breakage(
        "late_payments_refunded",
        "kept",
        "UPDATE payments SET status = 'cancelled' WHERE payment_no = %(paid)s",
    ),
    Breakage(
        "signals_consumed",
        "waits beyond its deadline",
        instance(
            f"{OPEN_SAGA}, waiting_for = 'news', waiting_until = deadline_at + interval '1 second',"
            " lease_expires_at = NULL",
            PAID,
        ),
    ),
    Breakage(
        "signals_consumed",
        "waits for what is there",
        f"WITH told AS (INSERT INTO saga_signals (saga_id, signal_id, name, payload)"
        f" VALUES ({PAID}, 'evt_1', 'news', '{{}}')) "
        + instance(f"{OPEN_SAGA}, waiting_for = 'news', waiting_until = deadline_at", PAID),
    ),
    Breakage(
        "signals_consumed",
        "a signal without an attempt",
        f"INSERT INTO saga_signals (saga_id, signal_id, name, payload, taken_at, taken_by)"
        f" VALUES ({PAID}, 'evt_1', 'news', '{{}}', now(), 'nobody')",
    ),
]


def find() -> list[str]:
    with connection.cursor() as cursor:
        return [str(violation) for violation in find_all_violations(cursor, grace=SETTLED)]


@pytest.fixture
def drop_constraints() -> Callable[[], None]:
    """Drops, until the rollback, the constraints that prevent what the checks look for."""

    def drop() -> None:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE simulator_ledger DROP CONSTRAINT simulator_ledger_once_per_key")
            cursor.execute("DROP INDEX simulator_ledger_once_per_payment")
            cursor.execute("ALTER TABLE saga_instances DROP CONSTRAINT saga_at_rest_has_no_lease")
            for table in ("payments", "refunds", "simulator_payments"):
                cursor.execute(
                    "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'c'",
                    [table],
                )
                for (name,) in cursor.fetchall():
                    cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")

    return drop


def test_each_check_finds_what_was_broken(
    world: World,
    sabotage: Callable[..., None],
    drop_constraints: Callable[[], None],
    subtests: pytest.Subtests,
) -> None:
    assert find() == []
    numbers: dict[str, Any] = dataclasses.asdict(world)
    for broken in BREAKAGES:
        with subtests.test(f"{broken.check}: {broken.what}"), transaction.atomic():
            drop_constraints()
            sabotage(broken.sql, numbers)
            assert any(row.startswith(f"{broken.check}: ") for row in find()), find()
            transaction.set_rollback(True)
    assert find() == []


def test_a_late_payment_is_refunded_or_needs_review(client: SignedClient, settings: Any) -> None:
    for policy in ("refund", "park"):
        settings.LATE_MONEY_POLICY = policy
        payment = shop.opened(client)
        shop.data(shop.cancel(client, payment))
        bank.pay_closed_payment(payment)
        assert any(row.startswith("late_payments_refunded: ") for row in find())
        bank.deliver_webhooks(payment["payment_no"])
        background.finish()
        assert find() == []
    Payment.objects.update(needs_attention=False)
    assert {row.split(":")[0] for row in find()} == {"late_payments_refunded"}


def test_an_open_saga_breaks_no_rule_before_its_deadline(client: SignedClient) -> None:
    shop.data(shop.create(client, "timeout_after"), 202)
    with connection.cursor() as cursor:
        assert find_all_violations(cursor) == []
        assert [found.check for found in find_all_violations(cursor, grace=SETTLED)] == [
            "stuck_sagas",
            "saga_deadlines",
        ]


def test_the_command_makes_every_check_and_prints_the_details(
    world: World, sabotage: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("check_consistency", "--books", "--grace", "0s")
    assert f"{len(CHECKS)} of {len(CHECKS)} checks passed" in capsys.readouterr().out
    sabotage(event(PAID, "CallPaymentChannel"), dataclasses.asdict(world))
    with pytest.raises(SystemExit):
        call_command("check_consistency", "--grace", "0s")
    printed = capsys.readouterr().out
    assert re.search(r"^FAILED step_effects_once ", printed, re.MULTILINE)
    assert "CallPaymentChannel forward succeeded twice" in printed


def test_the_hourly_run_makes_every_check(world: World, sabotage: Callable[..., None]) -> None:
    sabotage(event(PAID, "CallPaymentChannel"), dataclasses.asdict(world))
    assert check_consistency() == 1
    failed = ConsistencyResult.objects.get(passed=False)
    assert failed.name == "step_effects_once"
    assert failed.sample[0].endswith(": CallPaymentChannel forward succeeded twice")
    assert set(ConsistencyResult.objects.values_list("name", flat=True)) == set(list_check_names())


def test_a_refund_of_an_older_payment_breaks_no_rule_of_a_recent_run(
    client: SignedClient, sabotage: Callable[..., None]
) -> None:
    """A check that adds up only the recent entries would see a refund without its charge."""
    payment = shop.paid(client)
    days_ago = "now() - interval '3 days'"
    for table in ("payments", "orders", "saga_instances", "payment_attempts", "outbox_events"):
        sabotage(f"UPDATE {table} SET created_at = {days_ago}")
    sabotage(f"UPDATE simulator_ledger SET at = {days_ago}")
    sabotage(f"UPDATE outbox_events SET published_at = {days_ago}, fanned_out_at = {days_ago}")
    refund = shop.data(shop.refund(client, payment, 3_000))
    bank.deliver_webhooks(payment["payment_no"])
    report = run_checks(since=timedelta(hours=25), grace=timedelta(0))
    assert [result.name for result in report.results if not result.passed] == []
    sabotage(
        "UPDATE simulator_ledger SET amount = 10001 WHERE refund_reference = %(n)s",
        {"n": refund["refund_no"]},
    )
    failed = {result.name for result in run_checks(since=timedelta(hours=25)).results if not result.passed}
    assert "ledger_limits" in failed


def test_the_checks_share_no_code_with_what_they_check() -> None:
    """The checks must not repeat a mistake of the models or the engine. Only the repairs import them."""
    allowed = (
        "collections.abc",
        "dataclasses",
        "datetime",
        "typing",
        "django.utils.",
        "monitoring.retention",
        "sagas.thresholds",  # a number, and no import
    )
    for source in Path(ROOT / "monitoring/integrity").glob("*.py"):
        if source.name == "repairs.py":
            continue
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                module = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
                assert module is not None
                assert module.startswith((*allowed, "monitoring.integrity")), (source, module)
