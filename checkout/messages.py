"""The texts of the payment page. Whether "nothing was charged" is decided by the money, never by the status alone."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from checkout.states import PageState, PaymentAmounts
from common.money import format_localized

Text = str | Promise


@dataclass(frozen=True, slots=True)
class PageMessage:
    """The text of a page without a choice. `mark` selects its icon and color. `text` may name the amounts of
    `_format_amounts`."""

    title: Text
    text: Text
    mark: str


@dataclass(frozen=True, slots=True)
class ShownMessage:
    """A message in the language of the request, with its amounts. `notes` are further sentences."""

    title: str
    text: str
    mark: str
    notes: tuple[str, ...] = ()


MESSAGES: Mapping[PageState, PageMessage] = {
    PageState.PREPARING: PageMessage(
        _("Your payment is being prepared"),
        _("This takes a few seconds. Please keep this page open: it updates by itself."),
        "wait",
    ),
    PageState.PROCESSING: PageMessage(
        _("Your payment is being processed"),
        _(
            "This usually takes a few seconds. Please keep this page open: it updates by itself. "
            "Please do not pay again."
        ),
        "wait",
    ),
    PageState.TIME_OVER: PageMessage(
        _("The time to pay is over"),
        _(
            "If you have just paid, this page shows the result in a moment. If not, please start again in the shop."
        ),
        "wait",
    ),
    PageState.CHECKING: PageMessage(
        _("Your payment is being checked"),
        _(
            "It is not certain yet whether you were charged. Please do not pay again before the shop has answered."
        ),
        "wait",
    ),
    PageState.AUTHORIZED: PageMessage(
        _("Payment authorized"), _("The amount is reserved. The shop collects it later."), "success"
    ),
    PageState.PAID: PageMessage(
        _("Payment successful"),
        _("Thank you. The shop is being notified; you can leave this page."),
        "success",
    ),
    PageState.PARTLY_REFUNDED: PageMessage(
        _("Partly refunded"), _("You paid %(captured)s. %(refunded)s of it was refunded to you."), "success"
    ),
    PageState.REFUND_PENDING: PageMessage(
        _("A refund is on its way"),
        _("You paid %(captured)s. A refund of %(pending)s is on its way to you."),
        "wait",
    ),
    PageState.REFUNDED: PageMessage(
        _("Payment refunded"),
        _("%(refunded)s was refunded to you. Banks may take a few days to credit it."),
        "ended",
    ),
    PageState.DECLINED: PageMessage(
        _("Payment declined"),
        _("The bank did not accept the payment. Nothing was charged. Please start again in the shop."),
        "failure",
    ),
    PageState.CANCELLED: PageMessage(
        _("Payment cancelled"), _("This payment was cancelled. Nothing was charged."), "ended"
    ),
    PageState.EXPIRED: PageMessage(
        _("This payment has expired"),
        _("The time to pay is over. Nothing was charged. Please start again in the shop."),
        "ended",
    ),
    PageState.LATE_HELD: PageMessage(
        _("Your payment arrived late"),
        _(
            "We received %(received)s after this payment had ended, and hold it. It will be refunded, or used for your "
            "order. Please do not pay again before the shop has answered."
        ),
        "wait",
    ),
    PageState.LATE_REFUND_PENDING: PageMessage(
        _("A refund is on its way"),
        _("We received %(received)s after this payment had ended. It is being refunded to you."),
        "wait",
    ),
    PageState.LATE_REFUNDED: PageMessage(
        _("Payment refunded"),
        _(
            "We received %(received)s after this payment had ended, and refunded it to you. Banks may take a few days "
            "to credit it."
        ),
        "ended",
    ),
}
INSUFFICIENT_FUNDS = PageMessage(
    _("Payment declined"),
    _("The account has insufficient funds. Nothing was charged. Please start again in the shop."),
    "failure",
)
# Shown above the cards after one was declined.
CARD_DECLINED_TEXT = _("The bank declined this card. Nothing was charged. Please try another card.")
CARD_DECLINED_TEXTS: Mapping[str, Text] = {
    "insufficient_funds": _(
        "The account has insufficient funds. Nothing was charged. Please try another card."
    )
}
LEFT = PageMessage(
    _("You have not paid"),
    _("You can come back and pay while the page is valid."),
    "ended",
)
CANNOT_CONTINUE = PageMessage(
    _("This payment cannot be continued here"),
    _("Please go back to the shop, and start again there."),
    "ended",
)
NOT_FOUND = PageMessage(
    _("There is no such payment page"), _("Please check the link, or start again in the shop."), "ended"
)
STALE_FORM = PageMessage(
    _("Please try again"),
    _("Your choice did not reach us because the page had been open for too long."),
    "ended",
)


def describe_state(
    state: PageState, money: PaymentAmounts, *, locale: str, failure_code: str = ""
) -> ShownMessage | None:
    """The message of a state, in the current language; None while the customer can pay."""
    message = MESSAGES.get(state)
    if message is None:
        return None
    if state == PageState.DECLINED and failure_code == "insufficient_funds":
        message = INSUFFICIENT_FUNDS
    amounts = _format_amounts(money, locale)
    return ShownMessage(
        str(message.title), str(message.text) % amounts, message.mark, _list_notes(state, money, amounts)
    )


def show(message: PageMessage) -> ShownMessage:
    """A message without amounts, in the current language."""
    return ShownMessage(str(message.title), str(message.text), message.mark)


def _format_amounts(money: PaymentAmounts, locale: str) -> dict[str, str]:
    minor = {
        "amount": money.amount_minor,
        "captured": money.captured_minor,
        "refunded": money.refunded_minor,
        "pending": money.refund_pending_minor,
        "received": money.received_minor,
        "returned": money.returned_minor,
        "excess": money.excess_minor,
    }
    return {name: format_localized(value, money.currency, locale) for name, value in minor.items()}


def _list_notes(state: PageState, money: PaymentAmounts, amounts: Mapping[str, str]) -> tuple[str, ...]:
    notes: list[str] = []
    if state in (PageState.PAID, PageState.REFUND_PENDING) and money.captured_minor < money.amount_minor:
        notes.append(gettext("%(captured)s of %(amount)s was charged. The rest was not taken.") % amounts)
    if state == PageState.REFUND_PENDING and money.refunded_minor:
        notes.append(gettext("%(refunded)s was refunded to you before.") % amounts)
    if state == PageState.LATE_HELD and money.returned_minor:
        notes.append(gettext("%(returned)s of it was refunded to you.") % amounts)
    if money.captured_minor and money.excess_minor:
        is_returned = money.excess_refunded_minor >= money.excess_minor
        notes.append(
            gettext("You paid %(excess)s too much, which was refunded to you.") % amounts
            if is_returned
            else gettext("You paid %(excess)s too much, which will be refunded to you.") % amounts
        )
    return tuple(notes)
