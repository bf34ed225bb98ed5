"""Running integrity checks: which rows they check, what they repair, where the results are stored."""

import dataclasses
import json
import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.test import Client

from gateway.flows.data import PaymentCreateData
from gateway.flows.payment_create import PAYMENT_CREATE
from gateway.flows.start import start_flow
from gateway.models import Payment
from merchants.services import NewMerchant
from monitoring.integrity.registry import UnknownCheck, list_check_names
from monitoring.models import ConsistencyResult, ConsistencyRun
from monitoring.services import run_checks
from monitoring.tasks import check_consistency
from tests.ops.conftest import World
from tests.support import bank, shop
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

AT_ONCE = timedelta(0)
ORDER_WAITS = (
    "UPDATE orders SET status = 'pending' WHERE id = (SELECT order_id FROM payments WHERE payment_no = %(n)s)"
)


def failed(**options: Any) -> set[str]:
    return {result.name for result in run_checks(**options).results if not result.passed}


def test_within_the_grace_a_charge_may_be_ahead_of_its_webhook(client: SignedClient) -> None:
    payment = shop.opened(client)
    bank.pay(payment)
    assert failed() == set()
    assert failed(grace=AT_ONCE) == {"charge_has_payment", "ledger_agrees"}
    bank.deliver_webhooks(payment["payment_no"])
    assert failed(grace=AT_ONCE) == set()


def test_since_skips_older_rows(world: World, sabotage: Callable[..., None]) -> None:
    sabotage(ORDER_WAITS, {"n": world.paid})
    sabotage(
        "UPDATE payments SET created_at = now() - interval '3 hours' WHERE payment_no = %(n)s",
        {"n": world.paid},
    )
    assert failed() == failed(since=timedelta(hours=4)) == {"order_follows_payment"}
    assert failed(since=timedelta(hours=2)) == set()


def test_a_pruned_saga_is_no_violation(world: World, sabotage: Callable[..., None]) -> None:
    sabotage("DELETE FROM saga_instances WHERE business_id = %(n)s", {"n": world.paid})
    assert failed() == {"payment_has_saga"}
    old = "UPDATE payments SET created_at = now() - interval '31 days' WHERE payment_no = %(n)s"
    sabotage(old, {"n": world.paid})
    assert failed() == set()


def test_fix_sets_an_order_to_the_status_of_its_payment(
    world: World, sabotage: Callable[..., None], value: Callable[..., Any]
) -> None:
    for payment_no in (world.paid, world.declined):
        sabotage(ORDER_WAITS, {"n": payment_no})
    assert failed() == {"order_follows_payment", "compensated_payments"}
    (result,) = run_checks(only=["order_follows_payment"], fix=True).results
    assert (result.passed, result.count, result.fixed) == (True, 0, 2)
    status = "SELECT o.status FROM orders o JOIN payments p ON p.order_id = o.id WHERE p.payment_no = %(n)s"
    assert value(status, {"n": world.paid}) == "paid"
    assert value(status, {"n": world.declined}) == "cancelled"


def test_fix_changes_nothing_that_needs_a_decision(
    world: World, sabotage: Callable[..., None], value: Callable[..., Any]
) -> None:
    sabotage("UPDATE payments SET refunded_minor = 1 WHERE payment_no = %(n)s", {"n": world.paid})
    sabotage(
        "UPDATE orders SET status = 'paid' WHERE id = (SELECT order_id FROM payments WHERE payment_no = %(n)s)",
        {"n": world.declined},
    )
    assert failed(fix=True) == {
        "refund_totals",
        "refund_limits",
        "order_follows_payment",
        "compensated_payments",
        "ledger_agrees_with_payments",
    }
    assert value("SELECT refunded_minor FROM payments WHERE payment_no = %(n)s", {"n": world.paid}) == 1


def test_fix_resumes_a_saga_without_a_worker(acme: NewMerchant) -> None:
    payment_id = uuid.uuid4()
    data = PaymentCreateData(
        payment_id=payment_id,
        payment_no="PAY-stuck",
        order_id=payment_id,
        merchant_id=acme.merchant.pk,
        environment="test",
        order_no="ORDER-stuck",
        amount_minor=500,
        currency="USD",
        channel="simulator",
        sandbox=False,
        subject="Coffee",
        body="",
        callback_url="",
        return_url="",
        capture_method="automatic",
        expires_in_seconds=600,
        metadata={"simulate": "auto_pay"},
    )
    with transaction.atomic():
        start_flow(
            PAYMENT_CREATE,
            saga_id=payment_id,
            business_id="PAY-stuck",
            data=data,
            environment="test",
            merchant_id=acme.merchant.pk,
            leased=False,
        )
    assert "stuck_sagas" not in failed(), "a saga that has just begun is not stuck"
    (result,) = run_checks(only=["stuck_sagas"], grace=AT_ONCE, fix=True).results
    assert (result.passed, result.fixed) == (True, 1)
    assert Payment.objects.get(id=payment_id).status == "succeeded"


