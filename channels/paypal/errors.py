"""PayPal's errors, and the results that they become (developer.paypal.com/api/rest/responses, "Errors").

An error has a `name`, and for validation and business rules an `issue` in its first detail. Codes decide, never texts.
"""

import json
from collections.abc import Mapping
from typing import Any

from channels.base import (
    Declined,
    InvalidRequest,
    NotFoundAtChannel,
    NotProcessed,
    UnexpectedFormat,
    UnknownOutcome,
)
from channels.paypal.fields import find_link, read_list, read_text
from common.http_calls import AnswerLost, HttpAnswer, NotConnected

RATE_LIMIT_SECONDS = 60.0
# Issues of 422 (developer.paypal.com/api/rest/reference/orders/v2/errors, .../payments/v2/errors) that are a definite
# "no" about the payment or refund, and our code where one fits.
_DECLINES = {
    "INSTRUMENT_DECLINED": "card_declined",
    "PAYER_ACTION_REQUIRED": "authentication_required",
    "CARD_EXPIRED": "expired_card",
    "REFERENCED_CARD_EXPIRED": "expired_card",
    "COMPLIANCE_VIOLATION": "suspected_fraud",
    "REFUND_FAILED_INSUFFICIENT_FUNDS": "balance_insufficient",
    **{
        issue: issue.lower()
        for issue in (
            "AUTHORIZATION_DENIED",
            "AUTHORIZATION_EXPIRED",
            "AUTHORIZATION_VOIDED",
            "CAPTURE_FULLY_REFUNDED",
            "CARD_BRAND_NOT_SUPPORTED",
            "DOMESTIC_TRANSACTION_REQUIRED",
            "DUPLICATE_INVOICE_ID",
            "MAX_CAPTURE_AMOUNT_EXCEEDED",
            "MAX_CAPTURE_COUNT_EXCEEDED",
            "MAX_NUMBER_OF_PAYMENT_ATTEMPTS_EXCEEDED",
            "MAX_NUMBER_OF_REFUNDS_EXCEEDED",
            "ORDER_COMPLETED_OR_VOIDED",
            "ORDER_EXPIRED",
            "PARTIAL_REFUND_NOT_ALLOWED",
            "PAYER_ACCOUNT_LOCKED_OR_CLOSED",
            "PAYER_ACCOUNT_RESTRICTED",
            "PAYER_CANNOT_PAY",
            "PENDING_CAPTURE",
            "REDIRECT_PAYER_FOR_ALTERNATE_FUNDING",
            "REFUND_AMOUNT_EXCEEDED",
            "REFUND_AMOUNT_TOO_LOW",
            "REFUND_IS_RESTRICTED",
            "REFUND_NOT_ALLOWED",
            "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK",
            "REFUND_TIME_LIMIT_EXCEEDED",
            "TRANSACTION_DISPUTED",
            "TRANSACTION_LIMIT_EXCEEDED",
            "TRANSACTION_REFUSED",
        )
    },
}
# Definite as well, but the reason lies with the merchant's account at PayPal: a fallback channel may accept it.
_ACCOUNT_DECLINES = frozenset(
    {
        "AUTH_CAPTURE_NOT_ENABLED",
        "CURRENCY_NOT_SUPPORTED",
        "PAYEE_ACCOUNT_INVALID",
        "PAYEE_ACCOUNT_LOCKED_OR_CLOSED",
        "PAYEE_ACCOUNT_RESTRICTED",
        "PAYEE_BLOCKED_TRANSACTION",
        "TRANSACTION_BLOCKED_BY_PAYEE",
        "TRANSACTION_RECEIVING_LIMIT_EXCEEDED",
    }
)


# 404: PayPal does not know the object. Without this code a wrong address or a proxy has answered.
_NOT_FOUND = "RESOURCE_NOT_FOUND"
# 401 and 403: the account's credentials or permissions, as in `CredentialsRejected`.
_CREDENTIAL_ERRORS = frozenset({"AUTHENTICATION_FAILURE", "NOT_AUTHORIZED"})


