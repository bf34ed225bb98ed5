"""Staff actions of the demo history, through the services that the buttons of the back office call."""

import datetime as dt

from backoffice.approvals import decisions, refunds
from backoffice.approvals import saga_approvals as approvals
from backoffice.approvals.limits import amount_at_stake, needs_approval
from backoffice.approvals.models import Approval
from backoffice.approvals.saga_approvals import ActionReason
from backoffice.exports import services as exports
from backoffice.exports.models import Export, ExportStatus
from backoffice.services import merchant_operations, routing_rules
from backoffice.services.routing_rules import RuleDraft
from channels.simulator.channel import SimulatorChannel
from common.ids import uuid7
from demo.finance_actions import agree_fee_plan, prepare_payouts
from demo.people import ADMIN, FINANCE, OPERATOR
from gateway.models import Payment, PaymentStatus, RoutingRule
from merchants.models import ApiKey, Environment, Merchant, MerchantStatus
from sagas.availability import Operation
from sagas.models import SagaInstance

CASES_ABOVE_LIMIT = 3


def perform_staff_actions(*, merchant: Merchant) -> None:
    """Runs once: the routing rule is created last."""
    if RoutingRule.objects.filter(merchant=merchant).exists():
        return
    _operate_sagas_in_review()
    _refund_part_of_payment(merchant)
    _refund_largest_payments()
    _export_month()
    agree_fee_plan(merchant)
    prepare_payouts(merchant)
    _manage_merchant(merchant)


def _operate_sagas_in_review() -> None:
    """Of the sagas above the limit of dual control, one has a pending, one a rejected and one an approved request."""
    in_review = SagaInstance.objects.filter(needs_attention=True).order_by("-created_at")
    above_limit = [saga for saga in in_review if _needs_approval(saga)]
    for number, saga in enumerate(above_limit[:CASES_ABOVE_LIMIT]):
        requested = approvals.operate_or_request_approval(
            operation=Operation.MARK_RESOLVED,
            saga_id=saga.pk,
            seen_revision=saga.revision,
            actor=OPERATOR,
            why=ActionReason("settled with the bank by telephone", "channel_said", f"OPS-{101 + number}"),
        )
        if not isinstance(requested, Approval):
            continue
        if number == 1:
            decisions.reject(
                approval_id=requested.pk, actor=FINANCE, reason="the bank's statement says otherwise"
            )
        if number == 2:
            approvals.approve(approval_id=requested.pk, actor=FINANCE)
    below_limit = next((saga for saga in in_review.all() if not _needs_approval(saga)), None)
    if below_limit is not None:
        approvals.operate_or_request_approval(
            operation=Operation.RETRY_NOW,
            saga_id=below_limit.pk,
            seen_revision=below_limit.revision,
            actor=OPERATOR,
            why=ActionReason("the bank reports that its outage is over", "incident", "OPS-100"),
        )


def _needs_approval(saga: SagaInstance) -> bool:
    amount_minor, currency = amount_at_stake(saga)
    return needs_approval(operation=Operation.MARK_RESOLVED, amount_minor=amount_minor, currency=currency)


def _refund_part_of_payment(merchant: Merchant) -> None:
    paid = Payment.objects.filter(
        merchant=merchant,
        status=PaymentStatus.SUCCEEDED,
        refunded_minor=0,
        refund_pending_minor=0,
        disputed_minor=0,
    )
    payment = paid.order_by("-created_at").first()
    if payment is not None:
        refunds.refund_or_request_approval(
            payment_id=payment.pk,
            refund_id=uuid7(),
            amount_minor=max(1, payment.captured_minor // 4),
            actor=FINANCE,
            reason="one bag was torn",
        )


def _refund_largest_payments() -> None:
    """Requests refunds of the two largest payments: one is approved, one pending."""
    paid = Payment.objects.filter(
        status=PaymentStatus.SUCCEEDED, refunded_minor=0, refund_pending_minor=0, disputed_minor=0
    ).order_by("-captured_minor")
    for number, payment in enumerate(paid[:2]):
        requested = refunds.refund_or_request_approval(
            payment_id=payment.pk,
            refund_id=uuid7(),
            amount_minor=payment.captured_minor,
            actor=FINANCE,
            reason="it was never delivered",
        )
        if number == 0 and isinstance(requested, Approval):
            refunds.approve(approval_id=requested.pk, actor=ADMIN)


def _manage_merchant(merchant: Merchant) -> None:
    key = ApiKey.objects.filter(merchant=merchant, environment=Environment.TEST, revoked_at=None).first()
    if key is not None:
        merchant_operations.rotate_key(
            key=key, overlap=dt.timedelta(days=1), actor=ADMIN, reason="a colleague of theirs left"
        )
    for status, reason in (
        (MerchantStatus.SUSPENDED, "papers are missing"),
        (MerchantStatus.ACTIVE, "papers have come"),
    ):
        merchant_operations.set_merchant_status(
            merchant_id=merchant.pk, status=status, actor=ADMIN, reason=reason
        )
    routing_rules.add(
        draft=RuleDraft(
            environment=Environment.TEST, channel=SimulatorChannel.name, merchant_email=merchant.email
        ),
        actor=ADMIN,
        reason="their till is tested against the simulator",
    )


def _export_month() -> None:
    for kind in ("payments", "refunds"):
        exports.request_export(
            kind_name=kind, filters={}, actor=FINANCE, reason="the month is closed", in_background=True
        )
    exports.write_unfinished()  # where no worker runs
    written = Export.objects.filter(kind="payments", status=ExportStatus.DONE).first()
    if written is not None:
        exports.download(export_id=written.pk, actor=FINANCE)
