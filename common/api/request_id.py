"""The request id: in the answer, its log lines and its trace."""

import re
import secrets
from contextvars import ContextVar

_ACCEPTABLE = re.compile(r"[A-Za-z0-9._-]{8,64}")
_current: ContextVar[str] = ContextVar("request_id", default="")


def current_request_id() -> str:
    return _current.get()


def begin_request(offered: str | None) -> str:
    """Uses the client's id when it is safe to log, else makes one."""
    request_id = offered if offered and _ACCEPTABLE.fullmatch(offered) else f"req_{secrets.token_hex(12)}"
    _current.set(request_id)
    return request_id
