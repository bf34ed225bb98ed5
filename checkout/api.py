"""The payment page of every payment, at its signed link: the page, its status and the picture of its code."""

import structlog
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from channels.base import QrCodeAction, RedirectAction
from channels.registry import is_sandbox_channel
from checkout.actions import make_picture
from checkout.page import (
    CheckoutPage,
    language_query,
    render_in_chosen_language,
    render_page,
    render_stale_form,
    render_status,
)
from checkout.payment import build_payment_page, choose_payment_state
from checkout.poll_limit import count_poll
from checkout.states import PageState
from common.api.error_pages import render_status_page
from common.clock import database_now
from gateway import checkout_token, selectors
from gateway.models import Payment

log = structlog.get_logger(__name__)


@never_cache
@require_safe
def show_payment(request: HttpRequest, token: str) -> HttpResponse:
    payment = _find_payment(token)
    page = build_payment_page(payment, database_now()) if payment else None
    if payment and page and _is_on_simulator_page(payment, page):
        # The simulator's page is ours already: the customer needs no second one.
        return HttpResponseRedirect(payment.payment_url + language_query(request))
    return render_in_chosen_language(request, lambda: render_page(request, page))


@never_cache
@require_safe
def show_status(request: HttpRequest, token: str) -> HttpResponse:
    """Answers the script of an open page."""
    payment_id = checkout_token.read_payment_id(token)
    wait = count_poll(payment_id) if payment_id else 0
    if wait:
        return render_status(None, retry_after_seconds=wait)
    payment = _find_payment(token)
    return render_status(choose_payment_state(payment, database_now()) if payment else None)


@never_cache
@require_safe
def show_code_picture(request: HttpRequest, token: str) -> HttpResponse:
    """The QR code as a file, for a customer whose phone shows it and cannot scan it."""
    payment = _find_payment(token)
    page = build_payment_page(payment, database_now()) if payment else None
    if page is None or page.state != PageState.OPEN or not isinstance(page.action, QrCodeAction):
        raise Http404
    picture = make_picture(page.action.content)
    if picture is None:
        raise Http404
    headers = {"Content-Disposition": f'attachment; filename="{page.number}.png"'}
    return HttpResponse(picture, content_type="image/png", headers=headers)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's CSRF_FAILURE_VIEW: customers get a page of the checkout, everybody else the page for 403."""
    if request.path.startswith("/checkout/"):
        return render_in_chosen_language(request, lambda: render_stale_form(request))
    log.warning("request.csrf_refused", path=request.path, reason=reason)
    return render_status_page(request, 403)


def _find_payment(token: str) -> Payment | None:
    payment_id = checkout_token.read_payment_id(token)
    return selectors.find_payment_of_any_merchant(payment_id) if payment_id else None


def _is_on_simulator_page(payment: Payment, page: CheckoutPage) -> bool:
    if page.state != PageState.OPEN or not isinstance(page.action, RedirectAction):
        return False
    return payment.sandbox or is_sandbox_channel(payment.channel)
