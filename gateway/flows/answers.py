"""Translates a channel's answers into outcomes of saga steps. An answer counts only when its reference, amount and
currency match our request."""

from dataclasses import replace
from typing import assert_never

from channels import base
from gateway.errors import REQUEST_INVALID
from sagas import outcomes
from sagas.outcomes import Json, Outcome


def payment_result(payment: base.ChannelPayment) -> Json:
    return {
        "state": payment.state.value,
        "channel_trade_no": payment.channel_trade_no,
        "payment_url": payment.payment_url,
        "captured_minor": payment.captured_minor,
        "failure_code": payment.failure_code,
        "failure_message": payment.failure_message,
    }


def refund_result(refund: base.ChannelRefund) -> Json:
    return {
        "state": refund.state.value,
        "channel_refund_no": refund.channel_refund_no,
        "failure_code": refund.failure_code,
        "failure_message": refund.failure_message,
    }


NoAnswer = (
    base.Declined
    | base.InvalidRequest
    | base.NotProcessed
    | base.UnknownOutcome
    | base.NewKeyRequired
    | base.NotFoundAtChannel
)


def no_answer(answer: NoAnswer) -> Outcome:
    """What a call's answer means when it does not show the object itself."""
    match answer:
        case base.Declined(code, message):
            return outcomes.Failure(code, message)
        case base.InvalidRequest(is_query=True):
            return outcomes.Unknown(f"the channel refused the query: {answer.message or answer.code}")
        case base.InvalidRequest(code, message, param):
            about = f"{param}: " if param else ""
            return outcomes.Failure(REQUEST_INVALID, f"{about}{message or code}")
        case base.NewKeyRequired(reason):
            return outcomes.Unknown(reason)
        case base.NotProcessed(reason, retry_after_seconds):
            return outcomes.Transient(reason, retry_after_seconds, answer.spends_attempt)
        case base.UnknownOutcome(reason):
            return outcomes.Unknown(reason, answer.spends_attempt)
        case base.NotFoundAtChannel():
            return outcomes.NotFound()
        case _ as never:
            assert_never(never)


def no_news(answer: NoAnswer) -> Outcome:
    """What a query's answer means when it does not show the object: a query that is refused decides nothing."""
    match answer:
        case base.Declined(code, message) | base.InvalidRequest(code, message):
            return outcomes.Unknown(f"the channel refused the query: {message or code}")
    return no_answer(answer)


def after_the_call(found: Outcome) -> Outcome:
    """What a query found right after a call whose key is used up: that call has spent an attempt."""
    if isinstance(found, outcomes.NothingHappened):
        return replace(found, spends_attempt=True)
    if isinstance(found, outcomes.NotFound):
        return outcomes.NothingHappened("the channel does not know it, and its key is used up")
    return found


def payment_mismatch(
    payment: base.ChannelPayment, *, reference: str, amount_minor: int, currency: str
) -> str:
    """What differs between the channel's payment and ours, or nothing."""
    mismatch = _mismatch(payment, reference, amount_minor, currency)
    if (
        not mismatch
        and payment.state == base.PaymentState.PAID
        and not 1 <= payment.captured_minor <= amount_minor
    ):
        return f"the channel took {payment.captured_minor} of {amount_minor}"
    return mismatch


def refund_mismatch(refund: base.ChannelRefund, *, reference: str, amount_minor: int, currency: str) -> str:
    """What differs between the channel's refund and ours, or nothing."""
    return _mismatch(refund, reference, amount_minor, currency)


def _mismatch(
    told_of: base.ChannelPayment | base.ChannelRefund, reference: str, amount_minor: int, currency: str
) -> str:
    told = (told_of.reference, told_of.amount_minor, told_of.currency.upper())
    ours = (reference, amount_minor, currency)
    return "" if told == ours else f"the channel speaks of {told}, we asked for {ours}"
