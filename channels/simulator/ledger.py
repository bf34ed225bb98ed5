"""Changes of payments and refunds at the bank. Each function writes the state, the ledger entry and the webhook
together, in a transaction that has locked the payment."""

import secrets
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from django.db.models.functions import Now

from channels.base import TEST, ChannelPayment, ChannelRefund, PaymentState, RefundState
from channels.simulator import disputes, faults
from channels.simulator.methods import APPROVAL, build_payment_url, choose_card, choose_next_action
from channels.simulator.models import LedgerEntry, LedgerKind, SimulatedPayment, SimulatedRefund
from channels.simulator.outgoing import queue_notification

EXPIRED, AUTHORIZATION_LAPSED, APPROVAL_LAPSED = "expired", "authorization_lapsed", "approval_lapsed"
CARD_DECLINED = ("card_declined", "The card was declined.")
INSUFFICIENT_FUNDS = ("insufficient_funds", "The account has insufficient funds.")
OUT_OF_ORDER_SECONDS = 2.0
# As the deadline of `payment.complete`. PayPal allows more.
APPROVAL_SECONDS = 3 * 3600.0


def to_channel_payment(payment: SimulatedPayment) -> ChannelPayment:
    return ChannelPayment(
        reference=payment.reference,
        channel_trade_no=payment.channel_trade_no,
        state=PaymentState(payment.state),
        amount_minor=payment.amount,
        currency=payment.currency,
        captured_minor=payment.captured,
        next_action=choose_next_action(payment),
        failure_code=payment.failure_code,
        failure_message=payment.failure_message,
        complete_before=payment.complete_before if payment.state == PaymentState.APPROVED else None,
        card=choose_card(payment),
    )


def describe_payment(payment: SimulatedPayment, reported: ChannelPayment) -> dict[str, Any]:
    """The payment as the simulator's webhooks show it (docs/SIMULATOR.md)."""
    deadline = reported.complete_before
    approval = {"complete_before": deadline.isoformat()} if deadline else {}
    card = reported.card
    # With the names of Stripe's card, so that the stored webhook is redacted in the same way.
    paid_with = (
        {"card": {"brand": card.brand, "last4": card.last_four, "wallet": card.wallet}} if card else {}
    )
    return (
        approval
        | paid_with
        | {
            "reference": reported.reference,
            "channel_trade_no": reported.channel_trade_no,
            "state": reported.state,
            "amount_minor": reported.amount_minor,
            "currency": reported.currency,
            "captured_minor": reported.captured_minor,
            "payment_url": build_payment_url(payment),
            "failure_code": reported.failure_code,
            "failure_message": reported.failure_message,
        }
    )


def to_channel_refund(refund: SimulatedRefund) -> ChannelRefund:
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


def submit_payment(payment: SimulatedPayment) -> None:
    """The customer submits the payment, or with `simulator_approval` approves it."""
    if payment.payment_method == APPROVAL:
        approve_payment(payment)
    else:
        execute_payment(payment)


def approve_payment(payment: SimulatedPayment) -> None:
    """No money moves before the platform completes the payment."""
    seconds = faults.parse_script(payment.simulate).behaviours.get("approval_lapses", APPROVAL_SECONDS)
    payment.state, payment.complete_before = PaymentState.APPROVED, Now() + timedelta(seconds=seconds)
    payment.failure_code = payment.failure_message = ""
    payment.save(update_fields=["state", "complete_before", "failure_code", "failure_message"])
    payment.refresh_from_db(fields=["complete_before"])
    _notify_of_payment(payment, "payment.approved")


def execute_payment(payment: SimulatedPayment) -> None:
    """The bank decides at once, or later when the script says so."""
    script = faults.parse_script(payment.simulate)
    if script.asks_for("processing"):
        start_processing(payment, script.behaviours["processing"])
    else:
        decide_payment(payment)


def start_processing(payment: SimulatedPayment, seconds: float) -> None:
    payment.state = PaymentState.PROCESSING
    payment.settles_at = Now() + timedelta(seconds=seconds)
    payment.save(update_fields=["state", "settles_at"])
    _notify_of_payment(payment, "payment.processing")


