"""The start page, and the button that makes a demo payment."""

from urllib.parse import urlsplit

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import translation
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from demo.quick_start import create_demo_payment

LANGUAGES = {"zh": "zh-hans", "zh-cn": "zh-hans", "zh-hans": "zh-hans", "en": "en"}


def _offers_demo() -> bool:
    return settings.LOCAL_STACK and settings.PAYMENT_DEMO


@require_safe
@never_cache
def page(request: HttpRequest) -> HttpResponse:
    language = LANGUAGES.get(request.GET.get("lang", "").lower())
    with translation.override(language or translation.get_language()):
        response = render(request, "home/page.html", {"offers_demo": _offers_demo()})
        response.headers["Content-Language"] = translation.get_language() or "en"
    return response


@require_POST
def demo_payment(request: HttpRequest) -> HttpResponse:
    """Makes a payment of the demo merchant and redirects to its payment page. On the local stack only."""
    if not _offers_demo():
        raise Http404
    url = urlsplit(create_demo_payment())
    language = LANGUAGES.get(request.GET.get("lang", "").lower())
    return redirect(f"{url.path}?lang={language}" if language else url.path)
