"""The landing page of every payment: shows the payment and its status, and links to the channel's page."""

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.views.csrf import csrf_failure as django_csrf_failure
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from channels.base import TEST
from channels.registry import is_sandbox_channel
from checkout import page as checkout_page
from checkout.page import (
    CheckoutPage,
    language_query,
    render_in_chosen_language,
    render_page,
    render_stale_form,
)
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
    payment_id = checkout_token.read_payment_id(token)
    payment = selectors.find_payment_of_any_merchant(payment_id) if payment_id else None
    if payment and payment.status == PaymentStatus.PENDING and _is_simulated(payment) and payment.payment_url:
        # The simulator's page is ours already: the customer needs no landing page.
        return HttpResponseRedirect(payment.payment_url + language_query(request))
    page = _to_page(payment) if payment else None
    return render_in_chosen_language(request, lambda: render_page(request, page))


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's CSRF_FAILURE_VIEW: customers get a page of the checkout, staff get Django's page."""
    if request.path.startswith("/checkout/"):
        return render_in_chosen_language(request, lambda: render_stale_form(request))
    return django_csrf_failure(request, reason=reason)


def _is_simulated(payment: Payment) -> bool:
    return payment.sandbox or is_sandbox_channel(payment.channel)


def _to_page(payment: Payment) -> CheckoutPage:
    unpaid_status = checkout_page.OPEN if payment.payment_url else checkout_page.PREPARING
    time_left = payment.expires_at - database_now()
    return CheckoutPage(
        number=payment.payment_no,
        status=_STATUSES.get(PaymentStatus(payment.status), unpaid_status),
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        subject=payment.subject,
        description=payment.body,
        return_url=payment.return_url,
        expires_at=payment.expires_at,
        seconds_left=max(0, int(time_left.total_seconds())),
        sandbox=payment.environment == TEST,
        failure_code=payment.failure_code,
        pay_url=payment.payment_url,
    )