def decide_payment(payment: SimulatedPayment) -> None:
    """The bank charges or authorizes the payment, or declines it."""
    script = faults.parse_script(payment.simulate)
    before = replace(to_channel_payment(payment), state=PaymentState.PROCESSING)
    payment.settles_at = None
    if script.asks_for("pay_declined"):
        decline_payment(payment)
    elif payment.manual_capture or script.asks_for("authorize"):
        _authorize_payment(payment)
    else:
        _charge_payment(payment)
        if script.asks_for("out_of_order_webhook"):
            queue_notification(
                payment,
                "payment.processing",
                {"payment": describe_payment(payment, before)},
                delay=OUT_OF_ORDER_SECONDS,
            )


def decline_payment(payment: SimulatedPayment, reason: tuple[str, str] = CARD_DECLINED) -> None:
    payment.state, payment.settles_at = PaymentState.DECLINED, None
    payment.failure_code, payment.failure_message = reason
    payment.save(update_fields=["state", "settles_at", "failure_code", "failure_message"])
    _notify_of_payment(payment, "payment.declined")


def decline_card(payment: SimulatedPayment, reason: tuple[str, str]) -> None:
    """The bank refuses a card on the payment page. The payment stays open for another card."""
    payment.failure_code, payment.failure_message = reason
    payment.save(update_fields=["failure_code", "failure_message"])
    _notify_of_payment(payment, "payment.card_refused")


def _charge_payment(payment: SimulatedPayment) -> None:
    payment.state, payment.captured = PaymentState.PAID, payment.amount
    payment.failure_code = payment.failure_message = ""
    payment.save(update_fields=["state", "captured", "settles_at", "failure_code", "failure_message"])
    _add_entry(payment, LedgerKind.CHARGE, payment.amount, key=payment.channel_trade_no)
    _notify_of_payment(payment, "payment.paid")
    script = faults.parse_script(payment.simulate)
    if script.asks_for("channel_refund"):
        create_bank_refund(payment, payment.captured, seconds=script.behaviours["channel_refund"])
    disputes.open_scripted_dispute(payment, script)


def _authorize_payment(payment: SimulatedPayment) -> None:
    payment.state = PaymentState.AUTHORIZED
    script = faults.parse_script(payment.simulate)
    if script.asks_for("authorization_lapses"):
        payment.settles_at = Now() + timedelta(seconds=script.behaviours["authorization_lapses"])
    payment.failure_code = payment.failure_message = ""
    payment.save(update_fields=["state", "settles_at", "failure_code", "failure_message"])
    _add_entry(payment, LedgerKind.AUTHORIZE, payment.amount, key=payment.channel_trade_no)
    _notify_of_payment(payment, "payment.authorized")


def capture_payment(payment: SimulatedPayment, amount: int, *, key: str, is_final: bool = True) -> None:
    """Captures what is held, or a part of it. A final capture releases the rest."""
    payment.captured += amount
    _add_entry(payment, LedgerKind.CAPTURE, amount, key=key)
    if is_final:
        _release_rest(payment, key=key)
    else:
        payment.save(update_fields=["captured"])
        _notify_of_payment(payment, "payment.captured")


def increment_authorization(payment: SimulatedPayment, amount: int, *, key: str) -> None:
    """Holds more, up to the new total `amount`."""
    _add_entry(payment, LedgerKind.AUTHORIZE, amount - payment.amount, key=key)
    payment.amount = amount
    payment.save(update_fields=["amount"])
    _notify_of_payment(payment, "payment.authorized")


def cancel_payment(payment: SimulatedPayment, *, key: str, failure_code: str = "") -> None:
    """Cancels an open payment, or releases what is held. A payment that was captured in part is then paid."""
    if payment.captured:
        _release_rest(payment, key=key)
        return
    if payment.state == PaymentState.AUTHORIZED:
        _add_entry(payment, LedgerKind.VOID, payment.amount, key=key)
    payment.state, payment.failure_code, payment.settles_at = PaymentState.CANCELLED, failure_code, None
    payment.save(update_fields=["state", "failure_code", "settles_at"])
    _notify_of_payment(payment, "payment.cancelled")


def _release_rest(payment: SimulatedPayment, *, key: str) -> None:
    """Ends the captures: the payment is paid with what was captured."""
    payment.state, payment.settles_at = PaymentState.PAID, None
    payment.save(update_fields=["state", "captured", "settles_at"])
    if payment.captured < payment.amount:
        _add_entry(payment, LedgerKind.VOID, payment.amount - payment.captured, key=key)
    _notify_of_payment(payment, "payment.paid")


# --- Refunds ----------------------------------------------------------------------------------------


