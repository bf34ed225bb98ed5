"""The head of the payment's page: amounts, who paid, the link, and the last updates in both directions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import segno
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from backoffice.renderers.payer import describe_payer
from backoffice.timeline.records import PaymentRecords
from common.admin import money_text
from gateway.models import Payment, PaymentAttempt, PaymentStatus, reduce_application_fee
from gateway.services.refund_late_payments import LATE_PAYMENT_REVIEWS
from ledger.chart import LedgerAccountKind
from ledger.selectors import sum_fees

MAX_LINK_LENGTH = 1000


@dataclass(frozen=True, slots=True)
class PaymentLink:
    """`code` is the QR code as SVG; None when the link is too long for one."""

    url: str
    code: SafeString | None


def build_head(records: PaymentRecords, open_reviews: list[Any]) -> dict[str, Any]:
    payment = records.payment
    attempt = records.attempts[0] if records.attempts else None
    fees = sum_fees(payment.id) if payment.captured_minor else {}
    return {
        "money": _list_amounts(payment, attempt, fees),
        "net": money_text(_net_minor(payment, attempt, fees), payment.currency),
        "payer": describe_payer(payment),
        "link": _build_link(payment),
        "last_channel_event": records.channel_events[0] if records.channel_events else None,
        "last_delivery": records.deliveries[0] if records.deliveries else None,
        "primary_action": _choose_primary(payment, open_reviews),
    }


def _choose_primary(payment: Payment, open_reviews: list[Any]) -> str:
    if any(review.code in LATE_PAYMENT_REVIEWS for review in open_reviews):
        return "give_back"
    if payment.status == PaymentStatus.AUTHORIZED and not payment.captured_minor:
        return "capture"
    return "refund" if payment.has_refundable_status else "sync"


def _list_amounts(
    payment: Payment, attempt: PaymentAttempt | None, fees: Mapping[str, int]
) -> list[tuple[str, str]]:
    """Captured and refunded always, the others where there is something."""
    amounts = [
        (_("captured"), payment.captured_minor, True),
        (_("capturable"), payment.capturable_minor, False),
        (_("refunded"), payment.refunded_minor, True),
        (_("refund pending"), payment.refund_pending_minor, False),
        (_("disputed"), payment.disputed_minor, False),
        (_("in suspense"), payment.suspense_minor, False),
        (_("application fee"), _fee_minor(payment, attempt), False),
        (_("platform fee"), fees.get(LedgerAccountKind.PLATFORM_FEES, 0), False),
        (_("channel fee"), fees.get(LedgerAccountKind.CHANNEL_FEES, 0), False),
        (_("refundable"), payment.refundable_minor, False),
    ]
    return [
        (label, money_text(minor, payment.currency)) for label, minor, always in amounts if minor or always
    ]


def _net_minor(payment: Payment, attempt: PaymentAttempt | None, fees: Mapping[str, int]) -> int:
    """The captured money less the fees that the ledger has of this payment."""
    taken = payment.refunded_minor + payment.disputed_minor + _fee_minor(payment, attempt)
    return payment.captured_minor - taken - sum(fees.values())


def _fee_minor(payment: Payment, attempt: PaymentAttempt | None) -> int:
    """A partial capture takes the application fee in proportion."""
    if attempt is None or not payment.captured_minor:
        return 0
    return reduce_application_fee(
        attempt.application_fee_minor, payment.captured_minor, payment.authorized_minor
    )


def _build_link(payment: Payment) -> PaymentLink | None:
    """Only while somebody can still pay."""
    if payment.status != PaymentStatus.PENDING or not payment.payment_url:
        return None
    return PaymentLink(payment.payment_url, _draw_code(payment.payment_url))


def _draw_code(url: str) -> SafeString | None:
    if len(url) > MAX_LINK_LENGTH:
        return None
    code = segno.make(url, micro=False)
    svg: str = code.svg_inline(border=4, dark="#000", light="#fff", omitsize=True, lineclass=None)
    return mark_safe(svg)  # noqa: S308 - SVG made by segno: it draws the link and does not contain it
