"""The endpoints of the fake: authentication, idempotency, and the answers, each checked against what is published."""

import base64
import datetime as dt
import json
import re
import secrets
import urllib.parse
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from tests.support.paypal.account import PayPalAccount
from tests.support.paypal.messages import ErrorResponse, PayPalRequest, PayPalResponse, not_found
from tests.support.paypal.specification import (
    ERROR,
    JsonObject,
    NotPublished,
    PublishedOperation,
    find_faults,
    find_operation,
    require_valid,
)
from tests.support.paypal.transactions import search_transactions

CLIENT_ID, CLIENT_SECRET, WEBHOOK_ID = (
    "AfakeClientOfTheTests",
    "EfakeSecretOfTheTests",
    "8PT597110X687430LKGECATA",
)
TOKEN_SECONDS = 32_400
# "The server stores keys for 6 hours" (orders), "for 45 days" (payments): PayPal-Request-Id of each operation.
ORDER_KEYS, PAYMENT_KEYS = dt.timedelta(hours=6), dt.timedelta(days=45)
MINIMAL = ("id", "status", "links", "payment_source")
# Headers of HTTP itself, and what our HTTP client sends.
_HTTP_HEADERS = frozenset(
    "host user-agent accept accept-encoding connection content-type content-length authorization".split()
)


