"""Errors of the HTTP contract, and the refusals of staff operations.

`ApiError` is the base of the first. Each class fixes its status, number, stable name and text.

`code` and `error_code` are public and never change; the text is translated (Chinese by default).
`is_final_answer` says whether an Idempotency-Key stores it: business decisions are stored,
refusals before any work began are not. `retry` and `advice` are for docs/ERRORS.md, which
`manage.py write_api_docs` generates from these classes.
"""

import enum
from collections.abc import Mapping
from typing import Any, ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _


class Retry(enum.Enum):
    """Whether a program may repeat the request after an error."""

    NO = "no"
    """The same request gets the same answer."""
    CORRECTED = "corrected"
    """A corrected request may succeed, with a new Idempotency-Key where the answer was final."""
    SAME = "same request"
    """The same request with the same Idempotency-Key may succeed later: after `Retry-After`, or with growing pauses."""


class ApiError(Exception):
    """Base of all errors that the API answers."""

    status: ClassVar[int]
    code: ClassVar[int]
    error_code: ClassVar[str]
    text: ClassVar[str | Promise]
    retry: ClassVar[Retry]
    advice: ClassVar[str]
    is_final_answer: ClassVar[bool] = False

    def __init__(
        self, details: Mapping[str, Any] | None = None, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(self.error_code)
        self.details: dict[str, Any] = dict(details or {})
        self.headers: dict[str, str] = dict(headers or {})


class ValidationFailed(ApiError):
    """`details` maps each wrong field to a list of what is wrong with it."""

    status, code, error_code = 400, 40000, "validation_failed"
    text = _("The request is not valid: see details for the fields.")
    retry = Retry.CORRECTED
    advice = "Correct the fields that `details` names."


class MalformedBody(ApiError):
    status, code, error_code = 400, 40001, "malformed_body"
    text = _("The body is not valid JSON.")
    retry = Retry.CORRECTED
    advice = "Send one JSON object in UTF-8; `details` says where reading stopped."


class LengthRequired(ApiError):
    status, code, error_code = 411, 41100, "length_required"
    text = _("Send the body with a Content-Length.")
    retry = Retry.CORRECTED
    advice = "Send the body with a `Content-Length`, not chunked."


class BodyTooLarge(ApiError):
    status, code, error_code = 413, 41300, "body_too_large"
    text = _("The body is too large.")
    retry = Retry.CORRECTED
    advice = "Send less than `details.limit_bytes`."


class UnsupportedMediaType(ApiError):
    status, code, error_code = 415, 41500, "unsupported_media_type"
    text = _("Send the body as application/json.")
    retry = Retry.CORRECTED
    advice = "Send `Content-Type: application/json`."


class NotFound(ApiError):
    status, code, error_code = 404, 40400, "not_found"
    text = _("There is no such object.")
    retry = Retry.NO
    advice = (
        "Check the address and the number or id in it. Objects of another merchant or of the other "
        "environment are not found either."
    )


class MethodNotAllowed(ApiError):
    status, code, error_code = 405, 40500, "method_not_allowed"
    text = _("This address does not know that method.")
    retry = Retry.NO
    advice = "Use a method that the `Allow` header names."


class NotAcceptable(ApiError):
    status, code, error_code = 406, 40600, "not_acceptable"
    text = _("The API answers in application/json only.")
    retry = Retry.CORRECTED
    advice = "Send `Accept: application/json`, or none."


class InternalError(ApiError):
    status, code, error_code = 500, 50000, "internal_error"
    text = _(
        "Something went wrong on our side. It is safe to repeat the request with the same Idempotency-Key."
    )
    retry = Retry.SAME
    advice = "Repeat with the same Idempotency-Key. If it persists, tell us the `request_id`."


class ServiceUnavailable(ApiError):
    status, code, error_code = 503, 50300, "service_unavailable"
    text = _("The service is not available right now. Please try again.")
    retry = Retry.SAME
    advice = "Repeat with the same Idempotency-Key after `Retry-After` seconds."


class OperationRefused(Exception):
    """Base of the refusals of staff operations. Nothing was changed; `str(error)` says why, in the user's language."""


class FieldsRefused(OperationRefused):
    """Fields of a form or command are wrong; `fields` has what is wrong with each."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__(" ".join(f"{field}: {text}" for field, text in fields.items()))
        self.fields = dict(fields)


class UnknownObject(OperationRefused):
    """The object of the operation does not exist."""


class NotPermitted(OperationRefused):
    """The state of the object, or a rule about who may do it, does not permit the operation."""


class StaleView(OperationRefused):
    """The object has changed since the person looked at it."""

    def __init__(self, *, seen_revision: int, current_revision: int) -> None:
        super().__init__(
            gettext("It has changed meanwhile: you saw revision %(seen)s, now it is %(current)s. Look again.")
            % {"seen": seen_revision, "current": current_revision}
        )
        self.current_revision = current_revision
