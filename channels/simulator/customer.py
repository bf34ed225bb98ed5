"""The customer's side of the bank: what the payment page shows, and what its buttons do."""

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
from channels.simulator.models import SimulatedPayment
from channels.simulator.router import ALIAS

SLOW_SECONDS = 5.0
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Action(enum.StrEnum):
    """What the customer does, and what the bank of their card says to it."""

    PAY = "pay"
    PAY_SLOWLY = "pay_slowly"
    DECLINE = "decline"
    DECLINE_FOR_FUNDS = "decline_for_funds"


@dataclass(frozen=True, slots=True)
class Checkout:
    """What a customer may see. `status` is a payment state, or `expired`; `seconds_left` is by the bank's clock."""

    reference: str
    status: str
    amount_minor: int
    currency: str
    subject: str
    description: str
    return_url: str
    failure_code: str
    expires_at: datetime
    seconds_left: int


def look_up(token: str) -> Checkout | None:
    """None when there is no such page."""
    if not _TOKEN.fullmatch(token):
        return None
    payment = (
        SimulatedPayment.objects.annotate(now=Now()).filter(token=token, create_key__isnull=False).first()
    )
    if payment is None:
        return None
    if not ledger.is_behind(payment, payment.now):
        return _show(payment, payment.now)
    with transaction.atomic(using=ALIAS):
        return _show(bank.lock_known(payment.reference), payment.now)


def act(token: str, action: Action) -> bool:
    """Does it if the payment is still open: a second click finds it decided. False: there is no such page."""
    if not _TOKEN.fullmatch(token):
        return False
    with transaction.atomic(using=ALIAS):
        payment = bank.lock(Q(token=token, create_key__isnull=False))
        if payment is None:
            return False
        if payment.state == PaymentState.OPEN:
            transaction.on_commit(notifications.hint, using=ALIAS)
            _decide(payment, action)
    return True


def _decide(payment: SimulatedPayment, action: Action) -> None:
    match action:
        case Action.PAY:
            ledger.customer_pays(payment)
        case Action.PAY_SLOWLY:
            ledger.process(payment, SLOW_SECONDS)
        case Action.DECLINE:
            ledger.refuse_card(payment, ledger.CARD_DECLINED)
        case Action.DECLINE_FOR_FUNDS:
            ledger.refuse_card(payment, ledger.INSUFFICIENT_FUNDS)


def _show(payment: SimulatedPayment, now: datetime) -> Checkout:
    expired = payment.state == PaymentState.CANCELLED and payment.failure_code == ledger.EXPIRED
    return Checkout(
        reference=payment.reference,
        status=ledger.EXPIRED if expired else payment.state,
        amount_minor=payment.amount,
        currency=payment.currency,
        subject=payment.subject,
        description=payment.description,
        return_url=payment.return_url,
        failure_code=payment.failure_code,
        expires_at=payment.expires_at,
        seconds_left=max(0, math.ceil((payment.expires_at - now).total_seconds())),
    )