class NotSent(Exception):
    """The request certainly had no effect."""


class CredentialsRejected(Exception):
    """PayPal refuses the account's client id or secret."""


class PayPalError(Exception):
    """An error that PayPal answers."""

    def __init__(self, status: int, body: Mapping[str, Any], retry_after: str = "") -> None:
        details = read_list(body, "details")
        first = details[0] if details else {}
        self.status, self.name = status, read_text(body, "name")
        self.issue = read_text(first, "issue")
        self.field = read_text(first, "field")
        self.debug_id = read_text(body, "debug_id")
        # Where the customer chooses another way to pay, after INSTRUMENT_DECLINED.
        self.payer_action = find_link(body, "payer-action", "redirect")
        self.retry_after = retry_after
        text = read_text(first, "description") or read_text(body, "message")
        super().__init__(f"{status} {self.code}: {text} (debug_id {self.debug_id or 'none'})"[:500])

    @property
    def code(self) -> str:
        return self.issue or self.name or f"http_{self.status}"

    @property
    def is_not_found(self) -> bool:
        return self.status == 404 and self.name == _NOT_FOUND


Failed = NotSent | CredentialsRejected | PayPalError | UnexpectedFormat | AnswerLost
FAILURES = (NotSent, CredentialsRejected, PayPalError, UnexpectedFormat, AnswerLost)
Result = Declined | InvalidRequest | NotFoundAtChannel | NotProcessed | UnknownOutcome


def raise_for_status(answer: HttpAnswer) -> None:
    """Raises `PayPalError` for an error that is PayPal's, `UnexpectedFormat` for one without a readable body."""
    if 200 <= answer.status < 300:
        return
    try:
        body = read_json(answer)
    except UnexpectedFormat:
        if 400 <= answer.status < 500:  # a proxy of PayPal's: the status alone says that nothing was done
            body = {}
        else:
            raise
    raise PayPalError(answer.status, body, answer.headers.get("Retry-After", ""))


def read_json(answer: HttpAnswer) -> Mapping[str, Any]:
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise UnexpectedFormat(f"status {answer.status} without JSON") from error
    if not isinstance(body, dict):
        raise UnexpectedFormat(f"status {answer.status} without a JSON object")
    return body


def convert_failure(failure: Failed, *, is_query: bool) -> Result:
    """Converts an exception into a result."""
    match failure:
        case NotSent() | NotConnected():
            return NotProcessed(str(failure))
        case CredentialsRejected() if is_query:
            return InvalidRequest("invalid_client", str(failure), is_query=True)
        case CredentialsRejected():
            # Says nothing about the money: the secret may just be changing. The call is repeated.
            return NotProcessed(str(failure))
        case PayPalError():
            return _convert_error(failure, is_query=is_query)
        case _:
            return UnknownOutcome(str(failure))


def _convert_error(error: PayPalError, *, is_query: bool) -> Result:
    if error.status == 429:
        seconds = float(error.retry_after) if error.retry_after.isdecimal() else RATE_LIMIT_SECONDS
        return NotProcessed(str(error), retry_after_seconds=seconds)
    if error.status >= 500 or error.status < 400:
        return UnknownOutcome(str(error))
    if error.status == 409:
        # PREVIOUS_REQUEST_IN_PROGRESS: an earlier request for the same object is still being executed.
        return UnknownOutcome(str(error), is_channel_fault=False)
    if error.status == 404:
        return NotFoundAtChannel() if error.is_not_found else UnknownOutcome(str(error))
    if error.name in _CREDENTIAL_ERRORS and not is_query:
        return NotProcessed(str(error))
    if error.status == 422 and not is_query:
        if error.issue in _ACCOUNT_DECLINES:
            return Declined(error.issue.lower(), str(error), can_fail_over=True)
        if error.issue in _DECLINES:
            return Declined(_DECLINES[error.issue], str(error))
    return InvalidRequest(error.code, str(error), param=error.field, is_query=is_query)
