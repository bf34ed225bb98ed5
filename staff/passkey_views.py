"""Pages on which staff add, rename and remove their passkeys, and sign in with one.

Each ceremony is two forms: the first gets the options, which `passkeys.js` gives to the browser; the second takes the
browser's response. The challenge waits in the session or, before anybody is signed in, in a cookie; it is accepted
once.
"""

import time
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from staff import passkeys, second_factor, sign_in_cookies, step_up
from staff.backends import BACKEND
from staff.forms import CODE_WRONG, AddPasskeyForm, PasskeyNameForm
from staff.views import find_own_address, for_staff, get_user, render_page

ADDING, SIGN_IN_COOKIE = "passkey_to_add", "passkey_sign_in"


@require_POST
@for_staff
def add(request: HttpRequest) -> HttpResponse:
    form = AddPasskeyForm(request.POST)
    user = get_user(request)
    if not form.is_valid():
        messages.error(request, _("Enter a name for the passkey, and a code from your authenticator app."))
        return redirect("second_factor")
    check = second_factor.check_code(user=user, token=form.cleaned_data["token"])
    if check.outcome is not second_factor.CodeOutcome.ACCEPTED:
        messages.error(request, str(CODE_WRONG))
        return redirect("second_factor")
    ceremony = passkeys.begin_registration(user=user)
    request.session[ADDING] = {
        "challenge": ceremony.challenge,
        "at": time.time(),
        "name": form.cleaned_data["name"],
    }
    return render_page(request, is_enrolled=True, passkey_options=ceremony.options)


@require_POST
@for_staff
def confirm(request: HttpRequest) -> HttpResponse:
    kept = _take_challenge(request)
    passkey = kept and passkeys.finish_registration(
        user=get_user(request),
        name=kept["name"],
        response=request.POST.get("response", ""),
        challenge=kept["challenge"],
    )
    if passkey:
        messages.success(request, _("Passkey “%(name)s” added.") % {"name": passkey.name})
    else:
        messages.error(request, _("The passkey was not added. It may be known already. Start again."))
    return redirect("second_factor")


@require_POST
@for_staff
def rename(request: HttpRequest, passkey_id: int) -> HttpResponse:
    form = PasskeyNameForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Enter a name of at most 64 characters."))
    elif passkeys.rename_passkey(
        user=get_user(request), passkey_id=passkey_id, name=form.cleaned_data["name"]
    ):
        messages.success(request, _("Passkey renamed."))
    else:
        messages.error(request, _("This passkey does not exist any more."))
    return redirect("second_factor")


@require_POST
@for_staff
def remove(request: HttpRequest, passkey_id: int) -> HttpResponse:
    if passkeys.remove_passkey(user=get_user(request), passkey_id=passkey_id):
        messages.success(request, _("Passkey removed."))
    else:
        messages.error(request, _("This passkey does not exist any more."))
    return redirect("second_factor")


@require_POST
@never_cache
def sign_in(request: HttpRequest) -> HttpResponse:
    ceremony = passkeys.begin_sign_in()
    context = {
        **admin.site.each_context(request),
        "title": _("Sign in with a passkey"),
        "passkey_options": ceremony.options,
        "next": request.POST.get("next", ""),
    }
    response = TemplateResponse(request, "staff/passkey_sign_in.html", context)
    content = {"challenge": ceremony.challenge}
    sign_in_cookies.keep(response, SIGN_IN_COOKIE, content, seconds=passkeys.CHALLENGE_SECONDS)
    return response


@require_POST
@never_cache
def confirm_sign_in(request: HttpRequest) -> HttpResponse:
    kept = sign_in_cookies.read(request, SIGN_IN_COOKIE)
    passkey = kept and passkeys.finish_sign_in(
        response=request.POST.get("response", ""), challenge=kept["challenge"]
    )
    if not passkey:
        messages.error(request, _("This passkey was not accepted. Try again, or use password and code."))
        response = redirect("admin:login")
    else:
        user: Any = passkey.user
        user.otp_device = passkey  # django-otp reads this and marks the session as verified
        login(request, user, backend=BACKEND)
        step_up.record_check(request.session)
        response = HttpResponseRedirect(find_own_address(request, request.POST.get("next", "")))
    sign_in_cookies.forget(response, SIGN_IN_COOKIE)
    return response


def _take_challenge(request: HttpRequest) -> dict[str, Any] | None:
    kept: dict[str, Any] | None = request.session.pop(ADDING, None)
    return kept if kept and time.time() - kept["at"] < passkeys.CHALLENGE_SECONDS else None
