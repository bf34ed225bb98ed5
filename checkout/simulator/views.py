"""The simulator's payment page: shows a payment and performs the customer's action. Works without JavaScript."""

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from channels.simulator import customer
from channels.simulator.customer import CustomerAction, SimulatorCheckout
from checkout.page import (
    CheckoutPage,
    language_query,
    render_in_chosen_language,
    render_page,
    render_status,
)
from checkout.poll_limit import count_poll
from checkout.states import PageState, PaymentAmounts, refine_state

_ACTIONS = {action.value: action for action in CustomerAction}
# The bank's states, and what the customer reads; the status is for the return URL, in the words of the API.
_STATES = {
    "open": (PageState.OPEN, "pending"),
    "processing": (PageState.PROCESSING, "processing"),
    "approved": (PageState.PROCESSING, "processing"),
    "authorized": (PageState.AUTHORIZED, "authorized"),
    "paid": (PageState.PAID, "succeeded"),
    "declined": (PageState.DECLINED, "failed"),
    "cancelled": (PageState.CANCELLED, "cancelled"),
    "expired": (PageState.EXPIRED, "expired"),
}


class SeeOther(HttpResponseRedirect):
    """Redirects after a form, so that the browser fetches the result with GET."""

    status_code = 303


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def show_checkout(request: HttpRequest, token: str) -> HttpResponse:
    if request.method == "POST":
        return _perform_action(request, token)
    return render_in_chosen_language(
        request, lambda: render_page(request, _to_page(customer.find_checkout(token)))
    )


@never_cache
@require_safe
def show_status(request: HttpRequest, token: str) -> HttpResponse:
    """Answers the script of an open page."""
    checkout = customer.find_checkout(token)
    if checkout is None:
        return render_status(None)
    wait = count_poll(checkout.reference)
    return render_status(None if wait else _choose_state(checkout), retry_after_seconds=wait)


@csrf_exempt
@never_cache
@require_POST
def open_by_form(request: HttpRequest) -> HttpResponse:
    """The gateway of `simulator_form`: leads the browser that posted its form to the payment page.

    Like a channel's gateway it takes forms of any site. It changes nothing.
    """
    token = request.POST.get("token", "")
    if customer.find_checkout(token) is None:
        return render_in_chosen_language(request, lambda: render_page(request, None))
    return SeeOther(reverse("checkout", args=[token]) + language_query(request))


def _perform_action(request: HttpRequest, token: str) -> HttpResponse:
    """Performs the action of the button or of the chosen card. The form sends no card number.

    The answer is a redirect, so that reloading the page repeats nothing.
    """
    action = _ACTIONS.get(request.POST.get("card") or request.POST.get("action", ""))
    if action is not None:
        customer.perform_action(token, action)
    return SeeOther(reverse("checkout", args=[token]) + language_query(request))


def _to_page(checkout: SimulatorCheckout | None) -> CheckoutPage | None:
    if checkout is None:
        return None
    return CheckoutPage(
        number=checkout.reference,
        state=_choose_state(checkout),
        api_status=_STATES[checkout.status][1],
        money=_read_money(checkout),
        subject=checkout.subject,
        description=checkout.description,
        return_url=checkout.return_url,
        url=checkout.url,
        expires_at=checkout.expires_at,
        seconds_left=checkout.seconds_left,
        moves_real_money=False,
        allows_http=True,
        failure_code=checkout.failure_code,
    )


def _choose_state(checkout: SimulatorCheckout) -> PageState:
    return refine_state(_STATES[checkout.status][0], _read_money(checkout))


def _read_money(checkout: SimulatorCheckout) -> PaymentAmounts:
    return PaymentAmounts(
        amount_minor=checkout.amount_minor,
        currency=checkout.currency,
        captured_minor=checkout.captured_minor,
        refunded_minor=checkout.refunded_minor,
        refund_pending_minor=checkout.refund_pending_minor,
    )
