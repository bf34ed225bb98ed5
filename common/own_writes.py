"""Whether a person of the back office has just written something: the next pages then show the primary (ADR 52).

A cookie says so for longer than the replica may be behind. The browser counts its time, so that no clock of ours and no
row is needed.
"""

import math

from django.conf import settings
from django.http import HttpRequest, HttpResponse

COOKIE = "office_wrote"
READING = frozenset({"GET", "HEAD", "OPTIONS"})
_MARGIN_SECONDS = 5


def reads_primary(request: HttpRequest) -> bool:
    return request.method not in READING or COOKIE in request.COOKIES


def remember_write(request: HttpRequest, response: HttpResponse) -> None:
    """Sets the cookie in the answer to a request that may have written. Without a replica, does nothing."""
    if settings.DB_REPLICA_HOST and request.method not in READING:
        response.set_cookie(
            COOKIE,
            "1",
            max_age=math.ceil(settings.DB_REPLICA_MAX_LAG_SECONDS) + _MARGIN_SECONDS,
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Lax",
        )
