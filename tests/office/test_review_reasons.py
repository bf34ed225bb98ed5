"""The reason of a review is shown in the reader's language, with amounts in major units; its English text stays."""

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import translation

from gateway import state_machine
from gateway.admin.review_reasons import show_review_reason
from gateway.models import DisputeReason, DisputeStatus, Payment, PaymentReview, ReviewCode
from gateway.review_reasons import (
    ReviewMessage,
    ReviewReason,
    amount_value,
    reason_value,
    status_value,
)
from tests.support import shop
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

AMOUNTS = {"reported", "requested", "captured", "known", "excess", "amount", "left", "withdrawn"}
# Names of fields of the API, and what the test fills in.
NAMES = re.compile(r"\b(?:callback_url|return_url|metadata)\b")
DISPUTED = ReviewReason(
    ReviewMessage.DISPUTED,
    {
        "channel": "stripe",
        "reason": status_value(DisputeReason.FRAUDULENT),
        "amount": amount_value(123_456, "JPY"),
        "status": status_value(DisputeStatus.LOST),
    },
)


def fill(message: ReviewMessage) -> ReviewReason:
    """A value for each name in the message."""
    names = re.findall(r"%\((\w+)\)s", str(message.label))
    values: dict[str, Any] = {
        name: amount_value(1_234_50, "USD") if name in AMOUNTS else "7" for name in names
    }
    return ReviewReason(message, values)


def show(reason: ReviewReason, language: str) -> str:
    review = PaymentReview(text=str(reason), message=reason.message.value, message_values=dict(reason.values))
    with translation.override(language):
        return show_review_reason(review)


@pytest.mark.parametrize("message", ReviewMessage)
def test_each_message_in_both_languages(message: ReviewMessage) -> None:
    reason = fill(message)
    with translation.override("zh-hans"):
        english = str(reason)  # whatever the language of the process that opens the review
    assert re.search(r"[A-Za-z]{3}", english)
    assert not re.search(r"[一-鿿]", english)
    chinese = show(reason, "zh-hans")
    assert re.search(r"[一-鿿]", chinese)
    assert not re.search(r"[a-z]{2,}", NAMES.sub("", chinese))
    if any(name in AMOUNTS for name in reason.values):
        assert "1234.50 USD" in english
        assert "1,234.50 USD" in show(reason, "en")
        assert "123450" not in chinese


def test_amounts_have_the_decimals_of_their_currency() -> None:
    assert str(DISPUTED) == "Disputed at stripe (fraudulent): 123456 JPY, lost"
    assert "123,456 JPY" in show(DISPUTED, "zh-hans")
    unknown = ReviewReason(
        ReviewMessage.CAPTURED_OTHERWISE,
        {"captured": amount_value(5, "XXX"), "requested": amount_value(5, "KWD")},
    )
    assert str(unknown) == "The channel took 5 XXX (minor units) of 0.005 KWD"


def test_a_remark_stands_inside_another_reason() -> None:
    values = fill(ReviewMessage.PAYMENT_ADOPTED).values
    for remark, text in (
        (None, "have it. Not known"),
        (ReviewReason(ReviewMessage.ORDER_NUMBER_UNKNOWN), "either. Not"),
    ):
        assert text in str(
            ReviewReason(ReviewMessage.PAYMENT_ADOPTED, {**values, "remark": reason_value(remark)})
        )


@pytest.mark.parametrize(
    ("message", "values"),
    [("", {}), ("of_an_older_release", {"a": 1}), (ReviewMessage.DISPUTED.value, {"channel": "x"})],
)
def test_a_reason_that_cannot_be_formatted_is_shown_as_it_was_stored(
    message: str, values: dict[str, Any]
) -> None:
    review = PaymentReview(text="differs", message=message, message_values=values)
    assert show_review_reason(review) == "differs"


def test_pages_show_the_reason_in_the_readers_language(
    client: SignedClient, sign_in: Callable[..., Client]
) -> None:
    payment = Payment.objects.get(payment_no=shop.paid(client)["payment_no"])
    reason = fill(ReviewMessage.CAPTURED_OTHERWISE)
    state_machine.open_review(payment=payment, code=ReviewCode.MISMATCH, reason=reason)
    review = PaymentReview.objects.get()
    payment.refresh_from_db()
    assert review.text == payment.attention_reason == "The channel took 1234.50 USD of 1234.50 USD"
    root = sign_in("root", "view_*", "sagas.operate_sagainstance", "staff.resolve_saga")
    for address in (
        reverse("admin:gateway_payment_change", args=[payment.pk]),
        reverse("admin:gateway_payment_resolve", args=[payment.pk]),
        reverse("admin:gateway_paymentreview_changelist"),
        reverse("work_queue"),
    ):
        for language, text in (
            ("en", "The channel took 1,234.50 USD of 1,234.50 USD"),
            ("zh-hans", "渠道实收 1,234.50 USD，应收 1,234.50 USD"),
        ):
            html = unescape(root.get(address, headers={"accept-language": language}).content.decode())
            assert text in html, address
    page = root.get(reverse("admin:gateway_paymentreview_change", args=[review.pk])).content.decode()
    assert review.text in page
