"""Polls channels about payments and refunds that stay open: as many as are due, limited by the places of each channel.

Each channel and environment has places of its own, so that a slow channel delays only itself and test payments never
delay live ones. No database connection is held during a call.
"""

import threading
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta

import structlog
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from channels.registry import list_channel_names
from common.claim_loop import Claimed, ClaimLoop
from gateway import state_machine
from gateway.models import (
    OPEN_PAYMENT_STATUSES,
    OPEN_REFUND_STATUSES,
    Payment,
    PaymentStatus,
    Refund,
    ReviewCode,
)
from gateway.review_reasons import ReviewMessage, ReviewReason
from gateway.services.channel_queries import QueryOutcome, try_query_payment, try_query_refund
from gateway.services.polling_claims import (
    CLAIM_PAYMENTS,
    CLAIM_REFUNDS,
    NO_MERCHANT,
    ClaimedPoll,
    claim_due_polls,
)
from merchants.models import Environment

log = structlog.get_logger(__name__)

CLAIM_LOOP_SECONDS = 2.0  # between claims; `gateway/polling_intervals.py` has the intervals of polls
# Of each channel and environment, and of the refunds of an environment.
PAYMENT_PLACES, REFUND_PLACES = 16, 4
# A voucher may be decided after 11 days (docs.stripe.com/payments/multibanco/accept-a-payment#expiration). A bank's
# refund may take two weeks. An authorization lives 7 to 30 days (29 at PayPal).
GIVE_UP_PAYMENT_AFTER = timedelta(days=12)  # since its expiry
GIVE_UP_AUTHORIZATION_AFTER = timedelta(days=35)
GIVE_UP_REFUND_AFTER = timedelta(days=21)  # since its creation


class Poller:
    """Polls the due payments of one channel and environment, or the due refunds of one environment."""

    def __init__(self, *, environment: str, channel: str = "") -> None:
        self._environment, self._channel = environment, channel
        self._after: uuid.UUID = NO_MERCHANT
        self._loop = ClaimLoop(
            name=f"polls-{environment}-{channel or 'refunds'}",
            places=PAYMENT_PLACES if channel else REFUND_PLACES,
            claim=self._claim,
            work=poll_payment if channel else poll_refund,
            poll_seconds=CLAIM_LOOP_SECONDS,
        )

    def run(self, stop: threading.Event) -> None:
        """Polls until `stop` is set, then waits for the calls in flight."""
        self._loop.run(stop)

    def _claim(self, in_flight: Sequence[ClaimedPoll], places: int) -> Claimed[ClaimedPoll]:
        batch = claim_due_polls(
            CLAIM_PAYMENTS if self._channel else CLAIM_REFUNDS,
            environment=self._environment,
            channel=self._channel,
            places=places,
            held=Counter(poll.merchant_id for poll in in_flight),
            after=self._after,
        )
        self._after = batch.after
        is_unfinished = batch.contended or batch.after != NO_MERCHANT
        return Claimed(
            batch.items,
            more=batch.more or is_unfinished,
            claim_again=is_unfinished and len(batch.items) < places,
        )


def build_pollers() -> list[Callable[[threading.Event], None]]:
    """The loops of a poller for each environment and channel, and of one for the refunds of each environment."""
    return [
        Poller(environment=environment, channel=channel).run
        for environment in Environment.values
        for channel in (*list_channel_names(), "")
    ]


def poll_payment(poll: ClaimedPoll) -> None:
    payment = Payment.objects.get(id=poll.id)
    payment.check_count = poll.check_count
    if try_query_payment(payment) is not QueryOutcome.NOT_SENT:
        _give_up_payment(payment)


def poll_refund(poll: ClaimedPoll) -> None:
    refund = Refund.objects.select_related("payment", "duplicate_attempt").get(id=poll.id)
    refund.check_count = poll.check_count
    if try_query_refund(refund) is not QueryOutcome.NOT_SENT:
        _give_up_refund(refund)


def _give_up_payment(payment: Payment) -> None:
    """Stops polling a payment that is still open long after its expiry, and opens a review. A status is never
    guessed."""
    long_expired = Q(expires_at__lte=Now() - GIVE_UP_AUTHORIZATION_AFTER) | Q(
        ~Q(status=PaymentStatus.AUTHORIZED), expires_at__lte=Now() - GIVE_UP_PAYMENT_AFTER
    )
    with transaction.atomic():
        has_given_up = Payment.objects.filter(
            long_expired, pk=payment.pk, status__in=OPEN_PAYMENT_STATUSES
        ).update(next_check_at=None, updated_at=Now())
        if has_given_up:
            state_machine.open_review(
                payment=payment,
                code=ReviewCode.NO_OUTCOME,
                reason=ReviewReason(ReviewMessage.PAYMENT_UNDECIDED),
            )
            log.error("payment.polling_given_up", payment_no=payment.payment_no)


def _give_up_refund(refund: Refund) -> None:
    """Likewise for a refund, long after its creation."""
    with transaction.atomic():
        has_given_up = Refund.objects.filter(
            pk=refund.pk, status__in=OPEN_REFUND_STATUSES, created_at__lte=Now() - GIVE_UP_REFUND_AFTER
        ).update(next_check_at=None, updated_at=Now())
        if has_given_up:
            state_machine.open_review(
                payment=refund.payment,
                code=ReviewCode.NO_OUTCOME,
                subject=refund.refund_no,
                reason=ReviewReason(
                    ReviewMessage.REFUND_UNDECIDED,
                    {"refund_no": refund.refund_no, "days": GIVE_UP_REFUND_AFTER.days},
                ),
            )
            log.error("refund.polling_given_up", refund_no=refund.refund_no)
