"""Payments that nobody paid in time end through payment.cancel: the channel decides whether it was in time.

Only a payment that the customer has not acted on expires. What they have submitted (`processing`) ends as the channel
says. Where the channel refuses to end a payment, the waits double, and after the last one the payment needs review.
"""

import threading
import uuid
from collections.abc import Callable, Sequence

from django.db import connection, transaction

from common import crash
from common.claim_loop import Claimed, ClaimLoop
from common.ids import uuid7
from gateway import state_machine
from gateway.errors import OperationInProgress
from gateway.models import MAX_EXPIRY_ATTEMPTS, Payment, PaymentStatus, ReviewCode
from gateway.services.cancel_payment import start_cancel
from merchants.models import Environment

BATCH = 100
EXPIRY_SECONDS = 5.0
MERCHANTS_PER_BATCH = 10_000  # that have open payments: a probe of the index each
PAYMENTS_PER_MERCHANT = 10


# Merchants in turns: `walk` goes from one to the next in the index of what expires, from a random one on, so that
# nobody waits behind another's backlog and the cost of a batch is bounded. What is being cancelled or still being
# created is left out, and what the channel refused to end waits until it is tried again. The conditions of the partial
# index are literals, so that it serves a prepared statement too.
_MAY_EXPIRE = f"status = 'pending' AND expiry_attempts < {MAX_EXPIRY_ATTEMPTS}"
DUE = f"""
WITH RECURSIVE walk AS (
    (SELECT merchant_id, expires_at, 1 AS number FROM payments
     WHERE environment = %(environment)s AND {_MAY_EXPIRE} AND merchant_id >= %(first)s
     ORDER BY merchant_id, expires_at LIMIT 1)
    UNION ALL
    SELECT following.merchant_id, following.expires_at, walk.number + 1 FROM walk CROSS JOIN LATERAL (
        SELECT merchant_id, expires_at FROM payments
        WHERE environment = %(environment)s AND {_MAY_EXPIRE}
          AND merchant_id > walk.merchant_id
        ORDER BY merchant_id, expires_at LIMIT 1) AS following
    WHERE walk.number < %(merchants)s::int
)
SELECT due.id FROM walk CROSS JOIN LATERAL (
    SELECT id, row_number() OVER (ORDER BY expires_at) AS turn, expires_at FROM (
        SELECT id, expires_at FROM payments AS payment
        WHERE environment = %(environment)s AND {_MAY_EXPIRE}
          AND merchant_id = walk.merchant_id AND expires_at <= now()
          AND (next_expiry_at IS NULL OR next_expiry_at <= now())
          AND NOT EXISTS (
            SELECT 1 FROM saga_instances
            WHERE business_id = payment.payment_no
              AND definition IN ('payment.cancel', 'payment.create', 'payment.retry')
              AND status IN ('pending', 'in_progress'))
        ORDER BY expires_at LIMIT %(each)s::int) AS first) AS due
WHERE walk.expires_at <= now()
ORDER BY due.turn, due.expires_at LIMIT %(batch)s::int
"""  # noqa: S608


def runs() -> list[Callable[[threading.Event], None]]:
    """A loop for each environment that begins the end of what nobody paid in time."""

    def loop_of(environment: str) -> ClaimLoop[None]:
        def expire(_in_flight: Sequence[None], _places: int) -> Claimed[None]:
            return Claimed([], again=expire_due_payments(environment=environment) >= BATCH)

        def nothing(_item: None) -> None:
            """The sagas that were begun have workers of their own."""

        return ClaimLoop(
            name=f"expiry-{environment}", places=1, claim=expire, work=nothing, poll_seconds=EXPIRY_SECONDS
        )

    return [loop_of(environment).run for environment in Environment.values]


def expire_due_payments(*, environment: str) -> int:
    """Starts a cancel for each due payment of a batch, and answers how many."""
    started = []
    with transaction.atomic(durable=True):
        due = Payment.objects.filter(
            id__in=_due(environment), status=PaymentStatus.PENDING
        ).select_for_update(skip_locked=True, of=("self",))
        for payment in due:
            if _expire(payment):
                started.append(payment.payment_no)
                crash.reach("payment.expiry.before_commit", payment.payment_no)
    for payment_no in started:
        crash.reach("payment.expiry.after_commit", payment_no)
    return len(started)


def _due(environment: str) -> list[uuid.UUID]:
    """From a random merchant on; when there is nothing due behind it, from the first one on."""
    with connection.cursor() as cursor:
        for first in (uuid.uuid4(), uuid.UUID(int=0)):
            cursor.execute(DUE, due_values(environment=environment, first=first))
            if found := [payment_id for (payment_id,) in cursor.fetchall()]:
                return found
    return []


def due_values(*, environment: str, first: uuid.UUID) -> dict[str, str | int | uuid.UUID]:
    return {
        "environment": environment,
        "first": first,
        "merchants": MERCHANTS_PER_BATCH,
        "each": PAYMENTS_PER_MERCHANT,
        "batch": BATCH,
    }


def _expire(payment: Payment) -> bool:
    state_machine.record_expiry_attempt(payment=payment)
    if payment.expiry_attempts == MAX_EXPIRY_ATTEMPTS - 1:
        state_machine.open_review(
            payment=payment,
            code=ReviewCode.CANCEL_REFUSED,
            text=f"the channel refused {payment.expiry_attempts} times to end the expired payment",
        )
        return False
    saga_id = uuid7()
    try:
        start_cancel(
            payment_id=payment.id,
            saga_id=saga_id,
            final_status=PaymentStatus.EXPIRED,
            reason="not paid in time",
            leased=False,
        )
    except OperationInProgress:
        return False
    return True