def test_a_saga_with_an_overdue_retry_is_stuck(
    client: SignedClient, settings: Any, sabotage: Callable[..., None]
) -> None:
    settings.SAGA_RETRY_BASE_SECONDS = 1000
    settings.SAGA_RETRY_CAP_SECONDS = 1000
    shop.data(shop.create(client, "timeout_before"), 202)
    assert failed(grace=AT_ONCE) == set()
    sabotage("UPDATE saga_steps SET next_retry_at = now() WHERE next_retry_at IS NOT NULL")
    assert failed(grace=AT_ONCE) == {"stuck_sagas"}


def test_results_are_kept_and_exported(world: World, sabotage: Callable[..., None]) -> None:
    sabotage(ORDER_WAITS, {"n": world.paid})
    report = run_checks()
    run = ConsistencyRun.objects.get()
    assert (run.failed_checks, run.since, run.with_fixes) == (1, None, False)
    assert run.results.count() == len(list_check_names())
    stored = run.results.get(name="order_follows_payment")
    assert (stored.passed, stored.count, stored.sample) == (False, 1, [world.paid])
    exposed = Client().get("/metrics").content.decode()
    assert 'consistency_check_failed{check="order_follows_payment"} 1.0' in exposed
    assert 'consistency_check_failed{check="order_items"} 0.0' in exposed
    (last_run,) = re.findall(r"^consistency_last_run_timestamp_seconds (\S+)$", exposed, re.MULTILINE)
    assert float(last_run) == pytest.approx(report.finished_at.timestamp(), abs=0.01)
    run_checks(only=["order_follows_payment"], fix=True)
    exposed = Client().get("/metrics").content.decode()
    assert 'consistency_check_failed{check="order_follows_payment"} 0.0' in exposed
    assert 'consistency_check_failed{check="order_items"} 0.0' in exposed, (
        "the result of its last run is still exported"
    )


def test_the_task_checks_recent_rows(world: World) -> None:
    assert check_consistency() == 0
    assert ConsistencyRun.objects.get().since is not None
    assert ConsistencyResult.objects.count() == len(list_check_names())


def run_command(*arguments: str) -> tuple[int, str]:
    output = StringIO()
    try:
        call_command("check_consistency", *arguments, stdout=output)
    except SystemExit as end:
        return int(end.code or 0), output.getvalue()
    return 0, output.getvalue()


def test_the_command_prints_a_table_and_exits_with_1_on_a_failure(
    world: World, sabotage: Callable[..., None]
) -> None:
    code, text = run_command()
    assert code == 0
    assert f"{len(list_check_names())} of {len(list_check_names())} checks passed" in text
    sabotage(ORDER_WAITS, {"n": world.paid})
    code, text = run_command("--since", "24h")
    assert code == 1
    assert f"- {world.paid}" in text
    assert "--fix repairs" in text
    starts = {line.index(line.split()[1]) for line in text.splitlines() if line.startswith(("ok", "FAILED"))}
    assert len(starts) == 1, "the columns are aligned"
    assert run_command("--fix", "--only", "order_follows_payment")[0] == 0
    assert run_command()[0] == 0


def test_the_command_prints_json(world: World, sabotage: Callable[..., None]) -> None:
    sabotage(ORDER_WAITS, {"n": world.paid})
    code, text = run_command("--json", "--only", "order_follows_payment", "--since", "2020-01-01T00:00:00Z")
    document = json.loads(text)
    assert (code, document["passed"]) == (1, False)
    assert document["since"] == "2020-01-01T00:00:00+00:00"
    (result,) = document["results"]
    assert (result["name"], result["count"], result["sample"]) == ("order_follows_payment", 1, [world.paid])
    assert (result["fixable"], result["fixed"]) == (True, 0)


def test_all_violations_are_counted_beyond_the_sample(world: World, sabotage: Callable[..., None]) -> None:
    sabotage(
        "INSERT INTO outbox_events (event_id, type, ordering_key, merchant_id, environment, subject_id, data,"
        " trace_context, created_at) SELECT gen_random_uuid(), 't', 'k', gen_random_uuid(), 'test',"
        " gen_random_uuid(), '{}', '{}', now() - interval '1 hour' FROM generate_series(1, 1500)"
    )
    (result,) = run_checks(only=["outbox_drained"]).results
    assert (result.count, len(result.sample)) == (1500, 20)
    assert "… and 1480 more" in run_command("--only", "outbox_drained")[1]


@pytest.mark.parametrize("arguments", [["--only", "nonsense"], ["--since", "yesterday"], ["--grace", "soon"]])
def test_the_command_refuses_invalid_options(arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        run_command(*arguments)
    assert not ConsistencyRun.objects.exists()


def test_an_unknown_check_is_refused() -> None:
    with pytest.raises(UnknownCheck, match="nonsense"):
        run_checks(only=["nonsense"])


def test_results_are_plain_data(world: World) -> None:
    (result,) = run_checks(only=["order_items"]).results
    assert json.dumps(dataclasses.asdict(result))
