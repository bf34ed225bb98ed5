"""Where the request that is being served came from, for what is kept about it."""

import ipaddress
from contextvars import ContextVar

_current: ContextVar[str | None] = ContextVar("address", default=None)


def current_address() -> str | None:
    """None outside of a request, and where the server was not told (a Unix socket)."""
    return _current.get()


def begin_request(remote: str | None) -> None:
    _current.set(_as_address(remote or ""))


def _as_address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
