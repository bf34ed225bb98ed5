"""The simulator's payment page: shows a payment and performs the customer's action. Works without JavaScript."""

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from channels.simulator import customer
from channels.simulator.customer import CustomerAction, SimulatorCheckout
from checkout.page import CheckoutPage, language_query, render_in_chosen_language, render_page

_ACTIONS = {action.value: action for action in CustomerAction}


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
        status=checkout.status,
        amount_minor=checkout.amount_minor,
        currency=checkout.currency,
        subject=checkout.subject,
        description=checkout.description,
        return_url=checkout.return_url,
        expires_at=checkout.expires_at,
        seconds_left=checkout.seconds_left,
        sandbox=True,
        failure_code=checkout.failure_code,
    )
