"""The bank's operations for the platform. Each is one short transaction on the bank's own connection.

Each operation locks the payment's row: of a customer who pays and a platform that cancels, the second sees what the
first did.
"""

import secrets
from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from channels.base import (
    CancelPayment,
    CapturePayment,
    CreatePayment,
    CreateRefund,
    Declined,
    IncrementAuthorization,
    NotFoundAtChannel,
    PaymentResult,
    PaymentState,
    RefundListResult,
    RefundResult,
    RefundState,
    Reported,
)
from channels.simulator import disputes, faults, ledger
from channels.simulator.models import LedgerEntry, LedgerKind, SimulatedPayment, SimulatedRefund
from channels.simulator.router import ALIAS
from common.db import from_now, insert_unless_exists
from common.money import EXPONENTS

_MISMATCH = Declined("idempotency_mismatch", "This key or reference was used with other parameters.")
_UNKNOWN_PAYMENT = Declined("no_such_payment", "The simulator has no such payment.")
ACQUIRER_UNAVAILABLE = "acquirer_unavailable"
_SCRIPTED_DECLINES = {
    "decline": Declined(*ledger.CARD_DECLINED),
    "insufficient_funds": Declined(*ledger.INSUFFICIENT_FUNDS),
    "decline_elsewhere": Declined(
        ACQUIRER_UNAVAILABLE, "The bank cannot take payments at the moment.", can_fail_over=True
    ),
}


def get_script(reference: str) -> faults.Script:
    text = SimulatedPayment.objects.filter(pk=reference).values_list("simulate", flat=True).first()
    return faults.parse_script(text) if text else faults.NORMAL


# --- Payments ---------------------------------------------------------------------------------------


def create_payment(request: CreatePayment, script: faults.Script) -> PaymentResult:
    """Creates a payment, normally with a single INSERT. For a known key or reference, reports the existing payment."""
    if request.amount_minor < 1 or request.currency not in EXPONENTS:
        return Declined("amount_not_supported", "The simulator does not know this amount and currency.")
    payment = _new_payment(request, script)
    if script.asks_for("auto_pay") or script.asks_for("authorize"):
        with transaction.atomic(using=ALIAS):
            created = insert_unless_exists(payment)
            if created:
                ledger.submit_payment(payment)
    else:
        created = insert_unless_exists(payment)
    return _creation_result(payment) if created else _repeated_creation_result(request)


def find_reference(channel_trade_no: str) -> str:
    """Our number of the payment with this number of the bank; empty when there is none."""
    known = SimulatedPayment.objects.filter(channel_trade_no=channel_trade_no, create_key__isnull=False)
    return known.values_list("reference", flat=True).first() or ""


def find_payment(reference: str) -> PaymentResult:
    payment = SimulatedPayment.objects.annotate(now=Now()).filter(pk=reference).first()
    if payment is None:
        return NotFoundAtChannel()
    if ledger.has_due_changes(payment, payment.now):
        with transaction.atomic(using=ALIAS):
            return Reported(ledger.to_channel_payment(lock_existing_payment(reference)))
    return Reported(ledger.to_channel_payment(payment))


def cancel_payment(request: CancelPayment) -> PaymentResult:
    """Cancels an open or authorized payment and reports the payment as it then is.

    A payment that the bank does not know gets a tombstone, which refuses its creation later.
    """
    reference = request.payment.reference
    with transaction.atomic(using=ALIAS):
        payment = lock_payment(Q(pk=reference))
        if payment is None:
            tombstone = _new_tombstone(reference, request.payment.environment)
            if insert_unless_exists(tombstone):
                return Reported(ledger.to_channel_payment(tombstone))
            payment = lock_existing_payment(reference)  # its creation came at the same time and was first
        if payment.state in (PaymentState.OPEN, PaymentState.AUTHORIZED):
            ledger.cancel_payment(payment, key=request.key)
        return Reported(ledger.to_channel_payment(payment))


def capture_payment(request: CapturePayment) -> PaymentResult:
    """Captures what is held or a part of it, once for each key. A final capture releases the rest."""
    with transaction.atomic(using=ALIAS):
        payment = lock_payment(Q(pk=request.payment.reference))
        if payment is None:
            return _UNKNOWN_PAYMENT
        captures = LedgerEntry.objects.filter(reference=payment.pk, kind=LedgerKind.CAPTURE)
        existing = captures.filter(key=request.key).first()
        if existing is not None:
            is_same = existing.amount == request.amount_minor
            return Reported(ledger.to_channel_payment(payment)) if is_same else _MISMATCH
        if payment.state != PaymentState.AUTHORIZED:
            return Declined("not_capturable", f"The payment is {payment.state}: nothing is held.")
        held = payment.amount - payment.captured
        if not 1 <= request.amount_minor <= held:
            return Declined("capture_exceeds_authorization", f"At most {held} can be captured.")
        ledger.capture_payment(payment, request.amount_minor, key=request.key, is_final=request.is_final)
        return Reported(ledger.to_channel_payment(payment))


