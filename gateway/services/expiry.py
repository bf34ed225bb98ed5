"""Expiry: a payment that its customer did not pay in time ends through payment.cancel, in which the channel decides.

Only a pending payment expires. The channel decides about a payment that its customer has submitted (`processing`). When
the channel refuses to cancel a payment, the pause before the next try doubles, and after the last one the payment needs
review.
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
from gateway.review_reasons import ReviewMessage, ReviewReason
from gateway.services.cancel_payment import start_cancel
from merchants.models import Environment

BATCH_SIZE = 100
CLAIM_LOOP_SECONDS = 5.0
MERCHANTS_PER_BATCH = 10_000  # merchants with pending payments: one index probe each
PAYMENTS_PER_MERCHANT = 10

# Fair scheduling: `walk` goes from merchant to merchant through the index of payments that may expire, from a random
# merchant on, so that no merchant waits behind another's backlog and the cost of a batch is bounded. Payments whose
# creation or cancellation is running are left out, and so are those in the pause after a refused cancellation. The
# conditions of the partial index are literals, so that a prepared statement uses it too.
_CAN_EXPIRE = f"status = 'pending' AND expiry_attempts < {MAX_EXPIRY_ATTEMPTS}"
DUE_PAYMENTS = f"""
WITH RECURSIVE walk AS (
    (SELECT merchant_id, expires_at, 1 AS number FROM payments
     WHERE environment = %(environment)s AND {_CAN_EXPIRE} AND merchant_id >= %(first)s
     ORDER BY merchant_id, expires_at LIMIT 1)
    UNION ALL
    SELECT following.merchant_id, following.expires_at, walk.number + 1 FROM walk CROSS JOIN LATERAL (
        SELECT merchant_id, expires_at FROM payments
        WHERE environment = %(environment)s AND {_CAN_EXPIRE}
          AND merchant_id > walk.merchant_id
        ORDER BY merchant_id, expires_at LIMIT 1) AS following
    WHERE walk.number < %(merchants)s::int
)
SELECT due.id FROM walk CROSS JOIN LATERAL (
    SELECT id, row_number() OVER (ORDER BY expires_at) AS position, expires_at FROM (
        SELECT id, expires_at FROM payments AS payment
        WHERE environment = %(environment)s AND {_CAN_EXPIRE}
          AND merchant_id = walk.merchant_id AND expires_at <= now()
          AND (next_expiry_at IS NULL OR next_expiry_at <= now())
          AND NOT EXISTS (
            SELECT 1 FROM saga_instances
            WHERE business_id = payment.payment_no
              AND definition IN ('payment.cancel', 'payment.create', 'payment.retry')
              AND status IN ('pending', 'in_progress'))
        ORDER BY expires_at LIMIT %(per_merchant)s::int) AS first) AS due
WHERE walk.expires_at <= now()
ORDER BY due.position, due.expires_at LIMIT %(batch)s::int
"""  # noqa: S608


def build_expiry_loops() -> list[Callable[[threading.Event], None]]:
    """Builds one loop for each environment. Its claim does all the work: it starts the cancellations, which saga
    workers run. So a claim hands out no items, and the loop's work is never called."""

    def build_loop(environment: str) -> ClaimLoop[None]:
        def expire(_in_flight: Sequence[None], _places: int) -> Claimed[None]:
            return Claimed([], claim_again=expire_due_payments(environment=environment) >= BATCH_SIZE)

        def do_nothing(_item: None) -> None:
            """Is never called: a claim hands out no items."""

        return ClaimLoop(
            name=f"expiry-{environment}",
            places=1,
            claim=expire,
            work=do_nothing,
            poll_seconds=CLAIM_LOOP_SECONDS,
        )

    return [build_loop(environment).run for environment in Environment.values]


def expire_due_payments(*, environment: str) -> int:
    """Starts a cancellation for each due payment of a batch. Returns how many."""
    started = []
    with transaction.atomic(durable=True):
        due = Payment.objects.filter(
            id__in=_find_due(environment), status=PaymentStatus.PENDING
        ).select_for_update(skip_locked=True, of=("self",))
        for payment in due:
            if _start_expiry(payment):
                started.append(payment.payment_no)
                crash.reach("payment.expiry.before_commit", payment.payment_no)
    for payment_no in started:
        crash.reach("payment.expiry.after_commit", payment_no)
    return len(started)


def _find_due(environment: str) -> list[uuid.UUID]:
    """Searches from a random merchant on, and from the first one on when nothing is due behind it."""
    with connection.cursor() as cursor:
        for first in (uuid.uuid4(), uuid.UUID(int=0)):
            cursor.execute(DUE_PAYMENTS, build_due_parameters(environment=environment, first=first))
            if ids := [payment_id for (payment_id,) in cursor.fetchall()]:
                return ids
    return []


def build_due_parameters(*, environment: str, first: uuid.UUID) -> dict[str, str | int | uuid.UUID]:
    return {
        "environment": environment,
        "first": first,
        "merchants": MERCHANTS_PER_BATCH,
        "per_merchant": PAYMENTS_PER_MERCHANT,
        "batch": BATCH_SIZE,
    }


def _start_expiry(payment: Payment) -> bool:
    state_machine.record_expiry_attempt(payment=payment)
    # `expiry_attempts` is the count from before this attempt: the cancellations that the channel has refused.
    if payment.expiry_attempts == MAX_EXPIRY_ATTEMPTS - 1:
        state_machine.open_review(
            payment=payment,
            code=ReviewCode.CANCEL_REFUSED,
            reason=ReviewReason(ReviewMessage.CANCEL_REFUSED, {"count": payment.expiry_attempts}),
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
