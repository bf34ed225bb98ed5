"""Updates payments that a restored database knows in an older state, by the code that applies every report.

Money for a payment that is closed here, or for an earlier attempt, would be refunded automatically. The channel may
have refunded it already in the lost time, and its refunds are read after its payments. So a review opens first: as long
as it is open, nothing is refunded automatically (`gateway/flows/received_payments.py`).
"""

import datetime as dt

from django.db import transaction

from channels.base import ChannelPayment, PaymentState
from gateway import selectors, state_machine
from gateway.models import CLOSED_UNPAID_STATUSES, Payment, PaymentAttempt, ReviewCode
from gateway.review_reasons import ReviewMessage, ReviewReason
from gateway.services.channel_queries import query_attempt, try_query_payment
from gateway.services.channel_updates.payments import apply_payment_update
from gateway.services.channel_updates.references import is_from_own_channel
from gateway.update_source import UpdateSource

_WITH_MONEY = (PaymentState.PAID, PaymentState.AUTHORIZED)


def update_known_payment(
    *, attempt: PaymentAttempt, listed: ChannelPayment, source: UpdateSource, restored_to: dt.datetime
) -> None:
    """Queries the current attempt, because a list may be hours old. For an earlier attempt, applies what is listed."""
    payment = attempt.payment
    if listed.captured_minor or listed.state in _WITH_MONEY:
        _stop_automatic_refunds(payment, attempt.reference, source, restored_to)
    if attempt.reference == payment.reference:
        try_query_payment(payment)
    else:
        apply_payment_update(update=listed, source=source)


def query_refunded_payment(
    *, payment: Payment, reference: str, source: UpdateSource, restored_to: dt.datetime
) -> None:
    """Queries the payment of a refund that we do not know, unless we know the money that it gives back. The lists have
    the payments that were created since the restore point, and this one may be older."""
    attempt = selectors.find_earlier_attempt(payment, reference)
    known_minor = attempt.duplicate_minor if attempt else payment.captured_minor
    if known_minor or not is_from_own_channel(source, attempt or payment, payment.environment):
        return
    _stop_automatic_refunds(payment, reference, source, restored_to)
    if attempt is None:
        try_query_payment(payment)
    else:
        query_attempt(attempt)


def _stop_automatic_refunds(
    payment: Payment, reference: str, source: UpdateSource, restored_to: dt.datetime
) -> None:
    """Opens the review that stops automatic refunds, if the money would be a late or duplicate payment."""
    with transaction.atomic():
        payment = selectors.lock_payment(payment.id)
        if reference == payment.reference and payment.status not in CLOSED_UNPAID_STATUSES:
            return
        state_machine.open_review(
            payment=payment,
            code=ReviewCode.ADOPTED,
            subject=f"money of {reference}",
            reason=ReviewReason(
                ReviewMessage.MONEY_SINCE_RESTORE,
                {
                    "channel": str(source),
                    "reference": reference,
                    "restored_to": f"{restored_to:%Y-%m-%d %H:%M:%SZ}",
                },
            ),
        )
