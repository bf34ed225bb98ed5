"""Asks channels about what is still open, and takes over what they say. Never guesses: no answer changes nothing."""

import uuid
from datetime import timedelta
from typing import TypeVar

import structlog
from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from common.api.envelope import Answer, success
from common.errors import ServiceUnavailable
from common.ids import time_of
from gateway import selectors
from gateway.channels.base import Answered, NotSent, PaymentAnswer, PaymentRef, RefundAnswer, RefundRef
from gateway.channels.registry import ChannelNotAvailable, served_by
from gateway.models import OPEN_REFUND_STATUSES, Payment, Refund
from gateway.representation import payment_body
from gateway.services import truth
from idempotency.request import KeyedRequest
from idempotency.services import Completion, run_once
from merchants.principal import Principal

M = TypeVar("M", Payment, Refund)
log = structlog.get_logger(__name__)

BATCH = 50
ASK_TIMEOUT_SECONDS = 10.0
LONGEST_INTERVAL = timedelta(hours=6)


def sync_payment(*, principal: Principal, payment: Payment, request: KeyedRequest) -> Answer:
    """Asks the channel now. Raises `ServiceUnavailable` when it does not answer."""

    def begin(_resource_id: uuid.UUID, _completion: Completion) -> None:
        return None

    def finish(_resource_id: uuid.UUID, _started: None, completion: Completion) -> Answer:
        if not _ask_about_payment(payment):
            raise ServiceUnavailable({"channel": payment.channel}, headers={"Retry-After": "5"})
        for refund in payment.refunds.filter(status__in=OPEN_REFUND_STATUSES):
            _ask_about_refund(refund)
        with transaction.atomic(durable=True):
            body = payment_body(selectors.payment_of(principal, payment.payment_no))
            answer = success(body, message=_("Synchronised with the channel"))
            completion.final(answer)
        return answer

    return run_once(request, begin=begin, finish=finish)


def ask_about_due() -> int:
    """One round of the janitor: payments and refunds whose next check is due. Intervals double up to six hours."""
    payments = _take_due(Payment.objects.all())
    for payment in payments:
        _ask_about_payment(payment)
    refunds = _take_due(Refund.objects.all())
    for refund in refunds:
        _ask_about_refund(refund)
    return len(payments) + len(refunds)


def _take_due(rows: QuerySet[M]) -> list[M]:
    """Moves the next check on before asking, so that a crash delays one check and two janitors share the work."""
    with transaction.atomic(durable=True):
        due = list(
            rows.filter(next_check_at__lte=Now())
            .order_by("next_check_at")
            .select_for_update(skip_locked=True)[:BATCH]
        )
        for row in due:
            wait = min(timedelta(minutes=2 ** min(row.check_count, 20)), LONGEST_INTERVAL)
            rows.filter(pk=row.pk, next_check_at__isnull=False).update(
                next_check_at=Now() + wait, check_count=F("check_count") + 1
            )
    return due


def _ask_about_payment(payment: Payment) -> bool:
    """False when the channel gave no answer."""
    try:
        channel = served_by(payment.channel, payment.environment).channel
    except ChannelNotAvailable:
        return False
    answer = channel.find_payment(_reference(payment))
    if not isinstance(answer, Answered):
        log.info("payment.no_news", payment_no=payment.payment_no, answer=type(answer).__name__)
        _put_back(payment, answer)
        return False
    truth.apply_payment(told=answer.value, teller=channel.name)
    return True


def _ask_about_refund(refund: Refund) -> bool:
    payment = refund.payment
    try:
        channel = served_by(payment.channel, payment.environment).channel
    except ChannelNotAvailable:
        return False
    answer = channel.find_refund(RefundRef(refund.refund_no, _reference(payment), refund.channel_refund_no))
    if not isinstance(answer, Answered):
        log.info("refund.no_news", refund_no=refund.refund_no, answer=type(answer).__name__)
        _put_back(refund, answer)
        return False
    truth.apply_refund(told=answer.value, teller=channel.name)
    return True


def _put_back(row: Payment | Refund, answer: PaymentAnswer | RefundAnswer) -> None:
    """A question that we did not let out, because the channel is down, is asked again soon and does not count: after
    an outage nobody waits for hours because of it."""
    if isinstance(answer, NotSent) and not answer.spends_attempt:
        again = Now() + timedelta(seconds=answer.retry_after_seconds or 0)
        type(row)._default_manager.filter(pk=row.pk, next_check_at__isnull=False).update(
            next_check_at=again, check_count=row.check_count
        )


def _reference(payment: Payment) -> PaymentRef:
    return PaymentRef(
        payment.payment_no,
        payment.environment,
        ASK_TIMEOUT_SECONDS,
        payment.channel_trade_no,
        time_of(payment.id),
    )
