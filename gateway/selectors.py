"""Reads payments, refunds and disputes. A function that takes a `principal` reads within its merchant and environment:
another tenant's object does not exist for the caller.

`get_…` raises when there is no such object, `find_…` and `lock_…` return None."""

import datetime as dt
import uuid
from typing import Any

from django.db import connection
from django.db.models import Q, QuerySet

from channel_accounts.serving import get_channel_of_payment
from channels.guard import GuardedChannel
from common.errors import NotFound
from common.model_rows import ModelRow
from gateway.models import (
    AuthorizationIncrement,
    CaptureStatus,
    Dispute,
    Payment,
    PaymentAttempt,
    PaymentStatus,
    Refund,
    SuspenseStatus,
)
from gateway.update_source import UpdateSource
from merchants.principal import Principal
from orders.models import Order

_PAYMENT = ModelRow(Payment)
_SELECT = f"SELECT {_PAYMENT.columns} FROM payments"  # noqa: S608
_SELECT_BY_REFERENCE = f"""
{_SELECT} JOIN payment_attempts ON payment_attempts.payment_id = payments.id
WHERE payment_attempts.reference = %s AND payment_attempts.reference <> ''
"""


def get_payments(principal: Principal) -> QuerySet[Payment]:
    return Payment.objects.filter(merchant_id=principal.merchant_id, environment=principal.environment)


def get_refunds(principal: Principal) -> QuerySet[Refund]:
    return Refund.objects.filter(
        merchant_id=principal.merchant_id, environment=principal.environment
    ).select_related("payment")


def get_payment(principal: Principal, payment_no: str) -> Payment:
    """Raises `NotFound`."""
    payment = _find_payment(
        f"{_SELECT} WHERE payment_no = %s AND merchant_id = %s AND environment = %s",
        payment_no,
        principal.merchant_id,
        principal.environment,
    )
    if payment is None:
        raise NotFound({"payment_no": payment_no})
    return payment


def _find_payment(statement: str, *values: Any) -> Payment | None:
    """Reads the payment with a statement of the hot path, which is not built anew each time (ADR 38)."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        row = cursor.fetchone()
    return _PAYMENT.build(row) if row else None


def get_payment_by_trade_no(principal: Principal, channel_trade_no: str) -> Payment:
    """Raises `NotFound`."""
    payment = (
        get_payments(principal).filter(channel_trade_no=channel_trade_no).exclude(channel_trade_no="").first()
    )
    if payment is None:
        raise NotFound({"channel_trade_no": channel_trade_no})
    return payment


def get_refund(principal: Principal, refund_no: str) -> Refund:
    """Raises `NotFound`."""
    refund = get_refunds(principal).filter(refund_no=refund_no).first()
    if refund is None:
        raise NotFound({"refund_no": refund_no})
    return refund


def get_payment_by_id(payment_id: uuid.UUID) -> Payment:
    return Payment.objects.get(id=payment_id)


def get_payment_of_saga(saga_id: uuid.UUID) -> Payment:
    """The payment that the saga created, or of which it began a further attempt."""
    created = Payment.objects.filter(id=saga_id).first()
    return created or Payment.objects.get(attempts__opened_by=saga_id)


def get_creating_saga_id(payment: Payment) -> uuid.UUID:
    """The creating saga, which began the current attempt: payment.create, or payment.retry for a further attempt."""
    if payment.reference == payment.payment_no:
        return payment.id
    further = payment.attempts.filter(opened_by__isnull=False).order_by("-number")
    return further.values_list("opened_by", flat=True).first() or payment.id


def is_rest_released(payment: Payment) -> bool:
    """Whether the payment was captured in part, and what was left was released instead of captured."""
    if payment.status != PaymentStatus.SUCCEEDED:
        return False
    made = payment.captures.filter(status=CaptureStatus.SUCCEEDED).values_list("is_final", flat=True)
    return bool(made) and not any(made)


def list_authorized_totals(payment: Payment, reference: str) -> set[int]:
    """The amounts that a channel may report of this attempt: the payment's own, and those of its increments."""
    increments = payment.authorization_increments.filter(reference=reference)
    totals = increments.values_list("amount_minor", flat=True)
    return {payment.amount_minor, *totals}


def find_increment(payment: Payment, amount_minor: int) -> AuthorizationIncrement | None:
    """The newest increment of the current attempt to this total."""
    increments = payment.authorization_increments.filter(
        reference=payment.reference, amount_minor=amount_minor
    )
    return increments.order_by("-number").first()


def find_payment_of_any_merchant(payment_id: uuid.UUID) -> Payment | None:
    """For customers: their signed link proves that they may see the payment."""
    return Payment.objects.filter(id=payment_id).first()


def find_payment_of_order(order: Order) -> Payment | None:
    return Payment.objects.filter(order=order).first()


def lock_payment_by_reference(reference: str) -> Payment | None:
    """Locks the payment that has an attempt with this reference."""
    return _find_payment(f"{_SELECT_BY_REFERENCE} FOR UPDATE OF payments", reference) or _find_payment(
        f"{_SELECT} WHERE payment_no = %s FOR UPDATE", reference
    )


