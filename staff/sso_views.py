"""Pages of single sign-on: to the provider and back, linking an account, signing out.

`state`, `nonce`, the code verifier and the time of the request wait in a sealed cookie (`sign_in_cookies.py`), so that
only the browser that began can finish. Replaying the cookie is useless: the provider accepts its code once.
"""

import time
from http import HTTPStatus
from typing import Any

import structlog
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth import login
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from common.api.request_id import current_request_id
from common.crypto import SecretUnreadable, equals_in_constant_time, seal, unseal
from staff import second_factor, sign_in_cookies, sso_accounts, sso_provider, step_up
from staff.backends import BACKEND
from staff.forms import CODE_WRONG, CodeForm
from staff.sso_accounts import AccessRefused
from staff.sso_metadata import ProviderUnavailable
from staff.sso_provider import SignInRefused
from staff.views import find_own_address, for_staff, get_user

log = structlog.get_logger(__name__)

COOKIE, COOKIE_SECONDS = "single_sign_on", 600
SESSION_ID_TOKEN = "single_sign_on_id_token"  # noqa: S105 - a name
LONGEST_CODE = 4096
LONGEST_NEXT = 1000  # browsers drop a cookie of more than 4096 bytes
NOT_PROVED = gettext_lazy("The answer of the provider could not be verified. Start again.")
UNAVAILABLE = gettext_lazy("The provider of single sign-on does not answer. Try again in a few minutes.")
CANCELLED = gettext_lazy("The provider did not sign you in. Start again, or ask your administrator.")


@require_GET
@never_cache
def begin(request: HttpRequest) -> HttpResponse:
    """`?again=1`: the provider asks for the person's credentials even if it knows them."""
    must_reauthenticate = request.GET.get("again") == "1"
    address = request.GET.get("next", "")
    content = {
        "next": find_own_address(request, address if len(address) <= LONGEST_NEXT else ""),
        "again": "1" if must_reauthenticate else "",
        "link": "",
    }
    return _go_to_provider(request, content)


@require_POST
@for_staff
def link(request: HttpRequest) -> HttpResponse:
    """Asks for a code, as everything does that adds a way to sign in."""
    form = CodeForm(request.POST)
    user = get_user(request)
    token = form.cleaned_data["token"] if form.is_valid() else ""
    if second_factor.check_code(user=user, token=token).outcome is not second_factor.CodeOutcome.ACCEPTED:
        messages.error(request, str(CODE_WRONG))
        return redirect("second_factor")
    return _go_to_provider(request, {"next": reverse("second_factor"), "again": "1", "link": str(user.pk)})


@require_GET
@never_cache
def callback(request: HttpRequest) -> HttpResponse:
    kept = sign_in_cookies.read(request, COOKIE)
    try:
        response = _finish(request, kept)
    except AccessRefused as refused:
        response = _show_refusal(request, refused.text, HTTPStatus.FORBIDDEN)
    except SignInRefused as refused:
        log.warning("staff.single_sign_on_refused", error=str(refused))
        response = _show_refusal(request, NOT_PROVED, HTTPStatus.FORBIDDEN)
    except ProviderUnavailable as error:
        response = _show_unavailable(request, error)
    sign_in_cookies.forget(response, COOKIE)
    return response


@require_POST
@never_cache
def sign_out(request: HttpRequest) -> HttpResponse:
    """Ends the session here and, if it began at the provider, there."""
    sealed = request.session.get(SESSION_ID_TOKEN) if settings.OIDC_ISSUER else None
    response: HttpResponse = admin.site.logout(request)
    if not sealed:
        return response
    try:
        id_token = unseal(sealed)
    except SecretUnreadable:  # the master key was replaced meanwhile
        return response
    return_to = settings.PUBLIC_BASE_URL + reverse("admin:login")
    address = sso_provider.build_logout_address(id_token=id_token, return_to=return_to)
    return _show_continue(request, address) if address else response


