"""Reads the credentials of a request from its headers. Nothing here looks into the database."""

import re
from dataclasses import dataclass, field
from urllib.parse import quote

from django.conf import settings
from django.http import HttpRequest
from django.http.request import HttpHeaders
from django.utils.translation import gettext as _

from merchants import errors, keys
from merchants.signing import SignedParts

# A header that does not look like this is refused before the database is queried.
HEADER_PATTERNS = {
    "X-API-Key": re.compile(rf"[\x21-\x7e]{{1,{keys.MAX_KEY_LENGTH}}}"),
    "X-Signature": re.compile(r"v1=[0-9a-fA-F]{64}"),
    "X-Timestamp": re.compile(r"[0-9]{1,12}"),
    "X-Nonce": re.compile(r"[\x21-\x7e]{8,128}"),
}
# Their names in WSGI. `request.headers` would first translate all headers of the request.
_WSGI_NAMES = {name: HttpHeaders.to_wsgi_name(name) for name in HEADER_PATTERNS}
PATH_SAFE = "/~!$&'()*+,;=:@"  # what a path may hold unescaped (RFC 3986)


@dataclass(frozen=True, slots=True)
class RequestCredentials:
    """The claims in the headers of a request. Nothing of them is verified yet."""

    api_key: str = field(repr=False)
    signature: str = field(repr=False)
    parts: SignedParts
    address: str

    @property
    def is_demo(self) -> bool:
        """The quick start's literal key, while PAYMENT_DEMO is on."""
        return settings.PAYMENT_DEMO and self.api_key == keys.DEMO_KEY


def read_credentials(request: HttpRequest) -> RequestCredentials:
    """Raises `CredentialsIncomplete`, which names each missing or malformed header."""
    headers = {name: request.META.get(wsgi_name, "") for name, wsgi_name in _WSGI_NAMES.items()}
    credentials = RequestCredentials(
        api_key=headers["X-API-Key"],
        signature=headers["X-Signature"],
        parts=SignedParts(
            method=str(request.method),
            path=get_raw_path(request),
            query=request.META.get("QUERY_STRING", ""),
            timestamp=headers["X-Timestamp"],
            nonce=headers["X-Nonce"],
            idempotency_key=request.META.get("HTTP_IDEMPOTENCY_KEY", ""),
            body=request.body,
        ),
        address=request.META.get("REMOTE_ADDR", ""),
    )
    problems = _find_problems(headers, credentials)
    if problems:
        raise errors.CredentialsIncomplete(problems)
    return credentials


def _find_problems(headers: dict[str, str], credentials: RequestCredentials) -> dict[str, list[str]]:
    required = {"X-API-Key", "X-Signature"}
    if not credentials.is_demo:
        required |= {"X-Timestamp", "X-Nonce"} if credentials.parts.needs_nonce else {"X-Timestamp"}
    problems: dict[str, list[str]] = {}
    for name, value in headers.items():
        if not value:
            if name in required:
                problems[name] = [_("This header is missing.")]
        elif not credentials.is_demo and not HEADER_PATTERNS[name].fullmatch(value):
            problems[name] = [_("This header is malformed.")]
    return problems


def get_raw_path(request: HttpRequest) -> str:
    """Returns the path as sent. If the web server does not pass it on (`RAW_URI`), the decoded path is escaped
    again."""
    target = request.META.get("RAW_URI")
    if target is None:
        path = request.META.get("SCRIPT_NAME", "") + request.META.get("PATH_INFO", "")
        return quote(path.encode("latin-1", "replace"), safe=PATH_SAFE)
    path = re.sub(r"^[a-z]+://[^/?]*", "", target, flags=re.IGNORECASE)  # a proxy gets the absolute form
    return path.partition("?")[0]
