"""What the staff of the local stack did in the demo month: by the services that their buttons call."""

import datetime as dt

from backoffice.approvals import decisions, refunds
from backoffice.approvals import saga_operations as approvals
from backoffice.approvals.models import Approval
from backoffice.approvals.saga_operations import ActionReason
from backoffice.approvals.thresholds import amount_at_stake, needs_approval
from backoffice.exports import services as exports
from backoffice.exports.models import Export, ExportStatus
from backoffice.services import merchant_operations, routing_rules
from backoffice.services.routing_rules import RuleDraft
from channels.simulator.channel import SimulatorChannel
from common.ids import uuid7
from gateway.models import Payment, PaymentStatus, RoutingRule
from merchants.models import ApiKey, Environment, Merchant, MerchantStatus
from sagas.availability import Operation
from sagas.models import SagaInstance

ADMIN, FINANCE, OPERATOR = "admin", "finance", "operator"
GRAVE = 3


def staff_at_work(*, merchant: Merchant) -> None:
    """Once: the rule is the last thing they make."""
    if RoutingRule.objects.filter(merchant=merchant).exists():
        return
    _clear_up()
    _give_back(merchant)
    _give_much_back()
    _take_along()
    _look_after(merchant)


def _clear_up() -> None:
    """Of the grave cases one waits for its second signature, one is refused it, one has it."""
    in_review = SagaInstance.objects.filter(needs_attention=True).order_by("-created_at")
    grave = [saga for saga in in_review if _takes_two(saga)]
    for number, saga in enumerate(grave[:GRAVE]):
        asked = approvals.operate_or_request_approval(
            operation=Operation.MARK_RESOLVED,
            saga_id=saga.pk,
            seen_revision=saga.revision,
            actor=OPERATOR,
            why=ActionReason("settled with the bank by telephone", "channel_said", f"OPS-{101 + number}"),
        )
        if not isinstance(asked, Approval):
            continue
        if number == 1:
            decisions.reject(
                approval_id=asked.pk, actor=FINANCE, reason="the bank's statement says otherwise"
            )
        if number == 2:
            approvals.approve(approval_id=asked.pk, actor=FINANCE)
    light = next((saga for saga in in_review.all() if not _takes_two(saga)), None)
    if light is not None:
        approvals.operate_or_request_approval(
            operation=Operation.RETRY_NOW,
            saga_id=light.pk,
            seen_revision=light.revision,
            actor=OPERATOR,
            why=ActionReason("the bank says that it is well again", "incident", "OPS-100"),
        )


def _takes_two(saga: SagaInstance) -> bool:
    amount_minor, currency = amount_at_stake(saga)
    return needs_approval(operation=Operation.MARK_RESOLVED, amount_minor=amount_minor, currency=currency)


def _give_back(merchant: Merchant) -> None:
    paid = Payment.objects.filter(
        merchant=merchant, status=PaymentStatus.SUCCEEDED, refunded_minor=0, refund_pending_minor=0
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


def _give_much_back() -> None:
    """Of the two largest payments: one refund has its second signature, one waits for it."""
    paid = Payment.objects.filter(
        status=PaymentStatus.SUCCEEDED, refunded_minor=0, refund_pending_minor=0
    ).order_by("-captured_minor")
    for number, payment in enumerate(paid[:2]):
        asked = refunds.refund_or_request_approval(
            payment_id=payment.pk,
            refund_id=uuid7(),
            amount_minor=payment.captured_minor,
            actor=FINANCE,
            reason="it was never delivered",
        )
        if number == 0 and isinstance(asked, Approval):
            refunds.approve(approval_id=asked.pk, actor=ADMIN)


def _look_after(merchant: Merchant) -> None:
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


def _take_along() -> None:
    for kind in ("payments", "refunds"):
        exports.request_export(
            kind_name=kind, filters={}, actor=FINANCE, reason="the month is closed", in_background=True
        )
    exports.write_unfinished()  # for where no worker runs
    written = Export.objects.filter(kind="payments", status=ExportStatus.DONE).first()
    if written is not None:
        exports.download(export_id=written.pk, actor=FINANCE)
