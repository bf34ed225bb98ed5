"""The demo history violates no integrity check, and is created once."""

import datetime as dt
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import Exists, Max, Min, OuterRef

from audit.models import StaffAction
from backoffice.approvals.models import Approval
from backoffice.dashboard.models import PaymentHour
from backoffice.exports.models import Export
from demo.history import MERCHANTS, plan_payments, seed_history
from demo.scenarios import SCENARIOS
from events.models import OutboxEvent
from fees.models import FeePlanChange
from gateway.models import Payment, PaymentStatus, Refund, RefundStatus
from ledger.closes import verify_days
from ledger.models import DailyClose, LedgerTransfer, RollupQueueItem
from monitoring.integrity.search import find_all_violations
from monitoring.models import ConsistencyRun
from monitoring.services import run_checks
from payouts.models import BankAccount
from sagas.models import SagaInstance
from tests.support.tables import row_counts
from webhooks.models import WebhookAttempt, WebhookDelivery

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

COUNT = len(SCENARIOS) + 4


def seed(count: int = COUNT) -> str:
    output = StringIO()
    call_command("seed_demo", payments=count, stdout=output)
    return output.getvalue()


def test_every_scenario_is_created_once_without_violations(settings: Any) -> None:
    settings.LOCAL_STACK = False
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    text = seed()
    for scenario in SCENARIOS:
        assert scenario.name.replace("_", " ") in text
    assert f"{COUNT} payments added, 0 there before" in text
    made = Payment.objects.filter(order_no__startswith="DEMO-")
    assert made.count() == COUNT
    assert set(made.values_list("status", flat=True)) == set(PaymentStatus.values)
    assert set(Refund.objects.values_list("status", flat=True)) >= {"processing", "succeeded", "failed"}
    assert RefundStatus.PENDING in set(Refund.objects.values_list("status", flat=True))
    sagas = set(SagaInstance.objects.values_list("definition", "status", "needs_attention"))
    assert {
        ("payment.create", "compensated", False),
        ("payment.create", "failed", True),
        ("refund.create", "compensated", False),
        ("refund.create", "in_progress", True),
        ("payment.cancel", "completed", False),
        ("payment.capture", "completed", False),
    } <= sagas
    assert OutboxEvent.objects.filter(type="payment.late_success").exists()
    times = made.aggregate(oldest=Min("created_at"), newest=Max("created_at"))
    assert 20 <= (times["newest"] - times["oldest"]).days <= 30
    assert made.values("merchant").distinct().count() == len(MERCHANTS) + 1
    assert not RollupQueueItem.objects.exists()
    too_early = LedgerTransfer.objects.filter(day__lt=OuterRef("created_at__date"))
    assert not Payment.objects.filter(Exists(too_early.filter(payment_id=OuterRef("pk")))).exists()
    days = LedgerTransfer.objects.aggregate(first=Min("day"), last=Max("day"))
    assert (days["last"] - days["first"]).days >= 20, "the ledger is as old as its payments"
    assert DailyClose.objects.earliest("day").day == days["first"]
    assert verify_days() == []
    report = run_checks()
    assert [result for result in report.results if not result.passed] == []
    with connection.cursor() as cursor:
        assert find_all_violations(cursor) == []
    assert not StaffAction.objects.exists(), "staff took no part in it"
    before = row_counts()
    assert f"0 payments added, {COUNT} there before" in seed()
    assert {**row_counts(), "consistency_runs": 0, "consistency_results": 0} == {
        **before,
        "consistency_runs": 0,
        "consistency_results": 0,
    }


def test_a_second_run_completes_the_history(settings: Any) -> None:
    settings.LOCAL_STACK = False  # the quick start creates the accounts of staff
    plans = list(plan_payments(6))
    assert [plan.order_no for plan in plans] == [plan.order_no for plan in plan_payments(6)]
    seed_history(payments=3)
    assert seed_history(payments=6).existing == 3
    assert Payment.objects.count() == 6


def test_history_is_refused_without_payment_demo(settings: Any) -> None:
    settings.PAYMENT_DEMO = False
    with pytest.raises(CommandError, match="PAYMENT_DEMO"):
        seed(3)
    assert not Payment.objects.filter(order_no__startswith="DEMO-").exists()


def test_the_local_stack_has_staff_actions_and_webhook_deliveries(settings: Any) -> None:
    """No page of the back office is empty."""
    settings.LOCAL_STACK = settings.WEBHOOK_ALLOW_LOOPBACK = True
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    seed()
    assert set(Approval.objects.values_list("state", flat=True)) >= {"pending", "approved"}
    assert Payment.objects.filter(needs_attention=True).exists()
    assert Export.objects.filter(status="done", rows_written__gt=0).count() == 2
    assert set(StaffAction.objects.values_list("actor", flat=True)) >= {"admin", "finance", "operator"}
    assert WebhookDelivery.objects.filter(status="delivered").exists()
    assert set(FeePlanChange.objects.values_list("state", flat=True)) == {"approved", "pending"}
    assert set(BankAccount.objects.values_list("status", flat=True)) == {"active", "awaiting_approval"}
    oldest = WebhookAttempt.objects.earliest("started_at")
    assert oldest.started_at - oldest.delivery.event.created_at < dt.timedelta(minutes=5), (
        "both times were moved back"
    )
    assert PaymentHour.objects.values("hour").distinct().count() > COUNT / 2
    assert ConsistencyRun.objects.latest("id").failed_checks == 0
    with connection.cursor() as cursor:
        assert find_all_violations(cursor) == []
