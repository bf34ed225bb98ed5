"""The landing page of every payment: tells what it is about and how it stands, and leads on to its channel's page."""

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.views.csrf import csrf_failure as django_csrf_failure
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from channels.base import TEST
from channels.registry import is_sandbox_channel
from checkout import page as checkout_page
from checkout.page import Page, in_the_chosen_language, language_query, render_page, render_stale_form
from common.clock import database_now
from gateway import checkout_token, selectors
from gateway.models import Payment, PaymentStatus

_STATUSES = {
    PaymentStatus.PROCESSING: checkout_page.PROCESSING,
    PaymentStatus.AUTHORIZED: checkout_page.AUTHORIZED,
    PaymentStatus.SUCCEEDED: checkout_page.PAID,
    PaymentStatus.FAILED: checkout_page.DECLINED,
    PaymentStatus.CANCELLED: checkout_page.CANCELLED,
    PaymentStatus.EXPIRED: checkout_page.EXPIRED,
}


@never_cache
@require_safe
def landing(request: HttpRequest, token: str) -> HttpResponse:
    payment_id = checkout_token.payment_of(token)
    payment = selectors.any_payment(payment_id) if payment_id else None
    if payment and payment.status == PaymentStatus.PENDING and _is_simulated(payment) and payment.payment_url:
        return HttpResponseRedirect(payment.payment_url + language_query(request))
    page = _page(payment) if payment else None
    return in_the_chosen_language(request, lambda: render_page(request, page))


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's CSRF_FAILURE_VIEW: customers get a page in the checkout's own style, staff Django's."""
    if request.path.startswith("/checkout/"):
        return in_the_chosen_language(request, lambda: render_stale_form(request))
    return django_csrf_failure(request, reason=reason)


def _is_simulated(payment: Payment) -> bool:
    """Its page is ours already: no need for two."""
    return payment.sandbox or is_sandbox_channel(payment.channel)


def _page(payment: Payment) -> Page:
    waiting = checkout_page.OPEN if payment.payment_url else checkout_page.PREPARING
    left = payment.expires_at - database_now()
    return Page(
        number=payment.payment_no,
        status=_STATUSES.get(PaymentStatus(payment.status), waiting),
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        subject=payment.subject,
        description=payment.body,
        return_url=payment.return_url,
        expires_at=payment.expires_at,
        seconds_left=max(0, int(left.total_seconds())),
        sandbox=payment.environment == TEST,
        failure_code=payment.failure_code,
        pay_url=payment.payment_url,
    )
