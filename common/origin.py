"""The client's address of the current request, for the audit log."""

import ipaddress
from contextvars import ContextVar

_current: ContextVar[str | None] = ContextVar("address", default=None)


def current_address() -> str | None:
    """None outside of a request, and for a Unix socket."""
    remote = _current.get()
    return None if remote is None else _as_address(remote)


def begin_request(remote: str | None) -> None:
    _current.set(remote)


def _as_address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
