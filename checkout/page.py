"""The payment page's looks, for the simulator's own page and for the landing page of other channels. Knows no payment
but what it is shown. Works without JavaScript; nothing on it comes from anywhere else."""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from common.money import localized

Text = str | Promise
OPEN, PROCESSING, AUTHORIZED, PAID = "open", "processing", "authorized", "paid"
DECLINED, CANCELLED, EXPIRED, PREPARING = "declined", "cancelled", "expired", "preparing"

_LANGUAGES = {"zh": "zh-hans", "zh-cn": "zh-hans", "zh-hans": "zh-hans", "en": "en"}
_LOCALES = {"zh-hans": "zh_Hans_CN", "en": "en_US"}
# What the shop is told with the customer's return, in the words of the API.
_RETURN_STATUS = {OPEN: "pending", PREPARING: "pending", PAID: "succeeded", DECLINED: "failed"}


@dataclass(frozen=True, slots=True)
class Page:
    """What a customer may see. `status` is one of the above; `pay_url` leads on to a channel's own page."""

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
class Result:
    """What a page that offers no choice says. `mark` names its look and its sign."""

    title: Text
    text: Text
    mark: str


@dataclass(frozen=True, slots=True)
class Card:
    """A test card. Its number is only shown: what the form sends is `value`."""

    value: str
    brand: str
    number: str
    outcome: Text
    mark: str


CARDS = (
    Card("pay", "Visa", "4242 4242 4242 4242", _("Payment succeeds"), "success"),
    Card("pay_slowly", "Mastercard", "5555 5555 5555 4444", _("Succeeds after a few seconds"), "wait"),
    Card("decline", "Visa", "4000 0000 0000 0002", _("Declined by the bank"), "failure"),
    Card("decline_for_funds", "Visa", "4000 0000 0000 9995", _("Insufficient funds"), "failure"),
)

_WAIT = Result(
    _("Your payment is being processed"),
    _("This takes a few seconds. Please keep this page open: it updates by itself."),
    "wait",
)
RESULTS: Mapping[str, Result] = {
    PAID: Result(
        _("Payment successful"),
        _("Thank you. The shop is being notified; you can leave this page."),
        "success",
    ),
    AUTHORIZED: Result(
        _("Payment authorized"), _("The amount is reserved. The shop collects it later."), "success"
    ),
    PROCESSING: _WAIT,
    PREPARING: Result(
        _("Your payment is being prepared"),
        _("This takes a few seconds. Please keep this page open: it updates by itself."),
        "wait",
    ),
    DECLINED: Result(
        _("Payment declined"),
        _("The bank did not accept the payment. Nothing was charged. Please start again in the shop."),
        "failure",
    ),
    CANCELLED: Result(_("Payment cancelled"), _("This payment was cancelled. Nothing was charged."), "ended"),
    EXPIRED: Result(
        _("This payment has expired"),
        _("The time to pay is over. Nothing was charged. Please start again in the shop."),
        "ended",
    ),
}
NO_FUNDS = Result(
    _("Payment declined"),
    _("The account has insufficient funds. Nothing was charged. Please start again in the shop."),
    "failure",
)
# Above the cards, after one was refused.
CARD_REFUSED = _("The bank declined this card. Nothing was charged. Please try another card.")
REFUSED: Mapping[str, Text] = {
    "insufficient_funds": _(
        "The account has insufficient funds. Nothing was charged. Please try another card."
    )
}
LEFT = Result(
    _("You have not paid"),
    _("Nothing was charged. You can come back and pay while the page is valid."),
    "ended",
)
NOT_FOUND = Result(
    _("There is no such payment page"), _("Please check the link, or start again in the shop."), "ended"
)

STALE_FORM = Result(
    _("Please try again"),
    _("Your choice did not reach us because the page had been open for too long. Nothing was charged."),
    "ended",
)


def in_the_chosen_language(request: HttpRequest, answer: Callable[[], HttpResponse]) -> HttpResponse:
    """By `?lang=`, or else by what the browser asks for."""
    chosen = _LANGUAGES.get(request.GET.get("lang", "").lower())
    with translation.override(chosen or translation.get_language()):
        response = answer()
        response.headers["Content-Language"] = translation.get_language() or "en"
    return response


def language_query(request: HttpRequest) -> str:
    """Keeps a chosen language over a redirect."""
    language = request.GET.get("lang", "").lower()
    return f"?lang={language}" if language in _LANGUAGES else ""


def render_page(request: HttpRequest, page: Page | None) -> HttpResponse:
    if page is None:
        return render(request, "checkout/page.html", {"result": NOT_FOUND}, status=404)
    left = page.status == OPEN and "left" in request.GET
    no_funds = page.status == DECLINED and page.failure_code == "insufficient_funds"
    result = LEFT if left else NO_FUNDS if no_funds else RESULTS.get(page.status)
    locale = _LOCALES.get(translation.get_language() or "", "en_US")
    back = return_address(page.return_url, payment_no=page.number, status=page.status)
    context = {
        "page": page,
        "amount": localized(page.amount_minor, page.currency, locale),
        "result": result,
        "left": left,
        "refused": REFUSED.get(page.failure_code, CARD_REFUSED)
        if page.status == OPEN and page.failure_code
        else "",
        "waiting": page.status in (PROCESSING, PREPARING),
        "cards": CARDS,
        "back": back,
        "shop": urlsplit(back).hostname if back else "",
        "pay_host": urlsplit(page.pay_url).hostname if page.pay_url else "",
        "minutes": f"{page.seconds_left // 60}:{page.seconds_left % 60:02}",
    }
    return render(request, "checkout/page.html", context)


def render_stale_form(request: HttpRequest) -> HttpResponse:
    """For a form whose CSRF token is missing or old: leads back to the page, which gives a new one."""
    return render(request, "checkout/page.html", {"result": STALE_FORM, "again": request.path}, status=403)


def return_address(url: str, *, payment_no: str, status: str) -> str:
    """Where the customer goes back to, with what became of the payment; nothing when it is no address to link to, such
    as one that would run as a script. The shop can rely on the webhook alone."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ""
    told = {"payment_no": payment_no, "status": _RETURN_STATUS.get(status, status)}
    kept = [
        (name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in told
    ]
    return parts._replace(query=urlencode([*kept, *told.items()])).geturl()
