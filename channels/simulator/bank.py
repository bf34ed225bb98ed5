"""The bank's operations for the platform. Each is one short transaction on the bank's own connection.

Row locks put a paying customer and a cancelling platform in line: the second sees what the first did.
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
    NotFoundAtChannel,
    PaymentResult,
    PaymentState,
    RefundListResult,
    RefundResult,
    RefundState,
    Reported,
)
from channels.simulator import faults, ledger
from channels.simulator.models import LedgerEntry, LedgerKind, SimulatedPayment, SimulatedRefund
from channels.simulator.router import ALIAS
from common.db import from_now, insert_unless_exists
from common.money import EXPONENTS

_MISMATCH = Declined("idempotency_mismatch", "This key or reference was used with other parameters.")
_NO_SUCH_PAYMENT = Declined("no_such_payment", "The simulator has no such payment.")
ELSEWHERE = "acquirer_unavailable"
_REFUSALS = {
    "decline": Declined(*ledger.CARD_DECLINED),
    "insufficient_funds": Declined(*ledger.INSUFFICIENT_FUNDS),
    "decline_elsewhere": Declined(
        ELSEWHERE, "The bank cannot take payments at the moment.", can_fail_over=True
    ),
}


def script_of(reference: str) -> faults.Script:
    text = SimulatedPayment.objects.filter(pk=reference).values_list("simulate", flat=True).first()
    return faults.parse(text) if text else faults.NORMAL


# --- Payments ---------------------------------------------------------------------------------------


def create(request: CreatePayment, script: faults.Script) -> PaymentResult:
    """Normally a single INSERT. The same key or reference again answers what became of the first."""
    if request.amount_minor < 1 or request.currency not in EXPONENTS:
        return Declined("amount_not_supported", "The simulator does not know this amount and currency.")
    payment = _new_payment(request, script)
    if script.asks_for("auto_pay") or script.asks_for("authorize"):
        with transaction.atomic(using=ALIAS):
            created = insert_unless_exists(payment)
            if created:
                ledger.customer_pays(payment)
    else:
        created = insert_unless_exists(payment)
    return _as_created(payment) if created else _created_before(request)


def find(reference: str) -> PaymentResult:
    payment = SimulatedPayment.objects.annotate(now=Now()).filter(pk=reference).first()
    if payment is None:
        return NotFoundAtChannel()
    if ledger.is_behind(payment, payment.now):
        with transaction.atomic(using=ALIAS):
            return Reported(ledger.describe(lock_known(reference)))
    return Reported(ledger.describe(payment))


def cancel(request: CancelPayment) -> PaymentResult:
    """Answers the payment as it then is: PAID when the customer was faster."""
    reference = request.payment.reference
    with transaction.atomic(using=ALIAS):
        payment = lock(Q(pk=reference))
        if payment is None:
            tombstone = _tombstone(reference, request.payment.environment)
            if insert_unless_exists(tombstone):
                return Reported(ledger.describe(tombstone))
            payment = lock_known(reference)  # its creation was faster by a moment
        if payment.state in (PaymentState.OPEN, PaymentState.AUTHORIZED):
            ledger.cancel(payment, key=request.key, why="")
        return Reported(ledger.describe(payment))


def capture(request: CapturePayment) -> PaymentResult:
    """Takes the held amount or a part of it, once; the rest is released."""
    with transaction.atomic(using=ALIAS):
        payment = lock(Q(pk=request.payment.reference))
        if payment is None:
            return _NO_SUCH_PAYMENT
        captures = LedgerEntry.objects.filter(reference=payment.pk, kind=LedgerKind.CAPTURE)
        if captures.filter(key=request.key).exists():
            repeated = payment.state == PaymentState.PAID and payment.captured == request.amount_minor
            return Reported(ledger.describe(payment)) if repeated else _MISMATCH
        if payment.state != PaymentState.AUTHORIZED:
            return Declined("not_capturable", f"The payment is {payment.state}: nothing is held.")
        if not 1 <= request.amount_minor <= payment.amount:
            return Declined("capture_exceeds_authorization", f"At most {payment.amount} can be captured.")
        ledger.capture(payment, request.amount_minor, key=request.key)
        return Reported(ledger.describe(payment))


def lock(which: Q) -> SimulatedPayment | None:
    """The payment, locked and brought up to date. Only inside a transaction."""
    payment = SimulatedPayment.objects.select_for_update().annotate(now=Now()).filter(which).first()
    if payment is not None:
        ledger.catch_up(payment, payment.now)
    return payment


def lock_known(reference: str) -> SimulatedPayment:
    """Payments are never deleted."""
    payment = lock(Q(pk=reference))
    assert payment is not None
    return payment


def _new_payment(request: CreatePayment, script: faults.Script) -> SimulatedPayment:
    refusal = next((_REFUSALS[name] for name in _REFUSALS if script.asks_for(name)), None)
    return SimulatedPayment(
        reference=request.reference,
        channel_trade_no=f"sim_pay_{secrets.token_hex(12)}",
        token=secrets.token_urlsafe(24),
        create_key=request.key,
        environment=request.environment,
        state=PaymentState.DECLINED if refusal else PaymentState.OPEN,
        amount=request.amount_minor,
        currency=request.currency,
        manual_capture=request.manual_capture,
        subject=request.subject,
        description=request.description,
        return_url=request.return_url,
        simulate=script.text,
        failure_code=refusal.code if refusal else "",
        failure_message=refusal.message if refusal else "",
        expires_at=from_now(request.expires_in_seconds),
    )


def _tombstone(reference: str, environment: str) -> SimulatedPayment:
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


def _as_created(payment: SimulatedPayment) -> PaymentResult:
    if payment.state == PaymentState.DECLINED:
        code = payment.failure_code
        return Declined(code, payment.failure_message, can_fail_over=code == ELSEWHERE)
    return Reported(ledger.describe(payment))


def _created_before(request: CreatePayment) -> PaymentResult:
    with transaction.atomic(using=ALIAS):
        payment = lock(Q(pk=request.reference)) or lock(Q(create_key=request.key))
        assert payment is not None, "an INSERT met a row that cannot be found"
        if payment.create_key is None:
            return Declined("payment_cancelled", "The payment was cancelled before it was created.")
        ours = (request.reference, request.amount_minor, request.currency, request.manual_capture)
        theirs = (payment.reference, payment.amount, payment.currency, payment.manual_capture)
        return _as_created(payment) if ours == theirs else _MISMATCH


# --- Refunds ----------------------------------------------------------------------------------------


def refund(request: CreateRefund, script: faults.Script) -> RefundResult:
    """The bank checks the limit itself, pending refunds included."""
    with transaction.atomic(using=ALIAS):
        payment = lock(Q(pk=request.payment.reference))
        if payment is None:
            return _NO_SUCH_PAYMENT
        known = SimulatedRefund.objects.filter(Q(pk=request.reference) | Q(create_key=request.key)).first()
        if known is not None:
            ours = (request.reference, request.payment.reference, request.amount_minor, request.currency)
            theirs = (known.reference, known.payment_id, known.amount, known.currency)
            return _as_refunded(known) if ours == theirs else _MISMATCH
        refusal = _refund_refusal(payment, request)
        return refusal or _as_refunded(_new_refund(payment, request, script))


def find_refund(reference: str) -> RefundResult:
    with transaction.atomic(using=ALIAS):
        payment = lock(Q(pk__in=SimulatedRefund.objects.filter(pk=reference).values("payment_id")))
        if payment is None:
            return NotFoundAtChannel()
        return Reported(ledger.describe_refund(SimulatedRefund.objects.get(pk=reference)))


def find_refunds(reference: str) -> RefundListResult:
    """All refunds of the payment, those made at the bank itself included."""
    with transaction.atomic(using=ALIAS):
        payment = lock(Q(pk=reference))
        if payment is None:
            return NotFoundAtChannel()
        rows = payment.refunds.exclude(failure_code="refund_declined").order_by("created_at", "reference")
        return Reported(tuple(ledger.describe_refund(row) for row in rows))


def refund_at_bank(reference: str, amount: int) -> str:
    """What a clerk does at the bank, without the platform: refunds now, up to what is left. Answers the bank's number
    of the refund, or nothing when more than that was asked for."""
    with transaction.atomic(using=ALIAS):
        payment = lock_known(reference)
        if not 1 <= amount <= payment.captured - payment.refunded - payment.refund_pending:
            return ""
        return ledger.refund_at_bank(payment, amount).channel_refund_no


def _refund_refusal(payment: SimulatedPayment, request: CreateRefund) -> Declined | None:
    if payment.state != PaymentState.PAID:
        return Declined("not_refundable", f"The payment is {payment.state}: there is nothing to give back.")
    if request.currency != payment.currency:
        return Declined("currency_mismatch", f"The payment is in {payment.currency}.")
    refundable = payment.captured - payment.refunded - payment.refund_pending
    if not 1 <= request.amount_minor <= refundable:
        return Declined("refund_exceeds_payment", f"At most {refundable} can be refunded.")
    return None


def _new_refund(payment: SimulatedPayment, request: CreateRefund, script: faults.Script) -> SimulatedRefund:
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
    waits = next((name for name in ("refund_fails_later", "refund_pending") if script.asks_for(name)), None)
    if script.asks_for("refund_declined"):
        row.state = RefundState.FAILED
        row.failure_code, row.failure_message = "refund_declined", "The refund was declined."
    elif waits:
        row.state = RefundState.PENDING
        row.settles_at = Now() + timedelta(seconds=script.behaviours[waits])
        row.settles_as = RefundState.FAILED if waits == "refund_fails_later" else RefundState.SUCCEEDED
        payment.refund_pending += row.amount
        payment.save(update_fields=["refund_pending"])
    elif script.asks_for("refund_returned"):
        row.settles_at = Now() + timedelta(seconds=script.behaviours["refund_returned"])
    row.save(force_insert=True)
    if row.state == RefundState.SUCCEEDED:
        ledger.give_back(payment, row)
    return row


def _as_refunded(refund: SimulatedRefund) -> RefundResult:
    if refund.failure_code == "refund_declined":
        return Declined(refund.failure_code, refund.failure_message)
    return Reported(ledger.describe_refund(refund))


# --- What time brings -------------------------------------------------------------------------------


def settle_due(limit: int = 100) -> int:
    """Decides what has fallen due without anybody asking. Answers how many payments it looked at."""
    payments = SimulatedPayment.objects.filter(settles_at__lte=Now()).values_list("pk", flat=True)[:limit]
    refunds = SimulatedRefund.objects.filter(settles_at__lte=Now()).values_list("payment_id", flat=True)[
        :limit
    ]
    references = {*payments, *refunds}
    for reference in references:
        with transaction.atomic(using=ALIAS):
            lock(Q(pk=reference))
    return len(references)
