"""Queries channels for the status of payments and refunds, and applies what they report. Without an answer nothing
changes: a status is never guessed."""

import enum
from datetime import timedelta

import structlog
from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from channels.base import (
    ChannelAccount,
    NotFoundAtChannel,
    NotProcessed,
    NotYet,
    PaymentRef,
    PaymentResult,
    RefundedPayment,
    RefundRef,
    RefundResult,
    Reported,
)
from common import crash
from common.api.envelope import Answer, success
from common.errors import ServiceUnavailable
from common.external_calls import use_fairness_key
from gateway import selectors
from gateway.models import OPEN_REFUND_STATUSES, Payment, PaymentAttempt, Refund
from gateway.representation import payment_body
from gateway.services.channel_updates.payments import apply_payment_update
from gateway.services.channel_updates.references import RETRY_LATER, find_payment_reference
from gateway.services.channel_updates.refunds import apply_listed_refund, apply_refund_update
from gateway.update_source import UpdateSource
from idempotency.request import KeyedRequest
from idempotency.services.claim import Claim
from idempotency.services.claim_key import claim_key
from idempotency.services.finish_claim import finish_claim
from merchants.principal import Principal

log = structlog.get_logger(__name__)

QUERY_TIMEOUT_SECONDS = 10.0
RETRY_SOON = {"Retry-After": "5"}


class QueryOutcome(enum.Enum):
    APPLIED = enum.auto()
    NOT_FOUND = enum.auto()  # the channel does not know the payment or refund
    NOT_YET = enum.auto()  # the customer has not begun to pay
    NO_ANSWER = enum.auto()
    NOT_SENT = enum.auto()  # the circuit breaker refused the query


def sync_payment(*, principal: Principal, payment: Payment, request: KeyedRequest) -> Answer:
    """Queries the payment and all its refunds for the merchant. A payment that the channel does not know stays as it
    is. Raises `ServiceUnavailable` when the channel does not answer."""

    def begin(_claim: Claim[None]) -> None:
        """Nothing is written before the query."""

    def query_and_answer(claim: Claim[None]) -> Answer:
        query_payment_and_refunds(payment=payment)
        with transaction.atomic(durable=True):
            body = payment_body(selectors.get_payment(principal, payment.payment_no))
            answer = success(body, message=_("Synchronised with the channel"))
            claim.complete(answer)
            crash.reach("payment.sync.before_commit")
        crash.reach("payment.sync.after_commit")
        return answer

    return finish_claim(claim_key(request, begin=begin), work=query_and_answer)


def query_payment(*, payment: Payment) -> None:
    """Queries the payment before an operation that its status, as we know it, would refuse: that status may be old.

    Raises `ServiceUnavailable` when the channel does not answer, so that the operation may be repeated.
    """
    if try_query_payment(payment) in (QueryOutcome.NO_ANSWER, QueryOutcome.NOT_SENT):
        raise ServiceUnavailable({"channel": payment.channel}, headers=RETRY_SOON)


def query_payment_and_refunds(*, payment: Payment) -> None:
    """Queries the payment, its open refunds, and the channel's list of its refunds: it has those made at the channel.

    Each open refund is queried by itself, because some channels have no such list. Raises `ServiceUnavailable` when the
    channel does not answer.
    """
    query_payment(payment=payment)
    for refund in payment.refunds.filter(status__in=OPEN_REFUND_STATUSES):
        try_query_refund(refund)
    if not try_query_all_refunds(selectors.get_payment_by_id(payment.id)):
        raise ServiceUnavailable({"channel": payment.channel}, headers=RETRY_SOON)


def query_reported_refunds(*, update: RefundedPayment, source: UpdateSource) -> None:
    """Queries the refund that the channel's event names, or all of the payment where it names none.

    Raises `ServiceUnavailable` when the channel does not report it: the channel sends its event again.
    """
    reference = find_payment_reference(update.payment_trade_no, source, update.environment)
    payment = selectors.find_payment_by_reference(reference) if reference else None
    if payment is None:
        return
    if update.channel_refund_no:
        has_answered = _try_query_named_refund(payment, reference, update.channel_refund_no)
    else:
        has_answered = try_query_all_refunds(payment)
    if not has_answered:
        raise ServiceUnavailable({"channel": source.channel}, headers=RETRY_LATER)


