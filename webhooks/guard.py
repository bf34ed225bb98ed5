"""Which addresses of merchants we call: public ones, on the ports of the web, and nothing of our own network.

Checked when an address is registered and again, on the very IP address that is then connected to, at each call: a
name may resolve to something else by then (DNS rebinding).
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

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_URL_LENGTH = 2000
RESOLVE_SECONDS = 2.0
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)\Z", re.IGNORECASE)
# The last label of a name is never a number: `127.1`, `0x7f000001` and `2130706433` are addresses in disguise.
_NUMBER = re.compile(r"(\d+|0x[0-9a-f]*)\Z", re.IGNORECASE)

# Beyond what the standard library calls global: ways into other networks, and addresses that embed others.
_NEVER = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "224.0.0.0/3",
        "::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2002::/16",
        "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
    )
)  # fmt: skip

# For the check at registration, so that a slow name server holds no web thread for long.
_resolvers = ThreadPoolExecutor(4, thread_name_prefix="webhook-dns")


class AddressRefused(Exception):
    """`reason` may be shown to the merchant: it tells nothing about our network."""

    def __init__(self, reason: str | Promise) -> None:
        super().__init__(str(reason))
        self.reason = reason


class NameUnknown(Exception):
    """The name does not resolve now."""


@dataclass(frozen=True, slots=True)
class Target:
    """An address that was taken apart and whose form is allowed. `path` holds the query too."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def parse(url: str) -> Target:
    """Everything that can be said without asking a name server. Raises `AddressRefused`."""
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
    literal = _literal(host, bracketed="[" in parts.netloc)
    if literal is not None:
        require_allowed(literal)
    local = literal.is_loopback if literal else host == "localhost" or host.endswith(".localhost")
    if local and not settings.WEBHOOK_ALLOW_LOOPBACK:
        raise AddressRefused(_("This is not a public address of the internet."))
    if port not in settings.WEBHOOK_PORTS and not local:
        allowed = ", ".join(str(number) for number in sorted(settings.WEBHOOK_PORTS))
        raise AddressRefused(_("Use one of these ports: %(ports)s.") % {"ports": allowed})
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port, path)


def require_allowed(address: Ip) -> None:
    """Raises `AddressRefused` for whatever is not a public unicast address."""
    plain = address.ipv4_mapped or address if isinstance(address, ipaddress.IPv6Address) else address
    if plain.is_loopback and settings.WEBHOOK_ALLOW_LOOPBACK:
        return
    reserved = any(plain in network for network in _NEVER if network.version == plain.version)
    if reserved or not plain.is_global or plain.is_multicast:
        raise AddressRefused(_("This is not a public address of the internet."))


def resolve(target: Target) -> list[Ip]:
    """All addresses of the host, each of them allowed. Raises `AddressRefused` and `NameUnknown`."""
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NameUnknown(f"{target.host}: {error}") from error
    addresses: list[Ip] = []
    for *_kind, sockaddr in found:
        address = ipaddress.ip_address(str(sockaddr[0]).partition("%")[0])
        require_allowed(address)
        if address not in addresses:
            addresses.append(address)
    return addresses


def check_registration(url: str) -> None:
    """Raises `AddressRefused`. A name server that is too slow refuses nothing: each call asks it again."""
    target = parse(url)
    looking: Future[list[Ip]] = _resolvers.submit(resolve, target)
    try:
        looking.result(timeout=RESOLVE_SECONDS)
    except TimeoutError:
        looking.cancel()
    except NameUnknown as error:
        raise AddressRefused(_("This host name does not resolve.")) from error


def _literal(host: str, *, bracketed: bool) -> Ip | None:
    """The IP address that is written there, if it is one. Raises `AddressRefused` for one in disguise."""
    try:
        if bracketed:
            return ipaddress.IPv6Address(host)  # with a zone, as in fe80::1%eth0, it is none
        return ipaddress.IPv4Address(host)
    except ValueError:
        labels = host.split(".")
        named = all(_LABEL.match(label) for label in labels) and not _NUMBER.match(labels[-1])
        if bracketed or not named or len(host) > 253:
            raise AddressRefused(_("This is neither a host name nor an IP address.")) from None
        return None
