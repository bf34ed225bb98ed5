"""The page on which a person confirms that it is them, before a sensitive action (`step_up.py`)."""

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django_otp import DEVICE_ID_SESSION_KEY

from common.admin_forms import with_theme_widgets
from staff import passkeys, second_factor, sso_accounts, step_up
from staff.forms import CODE_WRONG, CodeForm
from staff.views import find_own_address, for_staff, get_user

LONGEST_REASON = 500


def redirect_to_step_up(request: HttpRequest, *, address: str = "") -> HttpResponse:
    """Leads to the page and then to `address`, or back to this page. A form that was sent is filled in again with its
    reason only: nothing else of it belongs into an address."""
    if not address and request.method == "POST":
        reason = request.POST.get("reason", "")[:LONGEST_REASON]
        address = f"{request.path}?{urlencode({'reason': reason})}" if reason else request.path
    query = urlencode({"next": address or request.get_full_path()})
    return HttpResponseRedirect(f"{reverse('step_up')}?{query}")


def sign_in(request: HttpRequest) -> HttpResponse:
    """Django's page. A sign-in with a code counts as a check of the second factor."""
    response: HttpResponse = admin.site.login(request)
    if request.method == "POST" and DEVICE_ID_SESSION_KEY in request.session and response.status_code == 302:
        step_up.record_check(request.session)
    return response


@for_staff
def confirm(request: HttpRequest) -> HttpResponse:
    user = get_user(request)
    address = find_own_address(request, (request.POST or request.GET).get("next", ""))
    form = CodeForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        check = second_factor.check_code(user=user, token=form.cleaned_data["token"])
        if check.outcome is second_factor.CodeOutcome.ACCEPTED:
            step_up.record_check(request.session)
            return HttpResponseRedirect(address)
        form.add_error("token", CODE_WRONG)
    context = {
        **admin.site.each_context(request),
        "title": _("Confirm that it is you"),
        "form": with_theme_widgets(form),
        "next": address,
        "has_passkeys": bool(passkeys.list_passkeys(user=user)),
        "is_enrolled": second_factor.is_enrolled(user),
        "provider_address": _find_provider_address(user, address),
        "provider_name": settings.OIDC_NAME,
    }
    return TemplateResponse(request, "staff/step_up.html", context, status=422 if form.errors else 200)


def _find_provider_address(user: User, address: str) -> str:
    """Empty for an account that is not linked to the provider."""
    if not settings.OIDC_ISSUER or not sso_accounts.is_linked(user):
        return ""
    return f"{reverse('single_sign_on')}?{urlencode({'again': '1', 'next': address})}"
