"""The customer's side of the bank: what the payment page shows, and what its buttons do."""

import enum
import re
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from gateway.channels.base import PaymentState
from gateway.channels.simulator import bank, books, notifications
from gateway.channels.simulator.models import Payment
from gateway.channels.simulator.router import ALIAS

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Action(enum.StrEnum):
    PAY = "pay"
    DECLINE = "decline"


@dataclass(frozen=True, slots=True)
class Checkout:
    """What a customer may see. `status` is a payment state, or `expired`."""

    reference: str
    status: str
    amount_minor: int
    currency: str
    subject: str
    description: str
    return_url: str
    expires_at: datetime


def look_up(token: str) -> Checkout | None:
    """None when there is no such page."""
    if not _TOKEN.fullmatch(token):
        return None
    payment = Payment.objects.annotate(now=Now()).filter(token=token, create_key__isnull=False).first()
    if payment is None:
        return None
    if not books.is_behind(payment, payment.now):
        return _show(payment)
    with transaction.atomic(using=ALIAS):
        return _show(bank.lock_known(payment.reference))


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
            if action is Action.PAY:
                books.customer_pays(payment)
            else:
                books.decline(payment)
    return True


def _show(payment: Payment) -> Checkout:
    expired = payment.state == PaymentState.CANCELLED and payment.failure_code == books.EXPIRED
    return Checkout(
        reference=payment.reference,
        status=books.EXPIRED if expired else payment.state,
        amount_minor=payment.amount,
        currency=payment.currency,
        subject=payment.subject,
        description=payment.description,
        return_url=_web_address(payment.return_url),
        expires_at=payment.expires_at,
    )


def _web_address(url: str) -> str:
    """The merchant's address if it is one to link to: nothing that would run as a script."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return url if parts.scheme in ("http", "https") and parts.netloc else ""
