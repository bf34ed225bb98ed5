"""The reason of a review as staff read it."""

from common.admin import money_text
from gateway.models import PaymentReview
from gateway.review_reasons import describe_review


def show_review_reason(review: PaymentReview) -> str:
    """Returns the reason in the reader's language, with amounts as that language writes them."""
    return describe_review(review, money_text)
