"""The customer's side of the bank: what the payment page shows, and the actions of its buttons."""

import enum
import math
import re
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from channels.base import PaymentState
from channels.simulator import bank, ledger, notifications
from channels.simulator.methods import APPROVAL, build_payment_url
from channels.simulator.models import SimulatedPayment
from channels.simulator.router import ALIAS

SLOW_SECONDS = 5.0
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")


class CustomerAction(enum.StrEnum):
    """The customer's choice, which includes the bank's answer."""

    PAY = "pay"
    PAY_SLOWLY = "pay_slowly"
    DECLINE = "decline"
    DECLINE_INSUFFICIENT_FUNDS = "decline_for_funds"


@dataclass(frozen=True, slots=True)
class SimulatorCheckout:
    """A payment as the customer sees it. `status` is a payment state, or `expired`; `seconds_left` is by the bank's
    clock."""

    reference: str
    status: str
    amount_minor: int
    currency: str
    captured_minor: int
    refunded_minor: int
    refund_pending_minor: int
    subject: str
    description: str
    return_url: str
    url: str
    failure_code: str
    expires_at: datetime
    seconds_left: int


def find_checkout(token: str) -> SimulatorCheckout | None:
    if not _TOKEN.fullmatch(token):
        return None
    payment = (
        SimulatedPayment.objects.annotate(now=Now()).filter(token=token, create_key__isnull=False).first()
    )
    if payment is None:
        return None
    if not ledger.has_due_changes(payment, payment.now):
        return _to_checkout(payment, payment.now)
    with transaction.atomic(using=ALIAS):
        return _to_checkout(bank.lock_existing_payment(payment.reference), payment.now)


def perform_action(token: str, action: CustomerAction) -> bool:
    """Performs the action if the payment is still open, so that a second click changes nothing.

    Returns False when there is no such page.
    """
    if not _TOKEN.fullmatch(token):
        return False
    with transaction.atomic(using=ALIAS):
        payment = bank.lock_payment(Q(token=token, create_key__isnull=False))
        if payment is None:
            return False
        if payment.state == PaymentState.OPEN:
            transaction.on_commit(notifications.wake_worker, using=ALIAS)
            _apply(payment, action)
    return True


def _apply(payment: SimulatedPayment, action: CustomerAction) -> None:
    match action:
        case CustomerAction.PAY:
            ledger.submit_payment(payment)
        case CustomerAction.PAY_SLOWLY if payment.payment_method == APPROVAL:
            ledger.approve_payment(payment)
        case CustomerAction.PAY_SLOWLY:
            ledger.start_processing(payment, SLOW_SECONDS)
        case CustomerAction.DECLINE:
            ledger.decline_card(payment, ledger.CARD_DECLINED)
        case CustomerAction.DECLINE_INSUFFICIENT_FUNDS:
            ledger.decline_card(payment, ledger.INSUFFICIENT_FUNDS)


def _to_checkout(payment: SimulatedPayment, now: datetime) -> SimulatorCheckout:
    is_expired = payment.state == PaymentState.CANCELLED and payment.failure_code == ledger.EXPIRED
    return SimulatorCheckout(
        reference=payment.reference,
        status=ledger.EXPIRED if is_expired else payment.state,
        amount_minor=payment.amount,
        currency=payment.currency,
        captured_minor=payment.captured,
        refunded_minor=payment.refunded,
        refund_pending_minor=payment.refund_pending,
        subject=payment.subject,
        description=payment.description,
        return_url=payment.return_url,
        url=build_payment_url(payment),
        failure_code=payment.failure_code,
        expires_at=payment.expires_at,
        seconds_left=max(0, math.ceil((payment.expires_at - now).total_seconds())),
    )
