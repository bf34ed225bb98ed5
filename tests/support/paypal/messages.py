"""Requests to PayPal and its errors (developer.paypal.com/api/rest/responses)."""

from dataclasses import dataclass, field
from typing import Any

from tests.support.paypal.specification import JsonObject

# The `name` of an error, by its status (developer.paypal.com/api/rest/responses, "Error messages").
NAMES = {
    400: "INVALID_REQUEST",
    401: "AUTHENTICATION_FAILURE",
    403: "NOT_AUTHORIZED",
    404: "RESOURCE_NOT_FOUND",
    409: "RESOURCE_CONFLICT",
    422: "UNPROCESSABLE_ENTITY",
    429: "RATE_LIMIT_REACHED",
    500: "INTERNAL_SERVER_ERROR",
    503: "SERVICE_UNAVAILABLE",
}


@dataclass(frozen=True, slots=True)
class PayPalRequest:
    method: str
    path: str
    query: JsonObject
    headers: JsonObject  # names in lower case
    body: bytes

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class PayPalResponse:
    status: int
    body: Any = None
    headers: JsonObject = field(default_factory=dict)


class ErrorResponse(Exception):
    """An error that PayPal answers, with the issue of its first detail."""

    def __init__(self, status: int, issue: str = "", description: str = "", *, links: Any = None) -> None:
        super().__init__(f"{status} {issue}")
        self.status = status
        self.body: JsonObject = {
            "name": NAMES[status],
            "message": description or NAMES[status],
            "debug_id": "f7b3a1c9d2e4",
        }
        if issue:
            self.body["details"] = [{"issue": issue, "description": description or issue}]
        if links:
            self.body["links"] = links


def refuse(issue: str, description: str = "", *, links: Any = None) -> ErrorResponse:
    """422: a rule of the business."""
    return ErrorResponse(422, issue, description, links=links)


def not_found() -> ErrorResponse:
    return ErrorResponse(404, "INVALID_RESOURCE_ID", "Specified resource ID does not exist.")
