"""Pages on which staff enrol and replace their own second factor, and renew their recovery codes."""

from base64 import b32encode
from collections.abc import Callable
from typing import Any

import segno
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth import logout
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from django_otp import login as mark_verified

from common.admin_forms import with_theme_widgets
from staff import passkeys, second_factor, sso_accounts, step_up
from staff.forms import CODE_WRONG, AddPasskeyForm, CodeForm
from staff.models import Authenticator

View = Callable[..., HttpResponse]


def for_staff(view: View) -> View:
    """Requires a signed-in member of staff. If a second factor is enrolled, it must have been used: a password alone
    must not replace it."""

    def guarded(request: HttpRequest, **parameters: Any) -> HttpResponse:
        user: Any = request.user
        if second_factor.is_enrolled(user) and not user.is_verified():
            logout(request)
            return redirect("admin:login")
        return view(request, **parameters)

    wrapped: View = admin.site.admin_view(never_cache(guarded))
    return wrapped


@require_GET
@for_staff
def page(request: HttpRequest) -> HttpResponse:
    return render_page(request, is_enrolled=second_factor.is_enrolled(get_user(request)))


@require_POST
@for_staff
def begin(request: HttpRequest) -> HttpResponse:
    if _describe_single_sign_on(get_user(request)) == "only":
        return redirect("second_factor")  # an own factor would outlive the account at the provider
    return _show_code_form(request, second_factor.begin_enrollment(user=get_user(request)), CodeForm())


@require_POST
@for_staff
def confirm(request: HttpRequest) -> HttpResponse:
    pending = second_factor.get_pending_enrollment(user=get_user(request))
    if pending is None:  # confirmed in another window, or never started
        return redirect("second_factor")
    form = CodeForm(request.POST)
    if form.is_valid():
        enrollment = second_factor.confirm_enrollment(
            user=get_user(request), token=form.cleaned_data["token"]
        )
        if enrollment is not None:
            request.session.cycle_key()
            mark_verified(request, enrollment.authenticator)
            step_up.record_check(request.session)
            return render_page(request, is_enrolled=True, recovery_codes=enrollment.recovery_codes)
        form.add_error("token", CODE_WRONG)
    return _show_code_form(request, pending, form)


@require_POST
@for_staff
def renew_codes(request: HttpRequest) -> HttpResponse:
    form = CodeForm(request.POST)
    codes = (
        second_factor.renew_recovery_codes(user=get_user(request), token=form.cleaned_data["token"])
        if form.is_valid()
        else None
    )
    if codes is None:
        messages.error(request, str(CODE_WRONG))
        return redirect("second_factor")
    return render_page(request, is_enrolled=True, recovery_codes=codes)


def _show_code_form(request: HttpRequest, pending: Authenticator, form: CodeForm) -> HttpResponse:
    return render_page(
        request,
        is_enrolled=second_factor.is_enrolled(get_user(request)),
        form=with_theme_widgets(form),
        picture=_draw_qr_code(pending.build_otpauth_url()),
        key_to_type=_format_key(pending.key),
    )


def render_page(request: HttpRequest, **context: Any) -> HttpResponse:
    """Renders without a redirect, so that codes which are shown once are not stored anywhere in between."""
    site_context = admin.site.each_context(request)
    context = {
        **site_context,
        "title": _("Second factor"),
        "code_form": with_theme_widgets(CodeForm()),
        "passkeys": passkeys.list_passkeys(user=get_user(request)),
        "link_form": with_theme_widgets(CodeForm(auto_id="link_%s")),
        "single_sign_on": _describe_single_sign_on(get_user(request)),
        "passkey_form": with_theme_widgets(AddPasskeyForm(auto_id="passkey_%s")),
        **context,
    }
    return TemplateResponse(request, "staff/second_factor.html", context)


def _describe_single_sign_on(user: User) -> str:
    """Returns `linked`, `only` (the account has no password), `offered`, or nothing without a provider."""
    if sso_accounts.is_linked(user):
        return "linked" if user.has_usable_password() else "only"
    return "offered" if settings.OIDC_ISSUER and not user.is_superuser else ""


def _draw_qr_code(text: str) -> SafeString:
    """Draws the QR code here, so that the key goes to no other service."""
    svg: str = segno.make(text, error="m").svg_inline(scale=5, border=2, light="#fff", dark="#000")
    return mark_safe(svg)  # noqa: S308 - SVG made by segno, without text of ours


def _format_key(key: bytes) -> str:
    text = b32encode(key).decode().rstrip("=")
    return " ".join(text[start : start + 4] for start in range(0, len(text), 4))


def find_own_address(request: HttpRequest, address: str) -> str:
    """Returns where to go after a sign-in: `address` if it is a path on this host, else the dashboard."""
    is_ours = address.startswith("/") and url_has_allowed_host_and_scheme(
        address, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return address if is_ours else reverse("admin:index")


def get_user(request: HttpRequest) -> User:
    user = request.user
    assert user.is_authenticated
    return User.objects.get(pk=user.pk)
