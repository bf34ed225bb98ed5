"""The payment page: shows a payment and passes on what the customer decided. Works without JavaScript."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from common.money import to_major_text
from gateway.channels.base import PaymentState
from gateway.channels.simulator import books, customer
from gateway.channels.simulator.customer import Action, Checkout

_ACTIONS = {action.value: action for action in Action}
_LANGUAGES = {"zh": "zh-hans", "zh-cn": "zh-hans", "zh-hans": "zh-hans", "en": "en"}


@dataclass(frozen=True, slots=True)
class Result:
    """What a page that offers no choice says. `mark` names its look and its sign."""

    title: str | Promise
    text: str | Promise
    mark: str


RESULTS: Mapping[str, Result] = {
    PaymentState.PAID: Result(
        _("Payment successful"),
        _("Thank you. The shop is being notified; you can leave this page."),
        "success",
    ),
    PaymentState.AUTHORIZED: Result(
        _("Payment authorized"), _("The amount is reserved. The shop collects it later."), "success"
    ),
    PaymentState.PROCESSING: Result(
        _("Your payment is being processed"),
        _("This takes a few seconds. The page updates by itself."),
        "wait",
    ),
    PaymentState.DECLINED: Result(
        _("Payment declined"), _("The bank did not accept the payment. Nothing was charged."), "failure"
    ),
    PaymentState.CANCELLED: Result(
        _("Payment cancelled"), _("The shop has cancelled this payment. Nothing was charged."), "ended"
    ),
    books.EXPIRED: Result(
        _("This payment has expired"),
        _("The time to pay is over. Nothing was charged. Please start again in the shop."),
        "ended",
    ),
}
LEFT = Result(
    _("You have not paid"),
    _("Nothing was charged. You can come back and pay while the page is valid."),
    "ended",
)
NOT_FOUND = Result(
    _("There is no such payment page"), _("Please check the link, or start again in the shop."), "ended"
)


class SeeOther(HttpResponseRedirect):
    """After a form: fetch the result with GET."""

    status_code = 303


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def checkout(request: HttpRequest, token: str) -> HttpResponse:
    language = _LANGUAGES.get(request.GET.get("lang", "").lower())
    with translation.override(language or translation.get_language()):
        response = _decide(request, token) if request.method == "POST" else _show(request, token)
        response.headers["Content-Language"] = translation.get_language() or "en"
    return response


def _show(request: HttpRequest, token: str) -> HttpResponse:
    page = customer.look_up(token)
    if page is None:
        return render(request, "checkout/page.html", {"result": NOT_FOUND}, status=404)
    left = page.status == PaymentState.OPEN and "left" in request.GET
    context = {
        "page": page,
        "amount": _format_amount(page),
        "result": LEFT if left else RESULTS.get(page.status),
        "left": left,
        "waiting": page.status == PaymentState.PROCESSING,
    }
    return render(request, "checkout/page.html", context)


def _decide(request: HttpRequest, token: str) -> HttpResponse:
    """Answers with a redirect, so that reloading the result repeats nothing."""
    action = _ACTIONS.get(request.POST.get("action", ""))
    if action is not None:
        customer.act(token, action)
    language = request.GET.get("lang", "").lower()
    query = f"?lang={language}" if language in _LANGUAGES else ""
    return SeeOther(reverse("checkout", args=[token]) + query)


def _format_amount(page: Checkout) -> str:
    """`1,234.50 USD`: the same in both languages, and as many decimals as the currency has."""
    whole, point, decimals = to_major_text(page.amount_minor, page.currency).partition(".")
    return f"{int(whole):,}{point}{decimals} {page.currency}"
