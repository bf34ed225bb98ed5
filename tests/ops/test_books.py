"""The auditor is quiet on a healthy platform, and each of its rules finds what was broken on purpose."""

import ast
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from gateway.models import Payment
from monitoring.books import audit
from monitoring.books.audit import SETTLED
from scripts.local.config import ROOT
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
    """One more success in the history of a saga, in the name of its last worker."""
    return (
        f"{EVENT} SELECT id, 'attempt', '{step}', '{direction}', 'success', '{{}}', {fence},"
        f" (SELECT {worker} FROM saga_events e WHERE e.saga_id = i.id), '', '' FROM saga_instances i WHERE id = {of}"
    )


@dataclass(frozen=True)
class Breakage:
    rule: str
    what: str
    sql: str


def step(change: str, order: int, of: str) -> str:
    return f"UPDATE saga_steps SET {change} WHERE step_order = {order} AND saga_id = {of}"


def instance(change: str, of: str) -> str:
    return f"UPDATE saga_instances SET {change} WHERE id = {of}"


LEDGER = "INSERT INTO simulator_ledger (reference, refund_reference, kind, amount, currency, key)"
OPEN_SAGA = "status = 'in_progress', completed_at = NULL"

BREAKAGES = [
    Breakage("effect_once", "a call that happened twice", event(PAID, "CallPaymentChannel")),
    Breakage("effect_once", "undone twice", event(DECLINED, "CreateOrder", "compensating")),
    Breakage("completed", "a step that waits", step("status = 'pending'", 3, PAID)),
    Breakage("completed", "a step in doubt", step("in_doubt = true", 2, PAID)),
    Breakage(
        "completed",
        "a step nobody ran",
        f"DELETE FROM saga_events WHERE step_name = 'ActivatePayment' AND saga_id = {PAID}",
    ),
    Breakage("completed", "a step that was undone", event(PAID, "CallPaymentChannel", "compensating")),
    Breakage(
        "completed",
        "a step that was lost",
        f"DELETE FROM saga_steps WHERE step_order = 2 AND saga_id = {PAID}",
    ),
    Breakage("completed", "no steps", f"DELETE FROM saga_steps WHERE saga_id = {PAID}"),
    Breakage("compensated", "a step that stands", step("status = 'completed'", 1, DECLINED)),
    Breakage("compensated", "a call in doubt", step("in_doubt = true", 2, DECLINED)),
    Breakage("compensated", "an effect not undone", step("status = 'failed'", 1, DECLINED)),
    Breakage(
        "compensated",
        "an unknown taken for a failure",
        event(DECLINED, "CallPaymentChannel").replace("'success'", "'unknown'"),
    ),
    Breakage("reverse_order", "history", event(DECLINED, "ActivatePayment", "compensating")),
    Breakage(
        "reverse_order",
        "times",
        step("status = 'compensated', compensated_at = now() + interval '1 hour'", 2, DECLINED),
    ),
    Breakage("fences", "an older fence wrote later", event(PAID, "Late", fence="fence - 1")),
    Breakage("fences", "a fence from nowhere", event(PAID, "Late", fence="fence + 1")),
    Breakage("fences", "the end written under another's claim", instance("fence = fence + 1", PAID)),
    Breakage("fences", "a fence of two workers", event(PAID, "Late", worker="min('another:1')")),
    Breakage("at_rest", "over, and held", instance("lease_owner = 'somebody:1'", PAID)),
    Breakage("at_rest", "failed, and nobody told", instance("status = 'failed'", PAID)),
    Breakage(
        "on_time", "open for ever", instance(f"{OPEN_SAGA}, deadline_at = now() - interval '1 hour'", PAID)
    ),
    Breakage(
        "wishes_once",
        "created by two sagas",
        instance("business_id = %(paid)s", saga("payment.create", "open")),
    ),
    Breakage(
        "bank_keys_once", "charged twice", f"{LEDGER} VALUES (%(paid)s, '', 'charge', 1, 'USD', 'other')"
    ),
    Breakage(
        "bank_keys_once",
        "refunded twice",
        f"{LEDGER} VALUES (%(refunded)s, %(refund)s, 'refund', 3000, 'USD', 'other')",
    ),
    Breakage(
        "bank_keys_once",
        "one key twice",
        f"{LEDGER} SELECT %(open)s, '', kind, 1, 'USD', key FROM simulator_ledger"
        " WHERE kind = 'charge' AND reference = %(paid)s",
    ),
    Breakage(
        "told_once",
        "paid twice",
        "UPDATE outbox_events SET type = 'payment.succeeded'"
        " WHERE type = 'payment.created' AND ordering_key = %(paid)s",
    ),
    Breakage("payment_created", "no payment", "DELETE FROM payments WHERE payment_no = %(open)s"),
    Breakage(
        "payment_created",
        "no order",
        "DELETE FROM orders WHERE id = (SELECT order_id FROM payments WHERE payment_no = %(open)s)",
    ),
    Breakage(
        "payment_created", "not at the bank", "DELETE FROM simulator_payments WHERE reference = %(open)s"
    ),
    Breakage(
        "payment_created",
        "a tombstone at the bank",
        "UPDATE simulator_payments SET create_key = NULL WHERE reference = %(open)s",
    ),
    Breakage(
        "payment_created",
        "another amount",
        "UPDATE simulator_payments SET amount = 10001 WHERE reference = %(open)s",
    ),
    Breakage(
        "payment_undone",
        "still open here",
        "UPDATE payments SET status = 'pending' WHERE payment_no = %(declined)s",
    ),
    Breakage(
        "payment_undone",
        "still open at the bank",
        "UPDATE simulator_payments SET state = 'open' WHERE reference = %(declined)s",
    ),
    Breakage(
        "payment_undone",
        "the order waits",
        "UPDATE orders SET status = 'pending'"
        " WHERE id = (SELECT order_id FROM payments WHERE payment_no = %(declined)s)",
    ),
    Breakage(
        "payment_cancelled",
        "still open here",
        "UPDATE payments SET status = 'pending' WHERE payment_no = %(cancelled)s",
    ),
    Breakage(
        "payment_cancelled",
        "still open at the bank",
        "UPDATE simulator_payments SET state = 'open' WHERE reference = %(cancelled)s",
    ),
    Breakage(
        "captured",
        "more than asked",
        "UPDATE simulator_ledger SET amount = 7001 WHERE kind = 'capture' AND reference = %(captured)s",
    ),
    Breakage(
        "captured",
        "taken and taken back",
        instance("status = 'compensated'", saga("payment.capture", "captured")),
    ),
    Breakage("refunded", "no refund here", "DELETE FROM refunds WHERE refund_no = %(refund)s"),
    Breakage("refunded", "unknown to the bank", "DELETE FROM simulator_refunds WHERE reference = %(refund)s"),
    Breakage(
        "refunded",
        "paid less",
        "UPDATE simulator_ledger SET amount = 2999 WHERE refund_reference = %(refund)s",
    ),
    Breakage(
        "refunded",
        "paid, and failed here",
        "UPDATE refunds SET status = 'failed' WHERE refund_no = %(refund)s",
    ),
    Breakage("refunded", "undone, and paid", instance("status = 'compensated'", REFUND)),
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
        "bank_limits",
        "gave back more than it took",
        "UPDATE simulator_ledger SET amount = 10001 WHERE refund_reference = %(refund)s",
    ),
    Breakage(
        "bank_limits",
        "took more than it held",
        "UPDATE simulator_ledger SET amount = 1 WHERE kind = 'authorize' AND reference = %(captured)s",
    ),
    Breakage(
        "money_agrees",
        "a charge we do not know",
        "UPDATE payments SET captured_minor = 0 WHERE payment_no = %(paid)s",
    ),
    Breakage(
        "money_agrees",
        "a charge the bank does not know",
        "DELETE FROM simulator_ledger WHERE reference = %(paid)s",
    ),
    Breakage("late_money", "kept", "UPDATE payments SET status = 'cancelled' WHERE payment_no = %(paid)s"),
    Breakage(
        "signals_heard",
        "waits beyond its deadline",
        instance(
            f"{OPEN_SAGA}, waiting_for = 'news', waiting_until = deadline_at + interval '1 second',"
            " lease_expires_at = NULL",
            PAID,
        ),
    ),
    Breakage(
        "signals_heard",
        "waits for what is there",
        f"WITH told AS (INSERT INTO saga_signals (saga_id, signal_id, name, payload)"
        f" VALUES ({PAID}, 'evt_1', 'news', '{{}}')) "
        + instance(f"{OPEN_SAGA}, waiting_for = 'news', waiting_until = deadline_at", PAID),
    ),
    Breakage(
        "signals_heard",
        "a signal without an attempt",
        f"INSERT INTO saga_signals (saga_id, signal_id, name, payload, taken_at, taken_by)"
        f" VALUES ({PAID}, 'evt_1', 'news', '{{}}', now(), 'nobody')",
    ),
]