def try_query_payment(payment: Payment) -> QueryOutcome:
    result = _query_and_apply(payment, payment)
    return QueryOutcome.APPLIED if isinstance(result, Reported) else _handle_missing_report(payment, result)


def query_attempt(attempt: PaymentAttempt) -> None:
    """Queries an earlier attempt. Without a report nothing changes."""
    _query_and_apply(attempt, attempt.payment)


def _query_and_apply(target: Payment | PaymentAttempt, payment: Payment) -> PaymentResult:
    channel = selectors.get_channel_of(target, payment.environment)
    with use_fairness_key(str(payment.merchant_id)):
        result = channel.find_payment(_build_payment_ref(target, channel.account))
    if isinstance(result, Reported):
        apply_payment_update(update=result.value, source=UpdateSource.of(channel))
    return result


def try_query_refund(refund: Refund) -> QueryOutcome:
    target = refund.duplicate_attempt or refund.payment
    channel = selectors.get_channel_of(target, refund.environment)
    payment_ref = _build_payment_ref(target, channel.account)
    with use_fairness_key(str(refund.payment.merchant_id)):
        result = channel.find_refund(RefundRef(refund.refund_no, payment_ref, refund.channel_refund_no))
    if isinstance(result, Reported):
        apply_refund_update(update=result.value, source=UpdateSource.of(channel), is_current=True)
        return QueryOutcome.APPLIED
    return _handle_missing_report(refund, result)


def try_query_all_refunds(payment: Payment) -> bool:
    """Queries the channel's list of the payment's refunds, if the payment took money. False when a channel did not
    answer."""
    has_answered = True
    paid: list[Payment | PaymentAttempt] = [*payment.attempts.filter(duplicate_minor__gt=0)]
    if payment.captured_minor:
        paid.append(payment)
    for target in paid:
        channel = selectors.get_channel_of(target, payment.environment)
        with use_fairness_key(str(payment.merchant_id)):
            result = channel.find_refunds(_build_payment_ref(target, channel.account))
        if not isinstance(result, Reported):
            has_answered = False
            continue
        for update in result.value:
            apply_listed_refund(
                update=update,
                source=UpdateSource.of(channel),
                payment_reference=target.reference,
                is_current=True,
            )
    return has_answered


def _try_query_named_refund(payment: Payment, reference: str, channel_refund_no: str) -> bool:
    """Queries one refund by the channel's number. False when the channel does not report it."""
    target = selectors.find_earlier_attempt(payment, reference) or payment
    channel = selectors.get_channel_of(target, payment.environment)
    with use_fairness_key(str(payment.merchant_id)):
        result = channel.find_refund(
            RefundRef("", _build_payment_ref(target, channel.account), channel_refund_no)
        )
    if not isinstance(result, Reported):
        return False
    apply_listed_refund(
        update=result.value,
        source=UpdateSource.of(channel),
        payment_reference=target.reference,
        is_current=True,
    )
    return True


def _build_payment_ref(target: Payment | PaymentAttempt, account: ChannelAccount) -> PaymentRef:
    began_at = None if target.channel_trade_no else selectors.get_attempt_start(target)
    payment = target.payment if isinstance(target, PaymentAttempt) else target
    return PaymentRef(
        target.reference,
        account,
        QUERY_TIMEOUT_SECONDS,
        target.channel_trade_no,
        began_at,
        payment.expires_at,
        payment.payment_method if payment is target else "",
    )


def _handle_missing_report(target: Payment | Refund, result: PaymentResult | RefundResult) -> QueryOutcome:
    log.info("channel.query_without_report", subject=str(target), result=type(result).__name__)
    if isinstance(result, NotProcessed) and not result.spends_attempt:
        _reschedule_poll(target, result)
        return QueryOutcome.NOT_SENT
    if isinstance(result, NotYet):
        return QueryOutcome.NOT_YET
    return QueryOutcome.NOT_FOUND if isinstance(result, NotFoundAtChannel) else QueryOutcome.NO_ANSWER


def _reschedule_poll(target: Payment | Refund, result: NotProcessed) -> None:
    """A query that the circuit breaker refused is made again soon and does not lengthen the polling interval, so that
    no payment waits for hours after an outage."""
    next_check_at = Now() + timedelta(seconds=result.retry_after_seconds or 0)
    type(target)._default_manager.filter(pk=target.pk, next_check_at__isnull=False).update(
        next_check_at=next_check_at, check_count=target.check_count
    )
