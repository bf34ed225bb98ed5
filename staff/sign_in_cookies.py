"""Keeps what a sign-in needs between two requests in a sealed cookie of the browser.

A session would be a row that any stranger can make. A cookie can be sent again until it ends: the caller makes sure
that its content is accepted once (`passkeys.finish_sign_in`, the code of the single sign-on provider).
"""

import json
import time
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from common.crypto import SecretUnreadable, seal, unseal

PATH = "/admin/"


def keep(response: HttpResponse, name: str, content: dict[str, str], *, seconds: int) -> None:
    """Sets the cookie. Only this server can read or write its content."""
    sealed = seal(json.dumps({"cookie": name, "ends_at": time.time() + seconds, "content": content}))
    response.set_cookie(
        name,
        sealed,
        max_age=seconds,
        path=PATH,
        httponly=True,
        secure=settings.SESSION_COOKIE_SECURE,
        samesite="Lax",
    )


def read(request: HttpRequest, name: str) -> dict[str, str] | None:
    """Returns None when there is no such cookie, when it has ended, or when it was not made here for this purpose."""
    sealed = request.COOKIES.get(name, "")
    if not sealed:
        return None
    try:
        kept: dict[str, Any] = json.loads(unseal(sealed))
    except (SecretUnreadable, ValueError):
        return None
    if not isinstance(kept, dict) or kept.get("cookie") != name or kept["ends_at"] < time.time():
        return None
    content: dict[str, str] = kept["content"]
    return content


def forget(response: HttpResponse, name: str) -> None:
    response.delete_cookie(name, path=PATH, samesite="Lax")