def findings() -> list[str]:
    with connection.cursor() as cursor:
        return [str(found) for found in audit.audit(cursor, grace=SETTLED)]


@pytest.fixture
def careless_bank() -> Callable[[], None]:
    """Takes away, until the rollback, what keeps the bank from doing a thing twice: rules do not rely on it."""

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


def test_each_rule_finds_what_was_broken(
    world: World,
    sabotage: Callable[..., None],
    careless_bank: Callable[[], None],
    subtests: pytest.Subtests,
) -> None:
    assert findings() == []
    numbers: dict[str, Any] = dataclasses.asdict(world)
    for broken in BREAKAGES:
        with subtests.test(f"{broken.rule}: {broken.what}"), transaction.atomic():
            careless_bank()
            sabotage(broken.sql, numbers)
            assert any(found.startswith(f"{broken.rule}: ") for found in findings()), findings()
            transaction.set_rollback(True)
    assert findings() == []


def test_every_rule_is_shown_to_fail() -> None:
    assert {broken.rule for broken in BREAKAGES} == {rule.name for rule in audit.RULES}


def test_late_money_is_refunded_or_flagged(client: SignedClient, settings: Any) -> None:
    for policy in ("refund", "park"):
        settings.LATE_MONEY_POLICY = policy
        payment = shop.opened(client)
        shop.data(shop.cancel(client, payment))
        bank.pay_although_closed(payment)
        assert any(found.startswith("late_money") for found in findings())
        bank.deliver_webhooks(payment["payment_no"])
        background.finish()
        assert findings() == []
    Payment.objects.update(needs_attention=False)
    assert [found.split(":")[0] for found in findings()] == ["late_money"]


def test_a_saga_that_is_on_its_way_is_no_finding_before_its_deadline(client: SignedClient) -> None:
    shop.data(shop.create(client, "timeout_after"), 202)
    with connection.cursor() as cursor:
        assert audit.audit(cursor) == ()
        assert [found.rule for found in audit.audit(cursor, grace=SETTLED)] == ["on_time"]


def test_the_command_prints_the_audit_and_fails_with_it(
    world: World, sabotage: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("check_consistency", "--books", "--grace", "0s")
    assert f"{len(audit.RULES)} of {len(audit.RULES)} rules of the books kept" in capsys.readouterr().out
    sabotage(event(PAID, "CallPaymentChannel"), dataclasses.asdict(world))
    with pytest.raises(SystemExit):
        call_command("check_consistency", "--books", "--grace", "0s")
    assert "CallPaymentChannel forward succeeded twice" in capsys.readouterr().out


def test_the_auditor_shares_no_code_with_what_it_audits() -> None:
    for source in Path(ROOT / "monitoring/books").glob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                module = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
                assert module in (
                    "datetime",
                    "dataclasses",
                    "collections.abc",
                    "typing",
                    "monitoring.books",
                    "monitoring.books.rule",
                ), (
                    source,
                    module,
                )
