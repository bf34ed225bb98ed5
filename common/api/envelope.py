"""The JSON shape of every answer of the API: code, message or error, data or details, request_id."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from common.api.renderers import to_json
from common.api.request_id import current_request_id
from common.errors import ApiError

# How long a client waits before it polls: most lost answers are known by then.
POLL_AFTER_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer as bytes, so that a replay is identical byte for byte."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def success(data: Any, *, message: str, status: int = 200) -> Answer:
    return Answer(status=status, body=to_json({"code": 0, "message": str(message), "data": data}))


def accepted(data: Any, *, location: str) -> Answer:
    """202: the channel's answer is not known yet. `location` is where the outcome will be seen."""
    body = {
        "code": 0,
        "message": _("Accepted. The channel has not answered yet; query the status later."),
        "data": data,
    }
    headers = {"Location": location, "Retry-After": str(POLL_AFTER_SECONDS)}
    return Answer(status=202, body=to_json(body), headers=headers)


def failure(error: ApiError) -> Answer:
    return Answer(status=error.status, body=to_json(failure_body(error)), headers=error.headers)


def failure_body(error: ApiError) -> dict[str, Any]:
    return {
        "code": error.code,
        "error": str(error.text),
        "error_code": error.error_code,
        "details": error.details,
        "request_id": current_request_id(),
    }
