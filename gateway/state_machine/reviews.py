"""Opening and resolving the reviews of a payment."""

import json
from collections.abc import Collection

from django.db import connection
from django.db.models.functions import Now

from common.ids import uuid7
from gateway.models import Payment, PaymentReview, ReviewCode
from gateway.review_reasons import ReviewReason

_OPEN_REVIEW = """
INSERT INTO payment_reviews (id, payment_id, code, subject, text, message, message_values, resolution, resolved_by)
VALUES (%s, %s, %s, %s, %s, %s, %s, '', '')
ON CONFLICT (payment_id, code, subject) WHERE resolved_at IS NULL
DO UPDATE SET text = EXCLUDED.text, message = EXCLUDED.message, message_values = EXCLUDED.message_values
"""


def open_review(*, payment: Payment, code: ReviewCode, reason: ReviewReason, subject: str = "") -> None:
    """Opens a review beside others that may be open; no amount changes.

    An open review of the same code and subject gets the new reason. A trigger sets `payments.needs_attention`.
    """
    stored = [str(reason), reason.message.value, json.dumps(reason.values)]
    with connection.cursor() as cursor:
        cursor.execute(_OPEN_REVIEW, [uuid7(), payment.id, code.value, subject[:255], *stored])


def resolve_reviews(
    *,
    payment: Payment,
    resolution: str,
    actor: str,
    codes: Collection[str] | None = None,
    subject: str | None = None,
) -> int:
    """Resolves the payment's open reviews, or only those of `codes` and `subject`. Returns how many."""
    open_reviews = PaymentReview.objects.filter(payment=payment, resolved_at=None)
    if codes is not None:
        open_reviews = open_reviews.filter(code__in=codes)
    if subject is not None:
        open_reviews = open_reviews.filter(subject=subject)
    return open_reviews.update(resolved_at=Now(), resolution=resolution, resolved_by=actor)


def clear_needs_review(*, payment: Payment) -> None:
    """Clears the payment's flag; the caller has made sure that no review is open."""
    Payment.objects.filter(id=payment.id, needs_attention=True).update(
        needs_attention=False, attention_reason="", updated_at=Now()
    )
