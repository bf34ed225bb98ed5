"""Reads a payment for its page: the state that the customer sees, and what to do next."""

import datetime as dt

from django.db.models import Sum

from channel_accounts.serving import get_channel_of_payment
from channels.base import LIVE, TEST, NextAction, QrCodeAction
from channels.registry import UnknownChannel
from checkout.page import CheckoutPage
from checkout.states import PageState, PaymentAmounts, count_seconds, refine_state
from gateway.checkout_token import build_checkout_url
from gateway.models import Payment, PaymentStatus
from gateway.next_action import read_next_action

_STATES = {
    PaymentStatus.PROCESSING: PageState.PROCESSING,
    PaymentStatus.AUTHORIZED: PageState.AUTHORIZED,
    PaymentStatus.SUCCEEDED: PageState.PAID,
    PaymentStatus.FAILED: PageState.DECLINED,
    PaymentStatus.CANCELLED: PageState.CANCELLED,
    PaymentStatus.EXPIRED: PageState.EXPIRED,
}


def choose_payment_state(payment: Payment, now: dt.datetime) -> PageState:
    if payment.status == PaymentStatus.PENDING:
        return _choose_pending_state(payment, now)
    state = _STATES[PaymentStatus(payment.status)]
    return refine_state(state, read_money(payment), needs_review=payment.needs_attention)


def build_payment_page(payment: Payment, now: dt.datetime) -> CheckoutPage:
    action = read_next_action(payment.next_action)
    ends_at = _choose_end(payment, action)
    return CheckoutPage(
        number=payment.payment_no,
        state=choose_payment_state(payment, now),
        api_status=payment.status,
        money=read_money(payment),
        subject=payment.subject,
        description=payment.body,
        return_url=payment.return_url,
        url=build_checkout_url(payment.id),
        expires_at=ends_at,
        seconds_left=count_seconds(ends_at, now),
        moves_real_money=_moves_real_money(payment),
        allows_http=payment.environment == TEST,
        channel=payment.channel,
        failure_code=payment.failure_code,
        action=action,
    )


def _moves_real_money(payment: Payment) -> bool:
    try:
        channel = get_channel_of_payment(
            payment.channel,
            payment.environment,
            sandbox=payment.sandbox,
            account_id=payment.channel_account_id,
        )
    except UnknownChannel:  # it was removed from the settings
        return payment.environment == LIVE
    return channel.moves_real_money


def read_money(payment: Payment) -> PaymentAmounts:
    """The money of the payment and of duplicate payments of its attempts, which only a payment that has ended has."""
    excess = (
        {}
        if payment.is_open
        else payment.attempts.aggregate(
            received=Sum("duplicate_minor"),
            refunded=Sum("duplicate_refunded_minor"),
            pending=Sum("duplicate_pending_minor"),
        )
    )
    return PaymentAmounts(
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        captured_minor=payment.captured_minor,
        refunded_minor=payment.refunded_minor,
        refund_pending_minor=payment.refund_pending_minor,
        excess_minor=excess.get("received") or 0,
        excess_refunded_minor=excess.get("refunded") or 0,
        excess_pending_minor=excess.get("pending") or 0,
    )


def _choose_pending_state(payment: Payment, now: dt.datetime) -> PageState:
    action = read_next_action(payment.next_action)
    is_over = _choose_end(payment, action) <= now
    if payment.needs_attention and (is_over or action is None):
        return PageState.CHECKING
    if is_over:
        return PageState.TIME_OVER
    return PageState.OPEN if action else PageState.PREPARING


def _choose_end(payment: Payment, action: NextAction | None) -> dt.datetime:
    """When the customer can pay no more: the end of the payment, or of its code if that is earlier."""
    if isinstance(action, QrCodeAction) and action.expires_at:
        return min(payment.expires_at, action.expires_at)
    return payment.expires_at
