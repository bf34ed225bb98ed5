"""The simulator's payment page: shows a payment and passes on what the customer decided. Works without JavaScript."""

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from channels.simulator import customer
from channels.simulator.customer import Action, Checkout
from checkout.page import Page, in_the_chosen_language, language_query, render_page

_ACTIONS = {action.value: action for action in Action}


class SeeOther(HttpResponseRedirect):
    """After a form: fetch the result with GET."""

    status_code = 303


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def checkout(request: HttpRequest, token: str) -> HttpResponse:
    if request.method == "POST":
        return _decide(request, token)
    return in_the_chosen_language(request, lambda: render_page(request, _page(customer.look_up(token))))


def _decide(request: HttpRequest, token: str) -> HttpResponse:
    """Answers with a redirect, so that reloading the result repeats nothing. A button may name what happens itself, or
    leave it to the card that was picked; a card's number never comes here."""
    action = _ACTIONS.get(request.POST.get("card") or request.POST.get("action", ""))
    if action is not None:
        customer.act(token, action)
    return SeeOther(reverse("checkout", args=[token]) + language_query(request))


def _page(found: Checkout | None) -> Page | None:
    if found is None:
        return None
    return Page(
        number=found.reference,
        status=found.status,
        amount_minor=found.amount_minor,
        currency=found.currency,
        subject=found.subject,
        description=found.description,
        return_url=found.return_url,
        expires_at=found.expires_at,
        seconds_left=found.seconds_left,
        sandbox=True,
        failure_code=found.failure_code,
    )
