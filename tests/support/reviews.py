"""Reasons of reviews for tests that are not about them."""

from gateway.review_reasons import ReviewMessage, ReviewReason, amount_value

AMOUNTS_DIFFER = ReviewReason(
    ReviewMessage.CAPTURED_OTHERWISE,
    {"captured": amount_value(9_000, "USD"), "requested": amount_value(10_000, "USD")},
)
