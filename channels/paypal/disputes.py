"""Converts PayPal's disputes (developer.paypal.com/docs/api/customer-disputes/v1) into `ChannelDispute`.

PayPal states what the customer got back "from either the merchant or PayPal" (`dispute_outcome.amount_refunded`). A
refund that ended the dispute is in the order as well, and is booked as a refund. So at the end of a dispute in the
customer's favour the order is queried: the dispute took only what those refunds have not given back. Otherwise the
same money would leave the books twice.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from channels.base import (
    ChannelAccount,
    ChannelDispute,
    ChannelDisputeReason,
    ChannelDisputeStage,
    DisputeState,
)
from channels.paypal.amounts import read_money
from channels.paypal.client import PayPalClient
from channels.paypal.fields import read_list, read_object, read_text, read_time
from channels.paypal.orders import find_capture_id
from channels.paypal.payments import find_order_of_capture

# `status`, and `dispute_outcome.outcome_code` once it is RESOLVED.
STATES = {
    "OPEN": DisputeState.NEEDS_RESPONSE,
    "WAITING_FOR_SELLER_RESPONSE": DisputeState.NEEDS_RESPONSE,
    "WAITING_FOR_BUYER_RESPONSE": DisputeState.UNDER_REVIEW,
    "UNDER_REVIEW": DisputeState.UNDER_REVIEW,
    "OTHER": DisputeState.UNDER_REVIEW,
}
OUTCOMES = {
    "RESOLVED_BUYER_FAVOUR": DisputeState.LOST,
    "ACCEPTED": DisputeState.LOST,
    "RESOLVED_SELLER_FAVOUR": DisputeState.WON,
    "DENIED": DisputeState.WON,
    # PayPal itself pays the customer, and the merchant keeps the money.
    "RESOLVED_WITH_PAYOUT": DisputeState.WON,
    "CANCELED_BY_BUYER": DisputeState.CLOSED,
    "NONE": DisputeState.CLOSED,
}
STAGES = {
    # The customer writes to the merchant, and PayPal takes no money yet.
    "INQUIRY": ChannelDisputeStage.INQUIRY,
    "CHARGEBACK": ChannelDisputeStage.CHARGEBACK,
    "PRE_ARBITRATION": ChannelDisputeStage.PRE_ARBITRATION,
    "ARBITRATION": ChannelDisputeStage.ARBITRATION,
}
REASONS = {
    "MERCHANDISE_OR_SERVICE_NOT_RECEIVED": ChannelDisputeReason.PRODUCT_NOT_RECEIVED,
    "MERCHANDISE_OR_SERVICE_NOT_AS_DESCRIBED": ChannelDisputeReason.PRODUCT_UNACCEPTABLE,
    "UNAUTHORISED": ChannelDisputeReason.FRAUDULENT,
    "CREDIT_NOT_PROCESSED": ChannelDisputeReason.CREDIT_NOT_PROCESSED,
    "DUPLICATE_TRANSACTION": ChannelDisputeReason.DUPLICATE,
    "PAYMENT_BY_OTHER_MEANS": ChannelDisputeReason.DUPLICATE,
    "INCORRECT_AMOUNT": ChannelDisputeReason.INCORRECT_AMOUNT,
    "CANCELED_RECURRING_BILLING": ChannelDisputeReason.SUBSCRIPTION_CANCELED,
    "PROBLEM_WITH_REMITTANCE": ChannelDisputeReason.GENERAL,
    "OTHER": ChannelDisputeReason.GENERAL,
}
_REFUNDED = ("COMPLETED", "PENDING")


@dataclass(frozen=True, slots=True)
class _Refund:
    amount_minor: int
    currency: str
    created_at: dt.datetime | None


def read_reported_dispute(
    account: ChannelAccount, dispute: Mapping[str, Any], timeout_seconds: float
) -> ChannelDispute | None:
    """Returns the dispute, and queries the order of one that was lost. None: it names no transaction.

    A dispute is about one capture of ours, which `find_payment` finds.
    """
    transactions = read_list(dispute, "disputed_transactions")
    if not transactions:
        return None
    reported = _read_dispute(dispute, read_text(transactions[0], "seller_transaction_id"), account)
    if reported.state != DisputeState.LOST or not reported.channel_trade_no:
        return reported
    order = find_order_of_capture(PayPalClient(account, timeout_seconds), reported.channel_trade_no)
    taken_minor = _compute_taken(dispute, reported, order)
    if taken_minor <= 0:
        # Refunded, or ended without money: the dispute itself holds nothing back.
        return replace(reported, state=DisputeState.CLOSED)
    return replace(reported, amount_minor=taken_minor)


def _read_dispute(dispute: Mapping[str, Any], capture_id: str, account: ChannelAccount) -> ChannelDispute:
    """A status, outcome or reason of a later version is not an end: the dispute goes on blocking refunds."""
    status = read_text(dispute, "status")
    outcome = read_text(read_object(dispute, "dispute_outcome"), "outcome_code")
    state = STATES.get(status, DisputeState.UNDER_REVIEW)
    if status == "RESOLVED":
        state = OUTCOMES.get(outcome, DisputeState.CLOSED)
    amount_minor, currency = read_money(dispute.get("dispute_amount"))
    reason, stage = read_text(dispute, "reason"), read_text(dispute, "dispute_life_cycle_stage")
    return ChannelDispute(
        environment=account.environment,
        channel_dispute_no=read_text(dispute, "dispute_id"),
        channel_trade_no=capture_id,
        amount_minor=amount_minor,
        currency=currency,
        reason=REASONS.get(reason, ChannelDisputeReason.GENERAL),
        channel_reason=reason.lower(),
        state=state,
        stage=STAGES.get(stage, ChannelDisputeStage.CHARGEBACK),
        evidence_due_by=read_time(dispute, "seller_response_due_date"),
    )


def _compute_taken(
    dispute: Mapping[str, Any], reported: ChannelDispute, order: Mapping[str, Any] | None
) -> int:
    """Returns the amount that the dispute itself took; 0 or less when refunds have given it back.

    No stage takes more than the refunds have left of the capture. An inquiry ends in the customer's favour by the
    merchant's refunds alone: those that were made while it was open.
    """
    given_minor, currency = reported.amount_minor, reported.currency
    if (refunded := read_object(dispute, "dispute_outcome").get("amount_refunded")) is not None:
        amount_minor, refunded_currency = read_money(refunded)
        if refunded_currency == currency:
            given_minor = amount_minor
    if order is None:
        return given_minor
    ended_at = read_time(dispute, "update_time")
    refunds = [
        refund
        for refund in _list_refunds(order, reported.channel_trade_no)
        if refund.currency == currency and not _is_after(refund.created_at, ended_at)
    ]
    if reported.stage == ChannelDisputeStage.INQUIRY:
        began_at = read_time(dispute, "create_time")
        given_minor -= sum(
            refund.amount_minor for refund in refunds if not _is_after(began_at, refund.created_at)
        )
    captured_minor = _read_captured(order, reported.channel_trade_no, currency)
    if captured_minor is None:
        return given_minor
    return min(given_minor, captured_minor - sum(refund.amount_minor for refund in refunds))


def _is_after(time: dt.datetime | None, other: dt.datetime | None) -> bool:
    """By whole seconds: the times of orders have no more. A missing time is never after."""
    return time is not None and other is not None and time.replace(microsecond=0) > other


def _list_refunds(order: Mapping[str, Any], capture_id: str) -> Iterator[_Refund]:
    for unit in read_list(order, "purchase_units"):
        for refund in read_list(read_object(unit, "payments"), "refunds"):
            is_of_capture = find_capture_id(refund) in ("", capture_id)
            if is_of_capture and read_text(refund, "status") in _REFUNDED:
                yield _Refund(*read_money(refund.get("amount")), read_time(refund, "create_time"))


def _read_captured(order: Mapping[str, Any], capture_id: str, currency: str) -> int | None:
    for unit in read_list(order, "purchase_units"):
        for capture in read_list(read_object(unit, "payments"), "captures"):
            if read_text(capture, "id") == capture_id:
                amount_minor, captured_currency = read_money(capture.get("amount"))
                return amount_minor if captured_currency == currency else None
    return None
