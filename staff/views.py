"""A person's own second factor: enrolled, replaced, and its recovery codes renewed."""

from base64 import b32encode
from collections.abc import Callable
from typing import Any

import segno
from django.contrib import admin, messages
from django.contrib.auth import logout
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from django_otp import login as mark_verified

from common.admin_forms import dressed
from staff import second_factor
from staff.forms import WRONG, CodeForm
from staff.models import Authenticator

View = Callable[[HttpRequest], HttpResponse]


def _for_staff(view: View) -> View:
    """Signed in; and, once there is a second factor, with it: a password alone must not replace it."""

    def guarded(request: HttpRequest) -> HttpResponse:
        user: Any = request.user
        if second_factor.is_enrolled(user) and not user.is_verified():
            logout(request)
            return redirect("admin:login")
        return view(request)

    wrapped: View = admin.site.admin_view(never_cache(guarded))
    return wrapped


@require_GET
@_for_staff
def page(request: HttpRequest) -> HttpResponse:
    return _show(request, is_enrolled=second_factor.is_enrolled(_user(request)))


@require_POST
@_for_staff
def begin(request: HttpRequest) -> HttpResponse:
    return _ask_for_code(request, second_factor.begin(user=_user(request)), CodeForm())


@require_POST
@_for_staff
def confirm(request: HttpRequest) -> HttpResponse:
    waiting = second_factor.waiting(user=_user(request))
    if waiting is None:  # confirmed in another window, or never begun
        return redirect("second_factor")
    form = CodeForm(request.POST)
    if form.is_valid():
        enrolled = second_factor.confirm(user=_user(request), token=form.cleaned_data["token"])
        if enrolled is not None:
            request.session.cycle_key()
            mark_verified(request, enrolled.authenticator)
            return _show(request, is_enrolled=True, recovery_codes=enrolled.recovery_codes)
        form.add_error("token", WRONG)
    return _ask_for_code(request, waiting, form)


@require_POST
@_for_staff
def renew_codes(request: HttpRequest) -> HttpResponse:
    form = CodeForm(request.POST)
    codes = (
        second_factor.renew_recovery_codes(user=_user(request), token=form.cleaned_data["token"])
        if form.is_valid()
        else None
    )
    if codes is None:
        messages.error(request, str(WRONG))
        return redirect("second_factor")
    return _show(request, is_enrolled=True, recovery_codes=codes)


def _ask_for_code(request: HttpRequest, waiting: Authenticator, form: CodeForm) -> HttpResponse:
    return _show(
        request,
        is_enrolled=second_factor.is_enrolled(_user(request)),
        form=dressed(form),
        picture=_as_picture(waiting.address_for_app()),
        key_to_type=_in_groups(waiting.key),
    )


def _show(request: HttpRequest, **context: Any) -> HttpResponse:
    """Never by a redirect: what is shown once is kept nowhere on the way."""
    everywhere = admin.site.each_context(request)
    context = {**everywhere, "title": _("Second factor"), "code_form": dressed(CodeForm()), **context}
    return TemplateResponse(request, "staff/second_factor.html", context)


def _as_picture(text: str) -> SafeString:
    """Drawn here: nobody else gets to see the key."""
    picture: str = segno.make(text, error="m").svg_inline(scale=5, border=2, light="#fff", dark="#000")
    return mark_safe(picture)  # noqa: S308 - segno's own drawing, which holds no text of ours


def _in_groups(key: bytes) -> str:
    text = b32encode(key).decode().rstrip("=")
    return " ".join(text[start : start + 4] for start in range(0, len(text), 4))


def _user(request: HttpRequest) -> User:
    user = request.user
    assert user.is_authenticated
    return User.objects.get(pk=user.pk)
