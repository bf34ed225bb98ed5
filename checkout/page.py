"""Renders the payment page, for the simulator's page and for the landing page of other channels.

The page works without JavaScript and loads nothing from other hosts.
"""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from common.money import format_localized

Text = str | Promise
OPEN, PROCESSING, AUTHORIZED, PAID = "open", "processing", "authorized", "paid"
DECLINED, CANCELLED, EXPIRED, PREPARING = "declined", "cancelled", "expired", "preparing"

_LANGUAGES = {"zh": "zh-hans", "zh-cn": "zh-hans", "zh-hans": "zh-hans", "en": "en"}
_LOCALES = {"zh-hans": "zh_Hans_CN", "en": "en_US"}
# The status in the return URL, in the words of the API.
_RETURN_STATUS = {OPEN: "pending", PREPARING: "pending", PAID: "succeeded", DECLINED: "failed"}


@dataclass(frozen=True, slots=True)
class CheckoutPage:
    """What the customer sees. `status` is one of the above; `pay_url` is the channel's own page."""

    number: str
    status: str
    amount_minor: int
    currency: str
    subject: str
    description: str
    return_url: str
    expires_at: dt.datetime
    seconds_left: int
    sandbox: bool
    failure_code: str = ""
    pay_url: str = ""


@dataclass(frozen=True, slots=True)
class PageMessage:
    """The text of a page without a choice. `mark` selects its icon and color."""

    title: Text
    text: Text
    mark: str


@dataclass(frozen=True, slots=True)
class TestCard:
    """A test card. The form sends `value`; the number is only shown."""

    value: str
    brand: str
    number: str
    outcome: Text
    mark: str


CARDS = (
    TestCard("pay", "Visa", "4242 4242 4242 4242", _("Payment succeeds"), "success"),
    TestCard("pay_slowly", "Mastercard", "5555 5555 5555 4444", _("Succeeds after a few seconds"), "wait"),
    TestCard("decline", "Visa", "4000 0000 0000 0002", _("Declined by the bank"), "failure"),
    TestCard("decline_for_funds", "Visa", "4000 0000 0000 9995", _("Insufficient funds"), "failure"),
)

_PROCESSING_MESSAGE = PageMessage(
    _("Your payment is being processed"),
    _("This takes a few seconds. Please keep this page open: it updates by itself."),
    "wait",
)
MESSAGES: Mapping[str, PageMessage] = {
    PAID: PageMessage(
        _("Payment successful"),
        _("Thank you. The shop is being notified; you can leave this page."),
        "success",
    ),
    AUTHORIZED: PageMessage(
        _("Payment authorized"), _("The amount is reserved. The shop collects it later."), "success"
    ),
    PROCESSING: _PROCESSING_MESSAGE,
    PREPARING: PageMessage(
        _("Your payment is being prepared"),
        _("This takes a few seconds. Please keep this page open: it updates by itself."),
        "wait",
    ),
    DECLINED: PageMessage(
        _("Payment declined"),
        _("The bank did not accept the payment. Nothing was charged. Please start again in the shop."),
        "failure",
    ),
    CANCELLED: PageMessage(
        _("Payment cancelled"), _("This payment was cancelled. Nothing was charged."), "ended"
    ),
    EXPIRED: PageMessage(
        _("This payment has expired"),
        _("The time to pay is over. Nothing was charged. Please start again in the shop."),
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
    _("Nothing was charged. You can come back and pay while the page is valid."),
    "ended",
)
NOT_FOUND = PageMessage(
    _("There is no such payment page"), _("Please check the link, or start again in the shop."), "ended"
)

STALE_FORM = PageMessage(
    _("Please try again"),
    _("Your choice did not reach us because the page had been open for too long. Nothing was charged."),
    "ended",
)


def render_in_chosen_language(
    request: HttpRequest, render_response: Callable[[], HttpResponse]
) -> HttpResponse:
    """Renders in the language of `?lang=`, or else of the browser."""
    chosen = _LANGUAGES.get(request.GET.get("lang", "").lower())
    with translation.override(chosen or translation.get_language()):
        response = render_response()
        response.headers["Content-Language"] = translation.get_language() or "en"
    return response


def language_query(request: HttpRequest) -> str:
    """Returns the query that keeps the chosen language after a redirect."""
    language = request.GET.get("lang", "").lower()
    return f"?lang={language}" if language in _LANGUAGES else ""


def render_page(request: HttpRequest, page: CheckoutPage | None) -> HttpResponse:
    if page is None:
        return render(request, "checkout/page.html", {"result": NOT_FOUND}, status=404)
    has_left = page.status == OPEN and "left" in request.GET
    locale = _LOCALES.get(translation.get_language() or "", "en_US")
    back = build_return_url(page.return_url, payment_no=page.number, status=page.status)
    context = {
        "page": page,
        "amount": format_localized(page.amount_minor, page.currency, locale),
        "result": LEFT if has_left else _choose_message(page),
        "left": has_left,
        "refused": _choose_card_declined_text(page),
        "waiting": page.status in (PROCESSING, PREPARING),
        "cards": CARDS,
        "back": back,
        "shop": urlsplit(back).hostname if back else "",
        "pay_host": urlsplit(page.pay_url).hostname if page.pay_url else "",
        "minutes": f"{page.seconds_left // 60}:{page.seconds_left % 60:02}",
    }
    return render(request, "checkout/page.html", context)


def _choose_message(page: CheckoutPage) -> PageMessage | None:
    if page.status == DECLINED and page.failure_code == "insufficient_funds":
        return INSUFFICIENT_FUNDS
    return MESSAGES.get(page.status)


def _choose_card_declined_text(page: CheckoutPage) -> Text:
    if page.status != OPEN or not page.failure_code:
        return ""
    return CARD_DECLINED_TEXTS.get(page.failure_code, CARD_DECLINED_TEXT)


def render_stale_form(request: HttpRequest) -> HttpResponse:
    """Answers a form whose CSRF token is missing or old, with a link to the page, which has a new token."""
    return render(request, "checkout/page.html", {"result": STALE_FORM, "again": request.path}, status=403)


def build_return_url(url: str, *, payment_no: str, status: str) -> str:
    """Adds number and status of the payment to the shop's return URL.

    Empty for a URL that is not http or https, such as one that runs a script. Only the webhook proves the status.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ""
    added = {"payment_no": payment_no, "status": _RETURN_STATUS.get(status, status)}
    kept = [
        (name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in added
    ]
    return parts._replace(query=urlencode([*kept, *added.items()])).geturl()
