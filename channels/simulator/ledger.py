"""What can happen to money at the bank. Every function here runs in a transaction that has locked the
payment, and writes its state, the ledger and the webhook together."""

import secrets
import time
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models.functions import Now

from channels.base import TEST, ChannelPayment, ChannelRefund, PaymentState, RefundState
from channels.simulator import faults
from channels.simulator.models import LedgerEntry, LedgerKind, Notification, SimulatedPayment, SimulatedRefund

EXPIRED = "expired"
CARD_DECLINED = ("card_declined", "The card was declined.")
INSUFFICIENT_FUNDS = ("insufficient_funds", "The account has insufficient funds.")
OUT_OF_ORDER_SECONDS = 2.0


def describe(payment: SimulatedPayment) -> ChannelPayment:
    return ChannelPayment(
        reference=payment.reference,
        channel_trade_no=payment.channel_trade_no,
        state=PaymentState(payment.state),
        amount_minor=payment.amount,
        currency=payment.currency,
        captured_minor=payment.captured,
        payment_url=f"{settings.PUBLIC_BASE_URL}/checkout/{payment.token}",
        failure_code=payment.failure_code,
        failure_message=payment.failure_message,
    )


def describe_refund(refund: SimulatedRefund) -> ChannelRefund:
    return ChannelRefund(
        reference="" if refund.is_own else refund.reference,
        channel_refund_no=refund.channel_refund_no,
        state=RefundState(refund.state),
        amount_minor=refund.amount,
        currency=refund.currency,
        failure_code=refund.failure_code,
        failure_message=refund.failure_message,
        environment=TEST,
        payment_reference=refund.payment_id,
    )


# --- Payments ---------------------------------------------------------------------------------------


def customer_pays(payment: SimulatedPayment) -> None:
    """The customer agreed: decided now, or after a while when the script says so."""
    script = faults.parse(payment.simulate)
    if script.asks_for("processing"):
        process(payment, script.behaviours["processing"])
    else:
        decide(payment)


def process(payment: SimulatedPayment, seconds: float) -> None:
    """The bank takes its time."""
    payment.state = PaymentState.PROCESSING
    payment.settles_at = Now() + timedelta(seconds=seconds)
    payment.save(update_fields=["state", "settles_at"])
    _announce_payment(payment, "payment.processing")


def decide(payment: SimulatedPayment) -> None:
    """The bank takes or holds the money, or refuses."""
    script = faults.parse(payment.simulate)
    before = replace(describe(payment), state=PaymentState.PROCESSING)
    payment.settles_at = None
    if script.asks_for("pay_declined"):
        decline(payment)
    elif payment.manual_capture or script.asks_for("authorize"):
        _hold(payment)
    else:
        _charge(payment)
        if script.asks_for("out_of_order_webhook"):
            _notify(payment, "payment.processing", {"payment": asdict(before)}, delay=OUT_OF_ORDER_SECONDS)


def decline(payment: SimulatedPayment, why: tuple[str, str] = CARD_DECLINED) -> None:
    payment.state, payment.settles_at = PaymentState.DECLINED, None
    payment.failure_code, payment.failure_message = why
    payment.save(update_fields=["state", "settles_at", "failure_code", "failure_message"])
    _announce_payment(payment, "payment.declined")


def refuse_card(payment: SimulatedPayment, why: tuple[str, str]) -> None:
    """The bank refuses the card on its page: the payment stays open, and the customer may try another one."""
    payment.failure_code, payment.failure_message = why
    payment.save(update_fields=["failure_code", "failure_message"])
    _announce_payment(payment, "payment.card_refused")


def _charge(payment: SimulatedPayment) -> None:
    payment.state, payment.captured = PaymentState.PAID, payment.amount
    payment.failure_code = payment.failure_message = ""
    payment.save(update_fields=["state", "captured", "settles_at", "failure_code", "failure_message"])
    _enter(payment, LedgerKind.CHARGE, payment.amount, key=payment.channel_trade_no)
    _announce_payment(payment, "payment.paid")
    script = faults.parse(payment.simulate)
    if script.asks_for("channel_refund"):
        refund_at_bank(payment, payment.captured, seconds=script.behaviours["channel_refund"])


def _hold(payment: SimulatedPayment) -> None:
    payment.state = PaymentState.AUTHORIZED
    payment.failure_code = payment.failure_message = ""
    payment.save(update_fields=["state", "settles_at", "failure_code", "failure_message"])
    _enter(payment, LedgerKind.AUTHORIZE, payment.amount, key=payment.channel_trade_no)
    _announce_payment(payment, "payment.authorized")


def capture(payment: SimulatedPayment, amount: int, *, key: str) -> None:
    """Takes what was held, or a part of it and releases the rest."""
    payment.state, payment.captured = PaymentState.PAID, amount
    payment.save(update_fields=["state", "captured"])
    _enter(payment, LedgerKind.CAPTURE, amount, key=key)
    if amount < payment.amount:
        _enter(payment, LedgerKind.VOID, payment.amount - amount, key=key)
    _announce_payment(payment, "payment.paid")


def cancel(payment: SimulatedPayment, *, key: str, why: str) -> None:
    """Ends an open payment, or releases a held one."""
    if payment.state == PaymentState.AUTHORIZED:
        _enter(payment, LedgerKind.VOID, payment.amount, key=key)
    payment.state, payment.failure_code = PaymentState.CANCELLED, why
    payment.save(update_fields=["state", "failure_code"])
    _announce_payment(payment, "payment.cancelled")


