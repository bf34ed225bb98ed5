"""The texts for customers depend on the amounts, and never on the status alone (issue 15)."""

import pytest
from django.utils import translation

from checkout.messages import MESSAGES, describe_state
from checkout.states import CLOSED_UNPAID_STATES, PageState, PaymentAmounts, refine_state


def usd(**moved: int) -> PaymentAmounts:
    return PaymentAmounts(
        amount_minor=10_000, currency="USD", **{f"{name}_minor": value for name, value in moved.items()}
    )


def read(state: PageState, money: PaymentAmounts, *, needs_review: bool = False) -> tuple[PageState, str]:
    refined = refine_state(state, money, needs_review=needs_review)
    with translation.override("en"):
        shown = describe_state(refined, money, locale="en_US")
        assert shown is not None
        return refined, " ".join((shown.title, shown.text, *shown.notes))


@pytest.mark.parametrize(
    ("money", "state", "text"),
    [
        (usd(captured=10_000), "paid", "Payment successful"),
        (usd(captured=8_000), "paid", "$80.00 of $100.00 was charged"),
        (
            usd(captured=10_000, refunded=4_000),
            "partly_refunded",
            "You paid $100.00. $40.00 of it was refunded",
        ),
        (usd(captured=10_000, refund_pending=4_000), "refund_pending", "A refund of $40.00 is on its way"),
        (
            usd(captured=10_000, refunded=1_000, refund_pending=9_000),
            "refund_pending",
            "$10.00 was refunded to you before",
        ),
        (usd(captured=10_000, refunded=10_000), "refunded", "$100.00 was refunded to you"),
        (usd(captured=10_000, excess=10_000), "paid", "You paid $100.00 too much, which will be refunded"),
        (
            usd(captured=10_000, excess=10_000, excess_refunded=10_000),
            "paid",
            "You paid $100.00 too much, which was refunded",
        ),
    ],
)
def test_a_paid_payment(money: PaymentAmounts, state: str, text: str) -> None:
    shown_state, shown = read(PageState.PAID, money)
    assert shown_state == state
    assert text in shown


@pytest.mark.parametrize("closed", sorted(CLOSED_UNPAID_STATES))
@pytest.mark.parametrize(
    ("money", "state", "text"),
    [
        (usd(captured=10_000), "late_held", "We received $100.00 after this payment had ended, and hold it"),
        (usd(captured=10_000, refunded=4_000), "late_held", "$40.00 of it was refunded"),
        (usd(captured=10_000, refund_pending=10_000), "late_refund_pending", "It is being refunded"),
        (usd(captured=10_000, refunded=10_000), "late_refunded", "refunded it to you"),
        (usd(excess=10_000), "late_held", "hold it"),
        (usd(excess=10_000, excess_pending=10_000), "late_refund_pending", "It is being refunded"),
        (usd(excess=10_000, excess_refunded=10_000), "late_refunded", "refunded it to you"),
        (usd(captured=10_000, refunded=10_000, excess=5_000), "late_held", "$100.00 of it was refunded"),
    ],
)
def test_money_for_a_closed_payment_is_always_shown(
    closed: PageState, money: PaymentAmounts, state: str, text: str
) -> None:
    shown_state, shown = read(closed, money)
    assert shown_state == state
    assert text in shown
    assert "Nothing was charged" not in shown


def test_nothing_was_charged_is_shown_only_when_it_is_certain() -> None:
    for closed in CLOSED_UNPAID_STATES:
        assert "Nothing was charged" in read(closed, usd())[1]
        state, text = read(closed, usd(), needs_review=True)
        assert state == PageState.CHECKING
        assert "Nothing was charged" not in text
    for state in set(MESSAGES) - CLOSED_UNPAID_STATES:
        assert "Nothing was charged" not in str(MESSAGES[state].text)


def test_amounts_are_named_in_every_language() -> None:
    money = usd(captured=10_000, refunded=1_000, refund_pending=2_000, excess=500)
    for language, locale in (("en", "en_US"), ("zh-hans", "zh_Hans_CN")):
        with translation.override(language):
            for state in MESSAGES:
                shown = describe_state(state, money, locale=locale)
                assert shown is not None
                assert "%(" not in f"{shown.text}{shown.notes}"