def complete_refund(payment: SimulatedPayment, refund: SimulatedRefund) -> None:
    payment.refunded += refund.amount
    payment.save(update_fields=["refunded"])
    _add_entry(payment, LedgerKind.REFUND, refund.amount, key=refund.create_key, refund=refund.reference)
    _notify_of_refund(payment, refund, "refund.succeeded")


def create_bank_refund(payment: SimulatedPayment, amount: int, *, seconds: float = 0.0) -> SimulatedRefund:
    """Refunds at the bank without the platform, as in a channel's dashboard. With `seconds` it is pending so long."""
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
        _notify_of_refund(payment, refund, "refund.created")
    else:
        complete_refund(payment, refund)
    return refund


def settle_pending_refund(payment: SimulatedPayment, refund: SimulatedRefund) -> None:
    payment.refund_pending -= refund.amount
    payment.save(update_fields=["refund_pending"])
    refund.state, refund.settles_at = refund.settles_as, None
    if refund.state == RefundState.FAILED:
        refund.failure_code = "refund_failed"
        refund.failure_message = "The customer's bank returned the money."
    refund.save(update_fields=["state", "settles_at", "failure_code", "failure_message"])
    if refund.state == RefundState.SUCCEEDED:
        complete_refund(payment, refund)
    else:
        _notify_of_refund(payment, refund, "refund.failed")


def return_refund(payment: SimulatedPayment, refund: SimulatedRefund) -> None:
    """The customer's bank sends back a refund that had succeeded, for example because the account is closed."""
    payment.refunded -= refund.amount
    payment.save(update_fields=["refunded"])
    refund.state, refund.settles_at = RefundState.FAILED, None
    refund.failure_code = "refund_returned"
    refund.failure_message = "The customer's bank returned the money."
    refund.save(update_fields=["state", "settles_at", "failure_code", "failure_message"])
    key = f"return-{refund.create_key}"
    _add_entry(payment, LedgerKind.REFUND_RETURN, refund.amount, key=key, refund=refund.reference)
    _notify_of_refund(payment, refund, "refund.failed")


# --- Due changes ------------------------------------------------------------------------------------


def has_lapsed(payment: SimulatedPayment, now: datetime) -> bool:
    deadline = payment.complete_before
    return payment.state == PaymentState.APPROVED and deadline is not None and deadline <= now


def has_due_changes(payment: SimulatedPayment, now: datetime) -> bool:
    """Whether something has fallen due that is not written yet."""
    is_expired = payment.state == PaymentState.OPEN and payment.expires_at <= now
    is_lapsed = has_lapsed(payment, now)
    is_decided = payment.settles_at is not None and payment.settles_at <= now
    return is_expired or is_lapsed or is_decided or payment.refund_pending > 0


def apply_due_changes(payment: SimulatedPayment, now: datetime) -> None:
    """Writes what has fallen due, so that all callers see the same."""
    if payment.state == PaymentState.OPEN and payment.expires_at <= now:
        cancel_payment(payment, key=f"expiry-{payment.channel_trade_no}", failure_code=EXPIRED)
    if has_lapsed(payment, now):
        cancel_payment(payment, key=f"lapse-{payment.channel_trade_no}", failure_code=APPROVAL_LAPSED)
    if payment.settles_at is not None and payment.settles_at <= now:
        if payment.state == PaymentState.AUTHORIZED:
            key = f"lapse-{payment.channel_trade_no}"
            cancel_payment(payment, key=key, failure_code=AUTHORIZATION_LAPSED)
        else:
            decide_payment(payment)
    if payment.refund_pending or payment.refunded:
        for refund in payment.refunds.filter(settles_at__lte=now).order_by("created_at"):
            if refund.state == RefundState.PENDING:
                settle_pending_refund(payment, refund)
            else:
                return_refund(payment, refund)


# --- The ledger and the webhooks ----------------------------------------------------------------------


def _add_entry(
    payment: SimulatedPayment, kind: LedgerKind, amount: int, *, key: str, refund: str = ""
) -> None:
    LedgerEntry.objects.create(
        reference=payment.reference,
        refund_reference=refund,
        kind=kind,
        amount=amount,
        currency=payment.currency,
        key=key,
    )


def _notify_of_payment(payment: SimulatedPayment, event_type: str) -> None:
    queue_notification(
        payment, event_type, {"payment": describe_payment(payment, to_channel_payment(payment))}
    )


def _notify_of_refund(payment: SimulatedPayment, refund: SimulatedRefund, event_type: str) -> None:
    queue_notification(payment, event_type, {"refund": asdict(to_channel_refund(refund))})
