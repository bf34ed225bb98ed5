"""Decides which addresses the payment page may link to, post to or redirect to.

Addresses come from merchants and channels. Only web addresses pass: nothing that runs a script or reads a file.
"""

import ipaddress
import re
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

# Of a host name as browsers send it; other names would end a directive of the content security policy.
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]+\]")


def read_web_url(url: str, *, allows_http: bool = True) -> SplitResult | None:
    """The parts of an http or https address with a host; None for every other text."""
    if not url.isprintable() or url != url.strip():
        return None
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname or "", parts.port  # the port raises when it is no number
    except ValueError:
        return None
    is_allowed = parts.scheme == "https" or (parts.scheme == "http" and allows_http)
    return parts if is_allowed and host else None


def read_host(url: str) -> str:
    parts = read_web_url(url)
    return parts.hostname or "" if parts else ""


def list_form_sources(url: str) -> list[str]:
    """The sources of `form-action` under which a browser posts a form to `url`.

    Chrome also applies the directive to the redirects that answer the form (MDN, CSP: form-action), and channels lead
    from their gateway to a page on another host of theirs. So the hosts beside the gateway's are allowed with it:
    `https://*.alipay.com` for openapi.alipay.com.
    """
    parts = read_web_url(url)
    if parts is None or not _HOST.fullmatch(_bracketed(parts.hostname or "")):
        return []
    host = _bracketed(parts.hostname or "")
    port = f":{parts.port}" if parts.port else ""
    sources = [f"{parts.scheme}://{host}{port}"]
    _first, _dot, parent = host.partition(".")
    if "." in parent and not _is_address(host):
        sources.append(f"{parts.scheme}://*.{parent}{port}")
    return sources


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def build_return_url(url: str, *, payment_no: str, status: str) -> str:
    """Adds number and status of the payment, in the words of the API, to the shop's return URL.

    Empty for a URL that is not http or https, such as one that runs a script. Only the webhook proves the status.
    """
    parts = read_web_url(url)
    if parts is None:
        return ""
    added = {"payment_no": payment_no, "status": status}
    kept = [
        (name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in added
    ]
    return parts._replace(query=urlencode([*kept, *added.items()])).geturl()