def _go_to_provider(request: HttpRequest, content: dict[str, str]) -> HttpResponse:
    if not settings.OIDC_ISSUER:
        raise Http404
    try:
        asked = sso_provider.build_authorization_request(
            redirect_uri=_get_redirect_uri(), must_reauthenticate=bool(content["again"])
        )
    except ProviderUnavailable as error:
        return _show_unavailable(request, error)
    response = _show_continue(request, asked.url) if request.method == "POST" else redirect(asked.url)
    content |= {"state": asked.state, "nonce": asked.nonce, "code_verifier": asked.code_verifier}
    content["begun_at"] = str(int(time.time()))
    sign_in_cookies.keep(response, COOKIE, content, seconds=COOKIE_SECONDS)
    return response


def _finish(request: HttpRequest, kept: dict[str, str] | None) -> HttpResponse:
    """Raises `AccessRefused`, `SignInRefused` and `ProviderUnavailable`."""
    if not settings.OIDC_ISSUER:
        raise Http404
    if kept is None or not equals_in_constant_time(request.GET.get("state", ""), kept["state"]):
        raise SignInRefused("the state is not the one of this browser")
    if request.GET.get("iss", settings.OIDC_ISSUER) != settings.OIDC_ISSUER:  # RFC 9207
        raise SignInRefused("the answer is of another issuer")
    code = request.GET.get("code", "")
    if "error" in request.GET or not code or len(code) > LONGEST_CODE:
        log.warning("staff.single_sign_on_refused", error=request.GET.get("error", "")[:200])
        return _show_refusal(request, CANCELLED, HTTPStatus.FORBIDDEN)
    answer = sso_provider.redeem_code(
        code=code,
        redirect_uri=_get_redirect_uri(),
        nonce=kept["nonce"],
        code_verifier=kept["code_verifier"],
        reauthenticated_since=float(kept["begun_at"]) if kept["again"] else None,
    )
    if kept["link"]:
        return _finish_link(request, answer, user_id=kept["link"])
    identity = sso_accounts.sign_in(answer.claims)
    user: Any = identity.user
    user.otp_device = identity  # django-otp reads this and marks the session as verified
    login(request, user, backend=BACKEND)
    request.session[SESSION_ID_TOKEN] = seal(answer.id_token)
    # The provider may know the person from a session of its own, which is older than this sign-in.
    auth_time = sso_provider.read_auth_time(answer.claims)
    step_up.record_check(request.session, checked_at=auth_time or 0)
    return HttpResponseRedirect(kept["next"])


def _finish_link(request: HttpRequest, answer: sso_provider.ProviderAnswer, *, user_id: str) -> HttpResponse:
    user: Any = request.user
    if not user.is_authenticated or str(user.pk) != user_id or not user.is_verified():
        raise SignInRefused("another person is signed in than the one who began to link")
    sso_accounts.link(answer.claims, user=get_user(request))
    messages.success(request, _("Your account is linked. From now on you can use single sign-on."))
    return redirect("second_factor")


def _get_redirect_uri() -> str:
    """Never from the request's host name, which a stranger chooses."""
    return f"{settings.PUBLIC_BASE_URL}{reverse('single_sign_on_callback')}"


def _show_continue(request: HttpRequest, address: str) -> HttpResponse:
    """A page that goes on to the provider: the content policy lets no form lead to another host."""
    context = {**admin.site.each_context(request), "title": _("Continue at the provider"), "address": address}
    return TemplateResponse(request, "staff/single_sign_on_continue.html", context)


def _show_unavailable(request: HttpRequest, error: ProviderUnavailable) -> HttpResponse:
    log.error("staff.single_sign_on_unavailable", error=str(error))
    return _show_refusal(request, UNAVAILABLE, HTTPStatus.SERVICE_UNAVAILABLE)


def _show_refusal(request: HttpRequest, text: Any, status: HTTPStatus) -> HttpResponse:
    context = {
        **admin.site.each_context(request),
        "title": _("You are not signed in"),
        "text": text,
        "request_id": current_request_id(),
    }
    return TemplateResponse(request, "staff/single_sign_on_refused.html", context, status=status)
