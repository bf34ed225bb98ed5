"""Requests to Stripe, its responses and its errors (docs.stripe.com/api/errors)."""

from dataclasses import dataclass, field
from typing import Any

from tests.support.stripe.specification import JsonObject


@dataclass
class StripeRequest:
    method: str
    path: str
    params: JsonObject  # as sent: nested dictionaries of text
    key: str | None
    authorization: str
    version: str = ""
    account: str = ""  # the header Stripe-Account

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class StripeResponse:
    """`is_kept`: an idempotency key stores it."""

    status: int
    body: JsonObject
    headers: dict[str, str] = field(default_factory=dict)
    is_kept: bool = True


class ErrorResponse(Exception):
    """An error that Stripe answers.

    `is_kept`: an idempotency key stores it, because the execution had begun (docs.stripe.com/api/idempotent_requests).
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str = "",
        param: str = "",
        kind: str = "invalid_request_error",
        is_kept: bool = True,
        **more: Any,
    ) -> None:
        super().__init__(message)
        error = {"type": kind, "message": message, "code": code, "param": param, **more}
        self.status, self.is_kept = status, is_kept
        self.body: JsonObject = {"error": {name: value for name, value in error.items() if value}}

    def as_response(self) -> StripeResponse:
        return StripeResponse(self.status, self.body, is_kept=self.is_kept)


class InvalidParameter(ErrorResponse):
    """The request is invalid. Nothing was executed, and no key stores the error
    (docs.stripe.com/api/idempotent_requests: "parameters failed validation")."""

    def __init__(self, message: str, *, code: str = "", param: str = "") -> None:
        super().__init__(400, message, code=code, param=param, is_kept=False)
