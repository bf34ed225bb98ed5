"""What the staff of the local stack did in the demo month: by the services that their buttons call."""

import datetime as dt

from common.ids import uuid7
from gateway.channels.registry import SIMULATOR
from gateway.models import Payment, PaymentStatus, RoutingRule
from merchants.models import ApiKey, Environment, Merchant, MerchantStatus
from ops.approvals import refunds
from ops.approvals import services as approvals
from ops.approvals.models import Approval
from ops.approvals.services import Why
from ops.approvals.thresholds import amount_of, needs_second_person
from ops.services import merchant_care, routing_rules
from ops.services.routing_rules import RuleDraft
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
    _look_after(merchant)


def _clear_up() -> None:
    """Of the grave cases one is refused its second signature, two still wait for theirs."""
    parked = SagaInstance.objects.filter(needs_attention=True).order_by("-created_at")
    grave = [saga for saga in parked if _takes_two(saga)]
    for number, saga in enumerate(grave[:GRAVE]):
        asked = approvals.operate_or_ask(
            operation=Operation.MARK_RESOLVED,
            saga_id=saga.pk,
            seen_revision=saga.revision,
            actor=OPERATOR,
            why=Why("settled with the bank by telephone", "channel_said", f"OPS-{101 + number}"),
        )
        if number == 1 and isinstance(asked, Approval):
            approvals.reject(
                approval_id=asked.pk, actor=FINANCE, reason="the bank's statement says otherwise"
            )
    light = next((saga for saga in parked.all() if not _takes_two(saga)), None)
    if light is not None:
        approvals.operate_or_ask(
            operation=Operation.RETRY_NOW,
            saga_id=light.pk,
            seen_revision=light.revision,
            actor=OPERATOR,
            why=Why("the bank says that it is well again", "incident", "OPS-100"),
        )


def _takes_two(saga: SagaInstance) -> bool:
    amount_minor, currency = amount_of(saga)
    return needs_second_person(
        operation=Operation.MARK_RESOLVED, amount_minor=amount_minor, currency=currency
    )


def _give_back(merchant: Merchant) -> None:
    paid = Payment.objects.filter(
        merchant=merchant, status=PaymentStatus.SUCCEEDED, refunded_minor=0, refund_pending_minor=0
    )
    payment = paid.order_by("-created_at").first()
    if payment is not None:
        refunds.refund_or_ask(
            payment_id=payment.pk,
            refund_id=uuid7(),
            amount_minor=max(1, payment.captured_minor // 4),
            actor=FINANCE,
            reason="one bag was torn",
        )


def _look_after(merchant: Merchant) -> None:
    key = ApiKey.objects.filter(merchant=merchant, environment=Environment.TEST, revoked_at=None).first()
    if key is not None:
        merchant_care.rotate_key(
            key=key, overlap=dt.timedelta(days=1), actor=ADMIN, reason="a colleague of theirs left"
        )
    for status, reason in (
        (MerchantStatus.SUSPENDED, "papers are missing"),
        (MerchantStatus.ACTIVE, "papers have come"),
    ):
        merchant_care.set_status(merchant_id=merchant.pk, status=status, actor=ADMIN, reason=reason)
    routing_rules.add(
        draft=RuleDraft(environment=Environment.TEST, channel=SIMULATOR, merchant_email=merchant.email),
        actor=ADMIN,
        reason="their till is tested against the simulator",
    )
