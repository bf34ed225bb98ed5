"""Converts a channel's results into outcomes of saga steps: what the channel answered into what the saga does next.

result              outcome after a call    after a query
Reported            by its state; it counts only when its reference, amount and currency match our request
Declined            Failure                 Unknown: the query was refused, which decides nothing
InvalidRequest      Failure                 Unknown
NotProcessed        Transient               Transient
UnknownOutcome      Unknown                 Unknown
NewKeyRequired      Unknown                 Unknown
NotFoundAtChannel   Unknown                 CallNotFound
NotYet              Unknown                 CallNotFound
"""

from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from channels import base
from gateway.errors import REQUEST_INVALID
from gateway.next_action import describe_next_action
from gateway.review_reasons import ReviewMessage, ReviewReason, amount_value
from sagas import outcomes
from sagas.outcomes import Json, Outcome


def build_payment_result(payment: base.ChannelPayment) -> Json:
    return {
        "state": payment.state.value,
        "channel_trade_no": payment.channel_trade_no,
        "next_action": describe_next_action(payment.next_action),
        "captured_minor": payment.captured_minor,
        "complete_before": payment.complete_before.isoformat() if payment.complete_before else "",
        "failure_code": payment.failure_code,
        "failure_message": payment.failure_message,
    }


def build_refund_result(refund: base.ChannelRefund) -> Json:
    return {
        "state": refund.state.value,
        "channel_refund_no": refund.channel_refund_no,
        "failure_code": refund.failure_code,
        "failure_message": refund.failure_message,
    }


def convert_call_answer(answer: base.NotReported) -> Outcome:
    """Converts the answer to a call that changes something at the channel."""
    match answer:
        case base.Declined(code, message):
            return outcomes.Failure(code, message)
        case base.InvalidRequest(is_query=True):
            return outcomes.Unknown(f"the channel refused the query: {answer.message or answer.code}")
        case base.InvalidRequest(code, message, param):
            prefix = f"{param}: " if param else ""
            return outcomes.Failure(REQUEST_INVALID, f"{prefix}{message or code}")
        case base.NewKeyRequired(reason):
            return outcomes.Unknown(reason)
        case base.NotProcessed(reason, retry_after_seconds):
            return outcomes.Transient(reason, retry_after_seconds, answer.spends_attempt)
        case base.UnknownOutcome(reason):
            return outcomes.Unknown(reason, answer.spends_attempt)
        case base.NotFoundAtChannel() | base.NotYet():
            # About a payment that the channel has reported before: only a query, and then a person, can tell.
            return outcomes.Unknown("the channel does not know the payment")
        case _ as never:
            assert_never(never)


def convert_repeatable_call_answer(
    answer: base.PaymentResult,
    *,
    query: Callable[[], Outcome],
    convert: Callable[[base.ChannelPayment], Outcome],
) -> Outcome:
    """Converts the answer to a call that may repeat a lost one: before a decline counts, a query finds out whether the
    earlier call had its effect."""
    match answer:
        case base.Reported(payment):
            return convert(payment)
        case base.NewKeyRequired():
            return convert_query_after_used_key(query())
        case base.Declined():
            queried = query()
            is_decided = isinstance(queried, outcomes.Success | outcomes.NeedsReview)
            return queried if is_decided else convert_call_answer(answer)
        case _:
            return convert_call_answer(answer)


def convert_query_answer(answer: base.NotReported) -> Outcome:
    """Converts the answer to a query: a query that is refused decides nothing."""
    match answer:
        case base.Declined(code, message) | base.InvalidRequest(code, message):
            return outcomes.Unknown(f"the channel refused the query: {message or code}")
        case base.NotFoundAtChannel() | base.NotYet():
            # A creation is repeated: nobody holds a page of a payment whose creation was not answered.
            return outcomes.CallNotFound()
    return convert_call_answer(answer)


def convert_query_after_used_key(queried: Outcome) -> Outcome:
    """Converts what a query found after a call that answered `NewKeyRequired`. That call has spent an attempt, so the
    next one, under a new key, is a retry."""
    if isinstance(queried, outcomes.NoEffect):
        return replace(queried, spends_attempt=True)
    if isinstance(queried, outcomes.CallNotFound):
        return outcomes.NoEffect("the channel does not know it, and its key is used up")
    return queried


def describe_payment_mismatch(
    payment: base.ChannelPayment, *, reference: str, amount_minor: int, currency: str
) -> ReviewReason | None:
    """Describes how the channel's payment differs from ours; None when it does not."""
    mismatch = _describe_mismatch(payment, reference, amount_minor, currency)
    if (
        mismatch is None
        and payment.state == base.PaymentState.PAID
        and not 1 <= payment.captured_minor <= amount_minor
    ):
        values = {
            "captured": amount_value(payment.captured_minor, currency),
            "requested": amount_value(amount_minor, currency),
        }
        return ReviewReason(ReviewMessage.CAPTURED_OTHERWISE, values)
    return mismatch


def describe_refund_mismatch(
    refund: base.ChannelRefund, *, reference: str, amount_minor: int, currency: str
) -> ReviewReason | None:
    """Describes how the channel's refund differs from ours; None when it does not."""
    return _describe_mismatch(refund, reference, amount_minor, currency)


def _describe_mismatch(
    reported: base.ChannelPayment | base.ChannelRefund, reference: str, amount_minor: int, currency: str
) -> ReviewReason | None:
    reported_minor = amount_minor if reported.amount_minor is None else reported.amount_minor
    theirs = (reported.reference, reported_minor, reported.currency.upper())
    ours = (reference, amount_minor, currency)
    if theirs == ours:
        return None
    return ReviewReason(
        ReviewMessage.REPORTED_DIFFERENTLY,
        {
            "reported": amount_value(reported_minor, reported.currency.upper()),
            "reported_reference": reported.reference,
            "requested": amount_value(amount_minor, currency),
            "reference": reference,
        },
    )
