"""The client's address behind proxies, for IP allow-lists, lock-outs and the audit log."""

import functools
import ipaddress
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse


class ClientAddressMiddleware:
    """Sets `REMOTE_ADDR` from `X-Forwarded-For` and the scheme from `X-Forwarded-Proto`, when one of `TRUSTED_PROXIES`
    sent them.

    Each proxy appends the address that called it. So the list is read from its end, and the first address that is not
    a trusted proxy is the client's. Addresses before it may be forged and are ignored.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if is_trusted_proxy(request.META.get("REMOTE_ADDR", "")):
            request.META["REMOTE_ADDR"] = self._client_of(request)
            if request.headers.get("X-Forwarded-Proto", "").strip().lower() == "https":
                request.META["wsgi.url_scheme"] = "https"
        return self.get_response(request)

    def _client_of(self, request: HttpRequest) -> str:
        nearest: str = request.META.get("REMOTE_ADDR", "")
        for hop in reversed(request.headers.get("X-Forwarded-For", "").split(",")):
            forwarded = _address(hop.strip())
            if forwarded is None or not is_trusted_proxy(nearest):
                break
            nearest = str(forwarded)
        return nearest


def is_trusted_proxy(address: str) -> bool:
    return bool(settings.TRUSTED_PROXIES) and _is_within(address, tuple(settings.TRUSTED_PROXIES))


# Most requests come from the same few proxies.
@functools.lru_cache(maxsize=1024)
def _is_within(address: str, networks: tuple[str, ...]) -> bool:
    found = _address(address)
    return found is not None and any(found in ipaddress.ip_network(network) for network in networks)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:  # a Unix socket has none, and proxies may say "unknown"
        return None
    return getattr(found, "ipv4_mapped", None) or found
