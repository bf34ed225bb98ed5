"""Creates a row of each model of which a test with payments has none."""

import uuid

from django.db import transaction
from django.utils import timezone

from audit.models import StaffAction
from backoffice.approvals.models import Approval
from backoffice.exports.models import Export
from backoffice.reports.models import ReportRun, ReportSchedule
from channel_accounts.models import StoredChannelAccount
from channels.simulator import disputes
from channels.simulator.models import SimulatedEvidenceFile, SimulatedPayment
from channels.simulator.router import ALIAS
from common.crypto import seal
from events.models import OutboxEvent
from fees.models import FeePlanChange, MerchantStatement
from gateway import state_machine
from gateway.models import (
    AuthorizationIncrement,
    Capture,
    Dispute,
    DisputeResponse,
    EvidenceFile,
    Payment,
    ReviewCode,
    RoutingRule,
    SuspenseItem,
)
from ledger.models import DailyClose
from merchants.models import Merchant
from monitoring.services import run_checks
from payouts.models import BankAccount, Payout, PayoutPlan, PayoutRun
from sagas.models import SagaInstance, SagaSignal
from tests.support.fee_plans import give_plan
from tests.support.reviews import AMOUNTS_DIFFER
from tests.support.settlement_rows import leave_a_statement
from webhooks.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint


def leave_one_of_each() -> None:
    """Requires a merchant with a payment and its saga."""
    run_checks()
    with transaction.atomic():
        StaffAction.objects.create(actor="ana", action="x.y", object_type="x", object_id="1", reason="why")
    RoutingRule.objects.create(environment="test", channel="simulator")
    Export.objects.create(kind="payments", requested_by="ana", reason="why", row_limit=1)
    _a_report()
    _leave_simulated_dispute()
    saga = SagaInstance.objects.first()
    assert saga is not None
    SagaSignal.objects.create(saga=saga, signal_id="a-signal", name="paid")
    Approval.objects.create(
        operation="compensate",
        saga_id=saga.id,
        business_id=saga.business_id,
        seen_revision=1,
        amount_minor=1,
        currency="USD",
        reason="why",
        requested_by="ana",
    )
    DailyClose.objects.create(
        day="2026-01-01", environment="test", currency="USD", transfer_count=0, posted_minor=0
    )
    leave_a_statement()
    merchant = Merchant.objects.order_by("id").first()
    assert merchant is not None
    version = give_plan(merchant=merchant)
    FeePlanChange.objects.create(plan_name="Standard", terms=version.terms, reason="why", requested_by="ana")
    MerchantStatement.objects.create(
        merchant=merchant,
        environment="test",
        currency="USD",
        period="day",
        first_day="2026-01-01",
        last_day="2026-01-01",
        opening_minor=0,
        payments_minor=0,
        refunds_minor=0,
        disputes_minor=0,
        fees_minor=0,
        other_minor=0,
        closing_minor=0,
        transaction_count=0,
    )
    _a_delivery()
    _a_dispute_and_a_review()
    _a_payout()
    StoredChannelAccount.objects.create(
        environment="test", channel="stripe", display_name="Shop", sealed_credentials=seal("{}")
    )


def _leave_simulated_dispute() -> None:
    simulated = SimulatedPayment.objects.first()
    assert simulated is not None
    with transaction.atomic(using=ALIAS):
        dispute = disputes.open_dispute(simulated, 1)
        SimulatedEvidenceFile.objects.create(
            channel_file_no="sim_file_1", upload_key="a", dispute=dispute, name="a.png", size_bytes=1
        )


def _a_report() -> None:
    schedule = ReportSchedule.objects.create(
        name="totals",
        kind="daily_totals",
        time_zone="UTC",
        frequency="daily",
        run_time="06:30",
        file_format="csv",
        destination="archive",
        next_period_start="2026-01-02",
        created_by="ana",
        reason="why",
    )
    ReportRun.objects.create(
        schedule=schedule,
        period_start="2026-01-01",
        period_end="2026-01-02",
        due_at="2026-01-02T06:30Z",
        status="failed",
        file_key="totals/totals-2026-01-01.csv",
        error="/srv/reports: No space left on device",
    )


def _a_dispute_and_a_review() -> None:
    payment = Payment.objects.order_by("id").first()
    assert payment is not None
    of_payment = {"payment": payment, "number": 1, "amount_minor": 2, "status": "failed"}
    Capture.objects.create(**of_payment, is_final=True)
    AuthorizationIncrement.objects.create(**of_payment, reference=payment.reference, previous_minor=1)
    dispute = Dispute.objects.create(
        dispute_no="DSP-1",
        payment=payment,
        merchant_id=payment.merchant_id,
        environment=payment.environment,
        channel="simulator",
        channel_dispute_no="dp_1",
        amount_minor=1,
        currency=payment.currency,
        reason="fraudulent",
        status="won",
    )
    response = DisputeResponse.objects.create(dispute=dispute, texts={"customer_name": "Li"}, status="failed")
    EvidenceFile.objects.create(
        response=response,
        field="receipt",
        content="evidence/none",
        original_name="receipt.png",
        content_type="image/png",
        size_bytes=1,
        page_count=1,
        sha256="0" * 64,
        uploaded_by="ana",
    )
    SuspenseItem.objects.create(
        payment=payment,
        channel="simulator",
        channel_refund_no="re_1",
        amount_minor=1,
        currency=payment.currency,
        status="booked",
    )
    state_machine.open_review(payment=payment, code=ReviewCode.MISMATCH, reason=AMOUNTS_DIFFER)
    state_machine.resolve_reviews(payment=payment, resolution="compared", actor="ana")


def _a_payout() -> None:
    """Creates a payout whose run and bank account were approved by a second person."""
    merchant = Merchant.objects.first()
    assert merchant is not None
    shared = {"environment": "test", "currency": "USD"}
    decided = {"requested_by": "ana", "decided_by": "ben"}
    PayoutPlan.objects.create(merchant=merchant, environment="test")
    account = BankAccount.objects.create(
        merchant=merchant,
        kind="iban",
        sealed_details=seal("{}"),
        hint="DE89…3000",
        status="active",
        usable_from=timezone.now(),
        **shared,
        **decided,
    )
    run = PayoutRun.objects.create(run_no="RUN-1", status="canceled", **shared, **decided)
    Payout.objects.create(
        payout_no="PO-1",
        run=run,
        merchant=merchant,
        amount_minor=1,
        payable_minor=1,
        bank_account=account,
        status="canceled",
        **shared,
    )


def _a_delivery() -> None:
    merchant, event = Merchant.objects.first(), OutboxEvent.objects.first()
    assert merchant is not None
    assert event is not None
    endpoint = WebhookEndpoint.objects.create(
        id=uuid.uuid4(),
        merchant=merchant,
        environment="test",
        url="https://shop.example/hook",
        sealed_secret="sealed",
    )
    delivery = WebhookDelivery.objects.create(
        event=event,
        endpoint=endpoint,
        merchant_id=merchant.id,
        environment="test",
        status="failed",
        attempt_count=1,
    )
    WebhookAttempt.objects.create(delivery=delivery, fence=1, url=endpoint.url, outcome="refused")
