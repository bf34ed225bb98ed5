"""SSRF protection: webhooks go only to public addresses, on web ports, and never into our own network.

The address is checked when an endpoint is registered, and again before each call on the IP address that is then
connected to, because a name may resolve to another address by then (DNS rebinding).
"""

import ipaddress
import re
import socket
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_URL_LENGTH = 2000
RESOLVE_SECONDS = 2.0
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)\Z", re.IGNORECASE)
# A host name whose last label is a number is an IP address in another notation: `127.1`, `0x7f000001`, `2130706433`.
_NUMERIC_LABEL = re.compile(r"(\d+|0x[0-9a-f]*)\Z", re.IGNORECASE)

# Networks that `is_global` of the standard library accepts although they lead into other networks or embed an address.
# 168.63.129.16 answers inside of Azure only, to the machine that asks it.
_REFUSED_NETWORKS = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8", "100.64.0.0/10", "168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15",
        "224.0.0.0/3", "::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23",
        "2002::/16", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
    )
)  # fmt: skip

# For the check at registration: the request waits at most RESOLVE_SECONDS for a slow name server.
_dns_threads = ThreadPoolExecutor(4, thread_name_prefix="webhook-dns")


class AddressRefused(Exception):
    """The address must not be called. `reason` is shown to the merchant; it reveals nothing about our network."""

    def __init__(self, reason: str | Promise) -> None:
        super().__init__(str(reason))
        self.reason = reason


class HostNotResolved(Exception):
    """The host name does not resolve at the moment."""


@dataclass(frozen=True, slots=True)
class WebhookUrl:
    """A parsed URL whose form is allowed. `path` includes the query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def parse_url(url: str) -> WebhookUrl:
    """Parses and checks the URL without a DNS lookup. Raises `AddressRefused`."""
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url or len(url) > MAX_URL_LENGTH:
        raise AddressRefused(_("Use printable ASCII without spaces; write other names in Punycode."))
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise AddressRefused(_("Give an absolute http:// or https:// address.")) from error
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise AddressRefused(_("Give an absolute http:// or https:// address."))
    if "@" in parts.netloc:
        raise AddressRefused(_("Leave user name and password out of the address."))
    if parts.fragment:
        raise AddressRefused(_("Leave the fragment (#…) out of the address."))
    port = _DEFAULT_PORTS[parts.scheme] if port is None else port
    host = parts.hostname.rstrip(".")
    address = _parse_ip_literal(host, is_bracketed="[" in parts.netloc)
    if address is not None:
        require_public_address(address)
    is_local = address.is_loopback if address else host == "localhost" or host.endswith(".localhost")
    if is_local and not settings.WEBHOOK_ALLOW_LOOPBACK:
        raise AddressRefused(_("This is not a public internet address. Use one."))
    if port not in settings.WEBHOOK_PORTS and not is_local:
        allowed = ", ".join(str(number) for number in sorted(settings.WEBHOOK_PORTS))
        raise AddressRefused(_("Use one of these ports: %(ports)s.") % {"ports": allowed})
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return WebhookUrl(parts.scheme, host, port, path)


def require_public_address(address: IpAddress) -> None:
    """Raises `AddressRefused` unless this is a public unicast address."""
    unmapped = address.ipv4_mapped or address if isinstance(address, ipaddress.IPv6Address) else address
    if unmapped.is_loopback and settings.WEBHOOK_ALLOW_LOOPBACK:
        return
    is_refused = any(
        unmapped in network for network in _REFUSED_NETWORKS if network.version == unmapped.version
    )
    if is_refused or not unmapped.is_global or unmapped.is_multicast:
        raise AddressRefused(_("This is not a public internet address. Use one."))


def resolve_host(target: WebhookUrl) -> list[IpAddress]:
    """Returns all IP addresses of the host. Raises `AddressRefused` if one of them is not public, and
    `HostNotResolved`."""
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise HostNotResolved(f"{target.host}: {error}") from error
    addresses: list[IpAddress] = []
    for *_kind, sockaddr in found:
        address = ipaddress.ip_address(str(sockaddr[0]).partition("%")[0])
        require_public_address(address)
        if address not in addresses:
            addresses.append(address)
    return addresses


def check_new_url(url: str) -> None:
    """Checks a URL at registration. Raises `AddressRefused`.

    A name server that does not answer in time is no reason to refuse: the name is resolved again before each call.
    """
    target = parse_url(url)
    lookup: Future[list[IpAddress]] = _dns_threads.submit(resolve_host, target)
    try:
        lookup.result(timeout=RESOLVE_SECONDS)
    except TimeoutError:
        lookup.cancel()
    except HostNotResolved as error:
        raise AddressRefused(_("This host name does not resolve. Check its DNS record.")) from error


def _parse_ip_literal(host: str, *, is_bracketed: bool) -> IpAddress | None:
    """Returns the IP address, or None for a host name. Raises `AddressRefused` for an address in another notation."""
    try:
        if is_bracketed:
            return ipaddress.IPv6Address(host)  # refuses a zone, as in fe80::1%eth0
        return ipaddress.IPv4Address(host)
    except ValueError:
        labels = host.split(".")
        is_name = all(_HOST_LABEL.match(label) for label in labels) and not _NUMERIC_LABEL.match(labels[-1])
        if is_bracketed or not is_name or len(host) > 253:
            raise AddressRefused(_("This is neither a host name nor an IP address.")) from None
        return None
