"""Compares one payment or refund of a channel's list with our row."""

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from channels.base import ChannelPayment, ChannelRefund, PaymentState, RefundState
from gateway.models import PaymentAttempt, PaymentStatus, Refund, RefundStatus


class DifferenceKind(enum.StrEnum):
    """`missing_here`: the channel lists something that we do not know. `missing_there`: the opposite."""

    NOT_FOUND_HERE = "missing_here"
    NOT_FOUND_AT_CHANNEL = "missing_there"
    AMOUNT = "amount"
    CURRENCY = "currency"
    STATE = "state"
    CAPTURED = "captured"
    REFUND_NOT_FOUND_HERE = "refund_missing_here"
    REFUND_NOT_FOUND_AT_CHANNEL = "refund_missing_there"
    REFUND_AMOUNT = "refund_amount"
    REFUND_CURRENCY = "refund_currency"
    REFUND_STATE = "refund_state"


@dataclass(frozen=True, slots=True)
class Difference:
    kind: DifferenceKind
    environment: str
    reference: str
    ours: str
    theirs: str
    channel_no: str = ""  # the channel's own number, to look it up there


# Without money: an approval that we do not complete lapses.
_UNPAID_STATES = (PaymentState.DECLINED, PaymentState.CANCELLED, PaymentState.APPROVED)
# The states in which a channel may list an unpaid payment of each status.
_PAYMENT_STATES: dict[str, tuple[PaymentState, ...]] = {
    PaymentStatus.PENDING: (PaymentState.OPEN, PaymentState.APPROVED),
    PaymentStatus.PROCESSING: (PaymentState.PROCESSING, PaymentState.APPROVED),
    PaymentStatus.AUTHORIZED: (PaymentState.AUTHORIZED,),
    PaymentStatus.SUCCEEDED: (PaymentState.PAID,),
    PaymentStatus.FAILED: _UNPAID_STATES,
    PaymentStatus.CANCELLED: _UNPAID_STATES,
    PaymentStatus.EXPIRED: _UNPAID_STATES,
}
_REFUND_STATES: dict[str, RefundState] = {
    RefundStatus.PENDING: RefundState.PENDING,
    RefundStatus.PROCESSING: RefundState.PENDING,
    RefundStatus.SUCCEEDED: RefundState.SUCCEEDED,
    RefundStatus.FAILED: RefundState.FAILED,
}


def compare_payment(
    environment: str, listed: ChannelPayment, attempt: PaymentAttempt | None
) -> Iterator[Difference]:
    if attempt is None:
        theirs = f"{listed.state} {listed.amount_minor} {listed.currency}"
        yield Difference(
            DifferenceKind.NOT_FOUND_HERE, environment, listed.reference, "", theirs, listed.channel_trade_no
        )
        return
    payment = attempt.payment
    is_current = attempt.reference == payment.reference
    captured_minor = payment.captured_minor if is_current else attempt.duplicate_minor
    if captured_minor and not (is_current and payment.is_partly_captured):
        states: tuple[PaymentState, ...] = (PaymentState.PAID,)
    elif is_current:
        states = _PAYMENT_STATES[payment.status]
    else:
        states = _UNPAID_STATES
    status = payment.status if is_current else "given up"
    is_same_amount = listed.amount_minor in (None, payment.authorized_minor)
    is_same_currency = payment.currency == listed.currency.upper()
    is_same_capture = captured_minor == listed.captured_minor
    for kind, ours, reported, is_same in (
        (DifferenceKind.AMOUNT, payment.authorized_minor, listed.amount_minor, is_same_amount),
        (DifferenceKind.CURRENCY, payment.currency, listed.currency, is_same_currency),
        (DifferenceKind.STATE, status, listed.state, listed.state in states),
        (DifferenceKind.CAPTURED, captured_minor, listed.captured_minor, is_same_capture),
    ):
        if not is_same:
            yield Difference(
                kind, environment, listed.reference, str(ours), str(reported), listed.channel_trade_no
            )


def compare_refund(environment: str, listed: ChannelRefund, refund: Refund | None) -> Iterator[Difference]:
    if refund is None:
        theirs = f"{listed.state} {listed.amount_minor} {listed.currency}"
        yield Difference(
            DifferenceKind.REFUND_NOT_FOUND_HERE,
            environment,
            listed.reference,
            "",
            theirs,
            listed.channel_refund_no,
        )
        return
    is_same_amount = refund.amount_minor == listed.amount_minor
    is_same_currency = refund.currency == listed.currency.upper()
    is_same_state = has_listed_outcome(refund, listed)
    for kind, ours, reported, is_same in (
        (DifferenceKind.REFUND_AMOUNT, refund.amount_minor, listed.amount_minor, is_same_amount),
        (DifferenceKind.REFUND_CURRENCY, refund.currency, listed.currency, is_same_currency),
        (DifferenceKind.REFUND_STATE, refund.status, listed.state, is_same_state),
    ):
        if not is_same:
            yield Difference(
                kind, environment, refund.refund_no, str(ours), str(reported), listed.channel_refund_no
            )


def has_listed_outcome(refund: Refund, listed: ChannelRefund) -> bool:
    """Whether our refund has the outcome that the channel lists. A refund that exceeded what was left to refund
    has a review: it differs, and that is known."""
    return listed.state == _REFUND_STATES[refund.status] or refund.has_late_success