class FakePayPalApi:
    def __init__(self, account: PayPalAccount, read_certificate: Callable[[str], bytes | None]) -> None:
        self.account = account
        self._read_certificate = read_certificate
        self.credentials = {CLIENT_ID: CLIENT_SECRET}
        self.webhook_ids = {WEBHOOK_ID}
        self.tokens: dict[str, dt.datetime] = {}
        # The object that a key made, and when: "PayPal returns the latest status of the previous request"
        # (developer.paypal.com/reference/guidelines/idempotency).
        self.keys: dict[tuple[str, str], tuple[str, dt.datetime]] = {}
        self.used_models: set[str] = set()

    def execute(self, request: PayPalRequest) -> PayPalResponse:
        if request.path.startswith("/v1/notifications/certs/"):
            certificate = self._read_certificate(request.path)
            return PayPalResponse(404 if certificate is None else 200, certificate)
        try:
            if request.path.startswith("/v1/notifications/webhooks/"):
                return self._show_webhook(request)
            operation = find_operation(request.method, request.path)
            return self._execute(operation, request)
        except ErrorResponse as error:
            require_valid(ERROR, error.body)
            return PayPalResponse(error.status, error.body)

    def _execute(self, operation: PublishedOperation, request: PayPalRequest) -> PayPalResponse:
        self._require_published_parameters(operation, request)
        if operation.template == "/v1/oauth2/token":
            return self._issue_token(operation, request)
        self._authenticate(request)
        body = self._read_body(operation, request)
        status, answer = self._run(operation, request, body)
        if answer is None:
            return PayPalResponse(status)
        require_valid(operation.answer, answer)
        self.used_models.add(operation.answer)
        if (
            request.headers.get("prefer", "return=minimal") != "return=representation"
            and request.method == "POST"
        ):
            answer = {name: answer[name] for name in MINIMAL if name in answer}
        return PayPalResponse(status, deepcopy(answer))

    def _require_published_parameters(self, operation: PublishedOperation, request: PayPalRequest) -> None:
        unknown = set(request.headers) - operation.headers - _HTTP_HEADERS
        unknown |= set(request.query) - operation.query
        if unknown:
            raise NotPublished(f"{operation} has no {sorted(unknown)}")

    def _read_body(self, operation: PublishedOperation, request: PayPalRequest) -> JsonObject:
        if request.method == "GET":
            return {}
        if request.headers.get("content-type") != "application/json":
            raise NotPublished(f"{operation}: PayPal answers 415 without Content-Type: application/json")
        body: JsonObject = json.loads(request.body or b"{}")
        if operation.body and (faults := find_faults(operation.body, body)):
            raise NotPublished(f"{operation}:\n" + "\n".join(faults))
        if not operation.body and body:
            raise NotPublished(f"{operation} has no body")
        require_lengths(body)
        return body

    # --- Authentication ----------------------------------------------------------------------------------------------

    def _issue_token(self, operation: PublishedOperation, request: PayPalRequest) -> PayPalResponse:
        if dict(urllib.parse.parse_qsl(request.body.decode())) != {"grant_type": "client_credentials"}:
            raise NotPublished("grant_type is not client_credentials")
        basic = base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode()
        client_id, _, secret = basic.partition(":")
        if self.credentials.get(client_id) != secret:
            # The errors of OAuth 2.0 (RFC 6749, 5.2) have a shape of their own.
            error = {"error": "invalid_client", "error_description": "Client Authentication failed"}
            return PayPalResponse(401, error)
        token = secrets.token_urlsafe(40)
        self.tokens[token] = self.account.now() + dt.timedelta(seconds=TOKEN_SECONDS)
        answer = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": TOKEN_SECONDS,
            "scope": "https://uri.paypal.com/services/checkout/one-click-with-merchant-issued-token",
        }
        require_valid(operation.answer, answer)
        return PayPalResponse(200, answer)

    def _authenticate(self, request: PayPalRequest) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if (
            scheme != "Bearer"
            or self.tokens.get(token, dt.datetime.min.replace(tzinfo=dt.UTC)) < self.account.now()
        ):
            raise ErrorResponse(401)

    # --- Operations --------------------------------------------------------------------------------------------------

    def _run(
        self, operation: PublishedOperation, request: PayPalRequest, body: JsonObject
    ) -> tuple[int, JsonObject | None]:
        parts = request.path.strip("/").split("/")
        account = self.account
        match request.method, parts[2], parts[3:]:
            case "POST", "orders", []:
                return self._once(request, ORDER_KEYS, account.orders.get, lambda: account.create_order(body))
            case "GET", "orders", [order_id]:
                return 200, account.get_order(order_id)
            case "POST", "orders", [order_id, "capture"]:
                return self._once(
                    request, ORDER_KEYS, account.get_order, lambda: account.capture_order(order_id)
                )
            case "POST", "orders", [order_id, "authorize"]:
                return self._once(
                    request, ORDER_KEYS, account.get_order, lambda: account.authorize_order(order_id)
                )
            case "GET", "authorizations", [authorization_id]:
                return 200, account.get_authorization(authorization_id)
            case "POST", "authorizations", [authorization_id, "capture"]:
                return self._once(
                    request,
                    PAYMENT_KEYS,
                    account.get_capture,
                    lambda: account.capture_authorization(authorization_id, body),
                )
            case "POST", "authorizations", [authorization_id, "void"]:
                _status, voided = self._once(
                    request, PAYMENT_KEYS, account.get_authorization, lambda: account.void(authorization_id)
                )
                is_whole = request.headers.get("prefer") == "return=representation"
                return (200, voided) if is_whole else (204, None)
            case "GET", "captures", [capture_id]:
                return 200, account.get_capture(capture_id)
            case "POST", "captures", [capture_id, "refund"]:
                return self._once(
                    request, PAYMENT_KEYS, account.get_refund, lambda: account.refund(capture_id, body)
                )
            case "GET", "refunds", [refund_id]:
                return 200, account.get_refund(refund_id)
            case "GET", "transactions", []:
                return 200, search_transactions(account, request.query)
        raise NotPublished(f"{operation} is not in the fake")

    def _once(
        self,
        request: PayPalRequest,
        kept_for: dt.timedelta,
        find: Callable[[str], JsonObject | None],
        make: Callable[[], JsonObject],
    ) -> tuple[int, JsonObject]:
        """Makes an object once for each key. A refusal made nothing, so that its repetition is executed again."""
        key = request.headers.get("paypal-request-id", "")
        if len(key) > 108:
            raise ErrorResponse(400, "INVALID_STRING_LENGTH", "PayPal-Request-Id")
        name, now = (request.path, key), self.account.now()
        if key and name in self.keys and now - self.keys[name][1] < kept_for:
            known = find(self.keys[name][0])
            assert known is not None
            return 200, known
        made = make()
        if key:
            self.keys[name] = (made["id"], now)
        return 201, made

    def _show_webhook(self, request: PayPalRequest) -> PayPalResponse:
        """developer.paypal.com/docs/api/webhooks/v1, "Show webhook details"; the SDK has no webhooks."""
        self._authenticate(request)
        webhook_id = request.path.rpartition("/")[2]
        if webhook_id not in self.webhook_ids:
            raise not_found()
        events = [{"name": "*", "description": "ALL"}]
        return PayPalResponse(
            200, {"id": webhook_id, "url": "https://pay.example/webhooks/paypal", "event_types": events}
        )


# The lengths of the reference, which the SDK's models do not have.
_LENGTHS = {"custom_id": 127, "invoice_id": 127, "description": 127, "note_to_payer": 255, "value": 32}
_URL = re.compile(r"https?://\S{1,4000}")


def require_lengths(value: Any) -> None:
    if isinstance(value, list):
        for each in value:
            require_lengths(each)
    elif isinstance(value, dict):
        for name, each in value.items():
            if isinstance(each, str) and not 1 <= len(each) <= _LENGTHS.get(name, 4000):
                raise ErrorResponse(400, "INVALID_STRING_LENGTH", name)
            if name.endswith("_url") and not _URL.fullmatch(each):
                raise ErrorResponse(400, "INVALID_PARAMETER_SYNTAX", name)
            require_lengths(each)
