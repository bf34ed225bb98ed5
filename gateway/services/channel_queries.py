"""Asks channels about what is still open, and takes over what they say. Never guesses: no answer changes nothing."""

import enum
from datetime import timedelta
from typing import TypeVar

import structlog
from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from channels.base import (
    NotFoundAtChannel,
    NotProcessed,
    PaymentRef,
    PaymentResult,
    RefundRef,
    RefundResult,
    Reported,
)
from channels.registry import get_channel_of_payment
from common import crash
from common.api.envelope import Answer, success
from common.errors import ServiceUnavailable
from gateway import selectors, state_machine
from gateway.models import OPEN_PAYMENT_STATUSES, OPEN_REFUND_STATUSES, Payment, Refund, ReviewCode
from gateway.representation import payment_body
from gateway.services import channel_refunds, channel_updates
from idempotency.request import KeyedRequest
from idempotency.services import Claim, claim_key, finish_claim
from merchants.principal import Principal

M = TypeVar("M", Payment, Refund)
log = structlog.get_logger(__name__)

QUERY_TIMEOUT_SECONDS = 10.0
# How long an end is waited for. An authorization lives a week, a bank's refund may take two.
PAYMENT_PATIENCE = timedelta(days=10)
REFUND_PATIENCE = timedelta(days=21)


def sync_payment(*, principal: Principal, payment: Payment, request: KeyedRequest) -> Answer:
    """Asks the channel now. Raises `ServiceUnavailable` when it does not answer."""

    def begin(_claim: Claim[None]) -> None:
        """Nothing is written before the query."""

    def query_and_answer(claim: Claim[None]) -> Answer:
        if _query(payment) is not QueryResult.ANSWERED:
            raise ServiceUnavailable({"channel": payment.channel}, headers={"Retry-After": "5"})
        for refund in payment.refunds.filter(status__in=OPEN_REFUND_STATUSES):
            _query(refund)
        channel_refunds.sync(payment=selectors.get_payment_by_id(payment.id))
        with transaction.atomic(durable=True):
            body = payment_body(selectors.get_payment(principal, payment.payment_no))
            answer = success(body, message=_("Synchronised with the channel"))
            claim.complete(answer)
            crash.reach("payment.sync.before_commit")
        crash.reach("payment.sync.after_commit")
        return answer

    return finish_claim(claim_key(request, begin=begin), work=query_and_answer)


def query_payment(*, payment: Payment) -> None:
    """Asks before an operation on a payment whose truth is in doubt: our word that it is not paid may only be old.

    Raises `ServiceUnavailable` when nobody can tell: then it is neither done nor refused for good.
    """
    if _query(payment) in (QueryResult.NO_ANSWER, QueryResult.NOT_SENT):
        raise ServiceUnavailable({"channel": payment.channel}, headers={"Retry-After": "5"})


def query_payment_and_refunds(*, payment: Payment) -> None:
    """Asks about the payment and all its refunds, those made at the channel included.

    Raises `ServiceUnavailable` when the channel does not answer.
    """
    query_payment(payment=payment)
    if not channel_refunds.sync(payment=selectors.get_payment_by_id(payment.id)):
        raise ServiceUnavailable({"channel": payment.channel}, headers={"Retry-After": "5"})


def poll_payment(payment: Payment) -> None:
    """Asks about a payment whose check is due. One that is still open long after it should have ended needs review,
    and is never ended by guess."""
    if _query(payment) is not QueryResult.NOT_SENT:
        _stop_polling_payment(payment)


def poll_refund(refund: Refund) -> None:
    """Likewise for a refund."""
    if _query(refund) is not QueryResult.NOT_SENT:
        _stop_polling_refund(refund)


class QueryResult(enum.Enum):
    """What came of a question."""

    ANSWERED = enum.auto()
    NOT_FOUND = enum.auto()  # the channel knows of no such payment or refund
    NO_ANSWER = enum.auto()
    NOT_SENT = enum.auto()  # we did not let the question out: the channel is down


def _query(target: Payment | Refund) -> QueryResult:
    """Asks the channel about one payment or refund, and takes over what it says."""
    payment = target if isinstance(target, Payment) else target.payment
    at = payment if isinstance(target, Payment) else target.surplus_of or payment
    channel = get_channel_of_payment(at.channel, payment.environment, sandbox=at.sandbox)
    reference = PaymentRef(
        at.reference,
        payment.environment,
        QUERY_TIMEOUT_SECONDS,
        at.channel_trade_no,
        None if at.channel_trade_no else selectors.get_attempt_start(at),
    )
    answer: PaymentResult | RefundResult
    if isinstance(target, Payment):
        answer = channel.find_payment(reference)
    else:
        answer = channel.find_refund(RefundRef(target.refund_no, reference, target.channel_refund_no))
    if isinstance(answer, Reported):
        channel_updates.apply_update(update=answer.value, source=channel.name)
        return QueryResult.ANSWERED
    log.info("channel.query_without_result", subject=str(target), answer=type(answer).__name__)
    if isinstance(answer, NotProcessed) and not answer.spends_attempt:
        _check_again_soon(target, answer)
        return QueryResult.NOT_SENT
    return QueryResult.NOT_FOUND if isinstance(answer, NotFoundAtChannel) else QueryResult.NO_ANSWER


def _check_again_soon(row: Payment | Refund, answer: NotProcessed) -> None:
    """A question that we did not let out, because the channel is down, is asked again soon and does not count: after
    an outage nobody waits for hours because of it."""
    again = Now() + timedelta(seconds=answer.retry_after_seconds or 0)
    type(row)._default_manager.filter(pk=row.pk, next_check_at__isnull=False).update(
        next_check_at=again, check_count=row.check_count
    )


def _stop_polling_payment(payment: Payment) -> None:
    with transaction.atomic():
        given_up = Payment.objects.filter(
            pk=payment.pk, status__in=OPEN_PAYMENT_STATUSES, expires_at__lte=Now() - PAYMENT_PATIENCE
        ).update(next_check_at=None, updated_at=Now())
        if given_up:
            state_machine.open_review(
                payment=payment,
                code=ReviewCode.NO_OUTCOME,
                text=f"the channel still reports no outcome {PAYMENT_PATIENCE.days} days after the payment expired",
            )
            log.error("payment.janitor_gave_up", payment_no=payment.payment_no)


def _stop_polling_refund(refund: Refund) -> None:
    with transaction.atomic():
        given_up = Refund.objects.filter(
            pk=refund.pk, status__in=OPEN_REFUND_STATUSES, created_at__lte=Now() - REFUND_PATIENCE
        ).update(next_check_at=None, updated_at=Now())
        if given_up:
            days = REFUND_PATIENCE.days
            state_machine.open_review(
                payment=refund.payment,
                code=ReviewCode.NO_OUTCOME,
                subject=refund.refund_no,
                text=f"the channel reports no outcome of refund {refund.refund_no} for {days} days",
            )
            log.error("refund.janitor_gave_up", refund_no=refund.refund_no)
