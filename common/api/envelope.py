"""The one shape of every answer of the API (design section 4)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from common.api.renderers import to_json
from common.api.request_id import current_request_id
from common.errors import ApiError


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer as bytes, so that a replay can be identical to the last byte."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def success(data: Any, *, message: str, status: int = 200) -> Answer:
    return Answer(status=status, body=to_json({"code": 0, "message": str(message), "data": data}))


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