# --- Refunds ----------------------------------------------------------------------------------------


def give_back(payment: SimulatedPayment, refund: SimulatedRefund) -> None:
    payment.refunded += refund.amount
    payment.save(update_fields=["refunded"])
    _enter(payment, LedgerKind.REFUND, refund.amount, key=refund.create_key, refund=refund.reference)
    _announce_refund(payment, refund, "refund.succeeded")


def refund_at_bank(payment: SimulatedPayment, amount: int, *, seconds: float = 0.0) -> SimulatedRefund:
    """Somebody refunds at the bank itself, as in the dashboard of a real channel: now, or pending for so long."""
    number = f"sim_ref_{secrets.token_hex(12)}"
    refund = SimulatedRefund(
        reference=number,
        channel_refund_no=number,
        create_key=number,
        payment=payment,
        state=RefundState.PENDING if seconds else RefundState.SUCCEEDED,
        amount=amount,
        currency=payment.currency,
        reason="refunded at the bank",
        is_own=True,
    )
    if seconds:
        refund.settles_at = Now() + timedelta(seconds=seconds)
        refund.settles_as = RefundState.SUCCEEDED
        payment.refund_pending += amount
        payment.save(update_fields=["refund_pending"])
    refund.save(force_insert=True)
    if seconds:
        _announce_refund(payment, refund, "refund.created")
    else:
        give_back(payment, refund)
    return refund


def settle_refund(payment: SimulatedPayment, refund: SimulatedRefund) -> None:
    """A pending refund has come to its end."""
    payment.refund_pending -= refund.amount
    payment.save(update_fields=["refund_pending"])
    refund.state, refund.settles_at = refund.settles_as, None
    if refund.state == RefundState.FAILED:
        refund.failure_code = "refund_failed"
        refund.failure_message = "The customer's bank returned the money."
    refund.save(update_fields=["state", "settles_at", "failure_code", "failure_message"])
    if refund.state == RefundState.SUCCEEDED:
        give_back(payment, refund)
    else:
        _announce_refund(payment, refund, "refund.failed")


def return_refund(payment: SimulatedPayment, refund: SimulatedRefund) -> None:
    """The customer's bank sends back a refund that had succeeded: its account was closed, for instance."""
    payment.refunded -= refund.amount
    payment.save(update_fields=["refunded"])
    refund.state, refund.settles_at = RefundState.FAILED, None
    refund.failure_code = "refund_returned"
    refund.failure_message = "The customer's bank returned the money."
    refund.save(update_fields=["state", "settles_at", "failure_code", "failure_message"])
    key = f"return-{refund.create_key}"
    _enter(payment, LedgerKind.REFUND_RETURN, refund.amount, key=key, refund=refund.reference)
    _announce_refund(payment, refund, "refund.failed")


# --- What time brings -------------------------------------------------------------------------------


def is_behind(payment: SimulatedPayment, now: datetime) -> bool:
    """Whether something has fallen due that the books do not show yet."""
    expired = payment.state == PaymentState.OPEN and payment.expires_at <= now
    decided = payment.settles_at is not None and payment.settles_at <= now
    return expired or decided or payment.refund_pending > 0


def catch_up(payment: SimulatedPayment, now: datetime) -> None:
    """Writes what has fallen due: only what is written is true, so that all callers see the same."""
    if payment.state == PaymentState.OPEN and payment.expires_at <= now:
        cancel(payment, key=f"expiry-{payment.channel_trade_no}", why=EXPIRED)
    if payment.settles_at is not None and payment.settles_at <= now:
        decide(payment)
    if payment.refund_pending or payment.refunded:
        for refund in payment.refunds.filter(settles_at__lte=now).order_by("created_at"):
            if refund.state == RefundState.PENDING:
                settle_refund(payment, refund)
            else:
                return_refund(payment, refund)


# --- The ledger and the webhooks ----------------------------------------------------------------------


def _enter(payment: SimulatedPayment, kind: LedgerKind, amount: int, *, key: str, refund: str = "") -> None:
    LedgerEntry.objects.create(
        reference=payment.reference,
        refund_reference=refund,
        kind=kind,
        amount=amount,
        currency=payment.currency,
        key=key,
    )


def _announce_payment(payment: SimulatedPayment, event_type: str) -> None:
    _notify(payment, event_type, {"payment": asdict(describe(payment))})


def _announce_refund(payment: SimulatedPayment, refund: SimulatedRefund, event_type: str) -> None:
    _notify(payment, event_type, {"refund": asdict(describe_refund(refund))})


def _notify(
    payment: SimulatedPayment, event_type: str, content: dict[str, Any], *, delay: float = 0.0
) -> None:
    """Puts a snapshot aside for sending, in the manner the payment's script asks for."""
    script = faults.parse(payment.simulate)
    if script.asks_for("no_webhook"):
        return
    event_id = f"sim_evt_{secrets.token_hex(12)}"
    seconds = delay + script.behaviours.get("late_webhook", 0.0)
    Notification.objects.create(
        event_id=event_id,
        event_type=event_type,
        reference=payment.reference,
        payload={"event_id": event_id, "type": event_type, "created": int(time.time()), **content},
        deliveries_left=2 if script.asks_for("duplicate_webhook") else 1,
        due_at=Now() + timedelta(seconds=seconds),
    )