def increment_authorization(request: IncrementAuthorization, script: faults.Script) -> PaymentResult:
    """Holds more, once for each key. As at Stripe, only while nothing was captured."""
    with transaction.atomic(using=ALIAS):
        payment = lock_payment(Q(pk=request.payment.reference))
        if payment is None:
            return _UNKNOWN_PAYMENT
        authorizations = LedgerEntry.objects.filter(reference=payment.pk, kind=LedgerKind.AUTHORIZE)
        if authorizations.filter(key=request.key).exists():
            return Reported(ledger.to_channel_payment(payment))
        if payment.state != PaymentState.AUTHORIZED or payment.captured:
            return Declined("not_incrementable", "Only an authorization without captures can be incremented.")
        if request.amount_minor <= payment.amount:
            return Declined("increment_too_small", f"{payment.amount} is authorized already.")
        if script.asks_for("increment_declined"):
            return Declined(*ledger.CARD_DECLINED)
        ledger.increment_authorization(payment, request.amount_minor, key=request.key)
        return Reported(ledger.to_channel_payment(payment))


def lock_payment(condition: Q) -> SimulatedPayment | None:
    """Locks the payment and applies what has fallen due. Only inside a transaction."""
    payment = SimulatedPayment.objects.select_for_update().annotate(now=Now()).filter(condition).first()
    if payment is not None:
        ledger.apply_due_changes(payment, payment.now)
    return payment


def lock_existing_payment(reference: str) -> SimulatedPayment:
    payment = lock_payment(Q(pk=reference))
    assert payment is not None, "payments are never deleted"
    return payment


def _new_payment(request: CreatePayment, script: faults.Script) -> SimulatedPayment:
    declined = next((result for name, result in _SCRIPTED_DECLINES.items() if script.asks_for(name)), None)
    return SimulatedPayment(
        reference=request.reference,
        channel_trade_no=f"sim_pay_{secrets.token_hex(12)}",
        token=secrets.token_urlsafe(24),
        create_key=request.key,
        environment=request.environment,
        merchant_id=request.merchant_id,
        order_no=request.order_no,
        payment_method=request.payment_method,
        state=PaymentState.DECLINED if declined else PaymentState.OPEN,
        amount=request.amount_minor,
        currency=request.currency,
        manual_capture=request.manual_capture,
        subject=request.subject,
        description=request.description,
        return_url=request.return_url,
        simulate=script.text,
        failure_code=declined.code if declined else "",
        failure_message=declined.message if declined else "",
        expires_at=from_now(request.expires_in_seconds),
    )


def _new_tombstone(reference: str, environment: str) -> SimulatedPayment:
    return SimulatedPayment(
        reference=reference,
        channel_trade_no=f"sim_pay_{secrets.token_hex(12)}",
        token=secrets.token_urlsafe(24),
        create_key=None,
        environment=environment,
        state=PaymentState.CANCELLED,
        amount=0,
        expires_at=from_now(),
    )


def _creation_result(payment: SimulatedPayment) -> PaymentResult:
    if payment.state == PaymentState.DECLINED:
        code = payment.failure_code
        return Declined(code, payment.failure_message, can_fail_over=code == ACQUIRER_UNAVAILABLE)
    return Reported(ledger.to_channel_payment(payment))


def _repeated_creation_result(request: CreatePayment) -> PaymentResult:
    with transaction.atomic(using=ALIAS):
        payment = lock_payment(Q(pk=request.reference)) or lock_payment(Q(create_key=request.key))
        assert payment is not None, "the INSERT found a row that no SELECT finds"
        if payment.create_key is None:
            return Declined("payment_cancelled", "The payment was cancelled before it was created.")
        requested = (request.reference, request.amount_minor, request.currency, request.manual_capture)
        existing = (payment.reference, payment.amount, payment.currency, payment.manual_capture)
        return _creation_result(payment) if requested == existing else _MISMATCH


# --- Refunds ----------------------------------------------------------------------------------------


