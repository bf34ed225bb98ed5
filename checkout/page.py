"""Renders the payment page, for the simulator's page and for that of all channels.

The page works without JavaScript and loads nothing from other hosts.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from channels.base import NextAction
from checkout import messages
from checkout.actions import ShownAction, prepare_action
from checkout.links import build_return_url, read_host
from checkout.messages import ShownMessage, describe_state, show
from checkout.states import FINAL_STATES, WAITING_STATES, PageState, PaymentAmounts
from common.money import format_localized

_LANGUAGES = {"zh": "zh-hans", "zh-cn": "zh-hans", "zh-hans": "zh-hans", "en": "en"}
_LOCALES = {"zh-hans": "zh_Hans_CN", "en": "en_US"}


@dataclass(frozen=True, slots=True)
class CheckoutPage:
    """A page of the checkout, at `url`. `api_status` is for the return URL, in the words of the API.

    `action` is what the customer does next on the page of a channel; without one, an open page offers test cards.
    """

    number: str
    state: PageState
    api_status: str
    money: PaymentAmounts
    subject: str
    description: str
    return_url: str
    url: str
    expires_at: dt.datetime
    seconds_left: int
    moves_real_money: bool
    allows_http: bool  # links of the channel may be without TLS
    channel: str = ""
    failure_code: str = ""
    action: NextAction | None = None


@dataclass(frozen=True, slots=True)
class TestCard:
    """A test card. The form sends `value`; the number is only shown."""

    value: str
    brand: str
    number: str
    outcome: str | Promise
    mark: str


CARDS = (
    TestCard("pay", "Visa", "4242 4242 4242 4242", _("Payment succeeds"), "success"),
    TestCard("pay_slowly", "Mastercard", "5555 5555 5555 4444", _("Succeeds after a few seconds"), "wait"),
    TestCard("decline", "Visa", "4000 0000 0000 0002", _("Declined by the bank"), "failure"),
    TestCard("decline_for_funds", "Visa", "4000 0000 0000 9995", _("Insufficient funds"), "failure"),
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
        return _render(request, {"result": show(messages.NOT_FOUND)}, status=404)
    locale = _LOCALES.get(translation.get_language() or "", "en_US")
    amount = format_localized(page.money.amount_minor, page.money.currency, locale)
    has_left = page.state == PageState.OPEN and "left" in request.GET
    action = None if has_left else _prepare_action(request, page, amount)
    back = build_return_url(page.return_url, payment_no=page.number, status=page.api_status)
    context = {
        "page": page,
        "amount": amount,
        "result": _choose_result(page, action, locale, has_left=has_left),
        "left": has_left,
        "refused": _choose_card_declined_text(page),
        "waiting": page.state in WAITING_STATES,
        "reload_seconds": _choose_reload_seconds(page, action),
        # The customer acts on another device, such as the phone that scanned the code.
        "polled": page.state not in FINAL_STATES,
        "settled": page.state in (PageState.PAID, PageState.AUTHORIZED),
        "action": action,
        "cards": () if page.action or page.state != PageState.OPEN else CARDS,
        "back": back,
        "shop": read_host(back),
        "minutes": f"{page.seconds_left // 60}:{page.seconds_left % 60:02}",
    }
    return _render(request, context, form_sources=action.form_sources if action else ())


def render_status(state: PageState | None, *, retry_after_seconds: int = 0) -> HttpResponse:
    """The status for the script of an open page: nothing else about the payment or its merchant."""
    if retry_after_seconds:
        return JsonResponse(
            {"status": "too_many_requests"}, status=429, headers={"Retry-After": str(retry_after_seconds)}
        )
    if state is None:
        return JsonResponse({"status": "not_found", "is_final": True}, status=404)
    return JsonResponse({"status": state.value, "is_final": state in FINAL_STATES})


def render_stale_form(request: HttpRequest) -> HttpResponse:
    """Answers a form whose CSRF token is missing or old, with a link to the page, which has a new token."""
    return _render(request, {"result": show(messages.STALE_FORM), "again": request.path}, status=403)


def _render(
    request: HttpRequest, context: dict[str, object], *, status: int = 200, form_sources: tuple[str, ...] = ()
) -> HttpResponse:
    response = render(request, "checkout/page.html", context, status=status)
    if form_sources:
        response._csp_update = {"form-action": [*form_sources]}  # type: ignore[attr-defined]  # django-csp reads it
    return response


def _prepare_action(request: HttpRequest, page: CheckoutPage, amount: str) -> ShownAction | None:
    if page.action is None or page.state != PageState.OPEN:
        return None
    return prepare_action(
        page.action,
        channel=page.channel,
        amount=amount,
        page_url=page.url,
        user_agent=request.headers.get("User-Agent", ""),
        allows_http=page.allows_http,
    )


def _choose_result(
    page: CheckoutPage, action: ShownAction | None, locale: str, *, has_left: bool
) -> ShownMessage | None:
    if has_left:
        return show(messages.LEFT)
    if page.state == PageState.OPEN and page.action is not None and action is None:
        return show(messages.CANNOT_CONTINUE)
    return describe_state(page.state, page.money, locale=locale, failure_code=page.failure_code)


def _choose_reload_seconds(page: CheckoutPage, action: ShownAction | None) -> int:
    """The interval at which the page reloads itself without scripts; 0: never, because the customer fills in a form."""
    if page.state in (PageState.PREPARING, PageState.PROCESSING):
        return 2
    return 10 if page.state in WAITING_STATES or (action and action.svg) else 0


def _choose_card_declined_text(page: CheckoutPage) -> str | Promise:
    if page.state != PageState.OPEN or not page.failure_code:
        return ""
    return messages.CARD_DECLINED_TEXTS.get(page.failure_code, messages.CARD_DECLINED_TEXT)