def lock_payment(payment_id: uuid.UUID) -> Payment:
    payment = _find_payment(f"{_SELECT} WHERE id = %s FOR UPDATE", payment_id)
    assert payment is not None, "payments are never deleted"
    return payment


def find_payment_by_reference(reference: str) -> Payment | None:
    """The payment that has an attempt with this reference, not locked."""
    return (
        Payment.objects.filter(attempts__reference=reference, attempts__reference__gt="").first()
        or Payment.objects.filter(payment_no=reference).first()
    )


def get_channel_of(target: Payment | PaymentAttempt, environment: str) -> GuardedChannel:
    """The channel that made the payment or attempt, with the account that it was made with."""
    return get_channel_of_payment(
        target.channel, environment, sandbox=target.sandbox, account_id=target.channel_account_id
    )


def find_attempt_reference(trade_no: str, *, source: UpdateSource, environment: str) -> str:
    """The reference of the payment with the channel's number `trade_no`; empty when there is none."""
    payment = Payment.objects.filter(
        channel_trade_no=trade_no,
        channel=source.channel,
        channel_account_id=source.account_id,
        environment=environment,
        sandbox=False,
    ).first()
    return payment.reference if payment else ""


def has_attempts_with(channel: str, account_id: uuid.UUID, *, since: dt.datetime) -> bool:
    """Whether the channel account, which exists since then, has taken an attempt."""
    attempts = PaymentAttempt.objects.filter(channel=channel, created_at__gte=since)
    return attempts.filter(channel_account_id=account_id).exists()


def find_earlier_attempt(payment: Payment, reference: str) -> PaymentAttempt | None:
    """The attempt with this reference, unless it is the payment's current one."""
    if reference == payment.reference:
        return None
    return payment.attempts.filter(reference=reference).first()


def lock_refund(*, reference: str, source: UpdateSource, number: str) -> Refund | None:
    """Locks the refund with the channel's own `number`, or else with our number `reference`, after its payment."""
    refund_id = _find_refund_id(reference, source, number)
    if refund_id is None:
        return None
    payment = Payment.objects.select_for_update(of=("self",)).get(refunds__id=refund_id)
    refund = (
        Refund.objects.select_for_update(of=("self",)).select_related("duplicate_attempt").get(id=refund_id)
    )
    refund.payment = payment
    return refund


def has_refund(*, reference: str, source: UpdateSource, number: str) -> bool:
    return _find_refund_id(reference, source, number) is not None


def _find_refund_id(reference: str, source: UpdateSource, number: str) -> uuid.UUID | None:
    """The row with the channel's number, or else the row with our number if it has no other number of the channel:
    a second refund that the channel made under one number of ours is another movement of money (ADR 19)."""
    condition = Q(refund_no=reference)
    if number:
        condition = Q(refund_no=reference, channel_refund_no__in=("", number))
        condition |= Q(channel=source.channel, channel_account_id=source.account_id, channel_refund_no=number)
    refunds = Refund.objects.filter(condition).order_by("-channel_refund_no")
    return refunds.values_list("id", flat=True).first()


def find_refunded_reference(refund_no: str) -> str:
    """The reference of the attempt that our refund `refund_no` refunds; empty when the refund is not ours."""
    refund = Refund.objects.filter(refund_no=refund_no).select_related("payment", "duplicate_attempt").first()
    return (refund.duplicate_attempt or refund.payment).reference if refund else ""


def get_attempt_start(source: Payment | PaymentAttempt) -> dt.datetime:
    """When the attempt, or the payment's current attempt, was begun: from then on the channel's lists may have it. A
    further attempt may begin days after the payment was created."""
    if isinstance(source, PaymentAttempt):
        return source.created_at
    began_at = source.attempts.filter(reference=source.reference).values_list("created_at", flat=True).first()
    return began_at or source.created_at


def get_disputes(principal: Principal) -> QuerySet[Dispute]:
    return Dispute.objects.filter(
        merchant_id=principal.merchant_id, environment=principal.environment
    ).select_related("payment")


def get_dispute(principal: Principal, dispute_no: str) -> Dispute:
    """Raises `NotFound`."""
    dispute = get_disputes(principal).filter(dispute_no=dispute_no).first()
    if dispute is None:
        raise NotFound({"dispute_no": dispute_no})
    return dispute


def sum_suspense(payment: Payment) -> dict[str, int]:
    """The amount in suspense (ADR 49) in each currency: excess of disputes and refunds of the channel, of earlier
    attempts as well."""
    disputes = payment.disputes.filter(suspense_minor__gt=0).values_list("currency", "suspense_minor")
    items = payment.suspense_items.filter(status=SuspenseStatus.OPEN).values_list("currency", "amount_minor")
    sums: dict[str, int] = {}
    for currency, amount_minor in [*disputes, *items]:
        sums[currency.upper()] = sums.get(currency.upper(), 0) + amount_minor
    return dict(sorted(sums.items()))


def has_suspense(payment: Payment) -> bool:
    return bool(sum_suspense(payment))