def create_refund(request: CreateRefund, script: faults.Script) -> RefundResult:
    """Creates a refund within what was captured and not refunded; pending refunds count."""
    with transaction.atomic(using=ALIAS):
        payment = lock_payment(Q(pk=request.payment.reference))
        if payment is None:
            return _UNKNOWN_PAYMENT
        existing = SimulatedRefund.objects.filter(Q(pk=request.reference) | Q(create_key=request.key)).first()
        if existing is not None:
            requested = (request.reference, request.payment.reference, request.amount_minor, request.currency)
            found = (existing.reference, existing.payment_id, existing.amount, existing.currency)
            return _refund_result(existing) if requested == found else _MISMATCH
        declined = _decline_refund(payment, request)
        return declined or _refund_result(_create_refund_row(payment, request, script))


def find_refund(reference: str) -> RefundResult:
    with transaction.atomic(using=ALIAS):
        payment = lock_payment(Q(pk__in=SimulatedRefund.objects.filter(pk=reference).values("payment_id")))
        if payment is None:
            return NotFoundAtChannel()
        return Reported(ledger.to_channel_refund(SimulatedRefund.objects.get(pk=reference)))


def find_refunds(reference: str) -> RefundListResult:
    """All refunds of the payment, those made at the bank itself included."""
    with transaction.atomic(using=ALIAS):
        payment = lock_payment(Q(pk=reference))
        if payment is None:
            return NotFoundAtChannel()
        rows = payment.refunds.exclude(failure_code="refund_declined").order_by("created_at", "reference")
        return Reported(tuple(ledger.to_channel_refund(row) for row in rows))


def refund_at_bank(reference: str, amount: int) -> str:
    """Refunds at the bank without the platform, as in a channel's dashboard.

    Returns the bank's number of the refund; empty when the amount is more than what is left.
    """
    with transaction.atomic(using=ALIAS):
        payment = lock_existing_payment(reference)
        if not 1 <= amount <= payment.captured - payment.refunded - payment.refund_pending:
            return ""
        return ledger.create_bank_refund(payment, amount).channel_refund_no


def _decline_refund(payment: SimulatedPayment, request: CreateRefund) -> Declined | None:
    if payment.state != PaymentState.PAID and not payment.captured:
        return Declined("not_refundable", f"The payment is {payment.state}: there is nothing to give back.")
    if request.currency != payment.currency:
        return Declined("currency_mismatch", f"The payment is in {payment.currency}.")
    refundable = payment.captured - payment.refunded - payment.refund_pending
    if not 1 <= request.amount_minor <= refundable:
        return Declined("refund_exceeds_payment", f"At most {refundable} can be refunded.")
    return None


def _create_refund_row(
    payment: SimulatedPayment, request: CreateRefund, script: faults.Script
) -> SimulatedRefund:
    row = SimulatedRefund(
        reference=request.reference,
        channel_refund_no=f"sim_ref_{secrets.token_hex(12)}",
        create_key=request.key,
        payment=payment,
        state=RefundState.SUCCEEDED,
        amount=request.amount_minor,
        currency=request.currency,
        reason=request.reason,
    )
    delay = next((name for name in ("refund_fails_later", "refund_pending") if script.asks_for(name)), None)
    if script.asks_for("refund_declined"):
        row.state = RefundState.FAILED
        row.failure_code, row.failure_message = "refund_declined", "The refund was declined."
    elif delay:
        row.state = RefundState.PENDING
        row.settles_at = Now() + timedelta(seconds=script.behaviours[delay])
        row.settles_as = RefundState.FAILED if delay == "refund_fails_later" else RefundState.SUCCEEDED
        payment.refund_pending += row.amount
        payment.save(update_fields=["refund_pending"])
    elif script.asks_for("refund_returned"):
        row.settles_at = Now() + timedelta(seconds=script.behaviours["refund_returned"])
    row.save(force_insert=True)
    if row.state == RefundState.SUCCEEDED:
        ledger.complete_refund(payment, row)
    return row


def _refund_result(refund: SimulatedRefund) -> RefundResult:
    if refund.failure_code == "refund_declined":
        return Declined(refund.failure_code, refund.failure_message)
    return Reported(ledger.to_channel_refund(refund))


# --- Due changes ------------------------------------------------------------------------------------


def settle_due_payments(limit: int = 100) -> int:
    """Applies what has fallen due and was not queried since. Returns the number of payments."""
    payments = SimulatedPayment.objects.filter(settles_at__lte=Now()).values_list("pk", flat=True)[:limit]
    refunds = SimulatedRefund.objects.filter(settles_at__lte=Now()).values_list("payment_id", flat=True)[
        :limit
    ]
    references = {*payments, *refunds}
    for reference in references:
        with transaction.atomic(using=ALIAS):
            lock_payment(Q(pk=reference))
    disputes.settle_due_disputes(limit)
    return len(references)
