"""Converts Disputes into `ChannelDispute`."""

import datetime as dt

from channels.base import ChannelDispute, ChannelDisputeReason, ChannelDisputeStage, DisputeState
from channels.stripe import amounts
from channels.stripe.fields import StripeJson, read_id, read_number, read_text

# Settled before it became a chargeback: the dispute was blocked, or the customer got the money back (`case_type`
# resolution: docs.stripe.com/changelog/basil/2025-08-27/add-preventions-to-dispute).
_PREVENTED = "prevented"
# docs.stripe.com/api/disputes/object: `warning_…` are inquiries, for which no money is taken.
_DISPUTE_STATES = {
    "needs_response": DisputeState.NEEDS_RESPONSE,
    "under_review": DisputeState.UNDER_REVIEW,
    "won": DisputeState.WON,
    "lost": DisputeState.LOST,
    _PREVENTED: DisputeState.CLOSED,
    "warning_needs_response": DisputeState.NEEDS_RESPONSE,
    "warning_under_review": DisputeState.UNDER_REVIEW,
    "warning_closed": DisputeState.CLOSED,
}
# docs.stripe.com/disputes/categories. Others, such as those of bank debits, are general.
_REASONS = {
    "credit_not_processed": ChannelDisputeReason.CREDIT_NOT_PROCESSED,
    "debit_not_authorized": ChannelDisputeReason.FRAUDULENT,
    "duplicate": ChannelDisputeReason.DUPLICATE,
    "fraudulent": ChannelDisputeReason.FRAUDULENT,
    "product_not_received": ChannelDisputeReason.PRODUCT_NOT_RECEIVED,
    "product_unacceptable": ChannelDisputeReason.PRODUCT_UNACCEPTABLE,
    "subscription_canceled": ChannelDisputeReason.SUBSCRIPTION_CANCELED,
    "unrecognized": ChannelDisputeReason.UNRECOGNIZED,
}


def read_dispute(dispute: StripeJson, environment: str) -> ChannelDispute:
    currency, status = read_text(dispute, "currency"), read_text(dispute, "status")
    details = dispute.get("evidence_details") or {}
    # 0: the bank allows no answer.
    due_by, reason = details.get("due_by"), str(dispute.get("reason") or "general")
    return ChannelDispute(
        environment=environment,
        channel_dispute_no=read_text(dispute, "id"),
        # Empty for a charge without a PaymentIntent: it is not ours.
        channel_trade_no=read_id(dispute.get("payment_intent")),
        amount_minor=amounts.from_stripe(read_number(dispute, "amount"), currency),
        currency=currency.upper(),
        reason=_REASONS.get(reason, ChannelDisputeReason.GENERAL),
        channel_reason=reason,
        state=_read_state(dispute, status),
        stage=ChannelDisputeStage.INQUIRY
        if status.startswith("warning_")
        else ChannelDisputeStage.CHARGEBACK,
        evidence_due_by=dt.datetime.fromtimestamp(due_by, dt.UTC) if type(due_by) is int and due_by else None,
        has_evidence=details.get("has_evidence"),
        submission_count=details.get("submission_count"),
    )


def _read_state(dispute: StripeJson, status: str) -> DisputeState:
    """The status of a prevented dispute does not say whether the money was taken. `balance_transactions` do: they are
    the funds withdrawn and reinstated because of the dispute."""
    movements: list[StripeJson] = dispute.get("balance_transactions") or []
    if status == _PREVENTED and sum(read_number(each, "amount") for each in movements) < 0:
        return DisputeState.LOST
    # A status of a later API version is not an end: the dispute goes on blocking refunds.
    return _DISPUTE_STATES.get(status, DisputeState.UNDER_REVIEW)
