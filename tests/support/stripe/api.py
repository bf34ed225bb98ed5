"""Stripe's endpoints. Each request and each response is validated against the published specification."""

import json
import re
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any

from channels.stripe.metadata import PAYMENT_NO
from tests.support.stripe import disputes, intents, parameters, refunds, sessions, specification
from tests.support.stripe.account import StripeAccount
from tests.support.stripe.idempotency_keys import IdempotencyKeys
from tests.support.stripe.messages import ErrorResponse, InvalidParameter, StripeRequest, StripeResponse
from tests.support.stripe.specification import JsonObject, PublishedOperation

SECRET_KEY_PREFIX = "sk_test_"  # docs.stripe.com/keys
SEARCH_LAG_SECONDS = 60  # docs.stripe.com/search#data-freshness
MAX_PAGE = 100  # docs.stripe.com/api/pagination


class FakeStripeApi:
    def __init__(self, account: StripeAccount) -> None:
        self.account = account
        self.keys = IdempotencyKeys(account.now)
        # The operations that were used, with their parameters.
        self.used: list[tuple[PublishedOperation, JsonObject]] = []
        # The API versions of the requests.
        self.versions: set[str] = set()

    def execute(
        self, request: StripeRequest, *, fails_after: bool = False, hold: Callable[[], Any] | None = None
    ) -> StripeResponse:
        """`fails_after`: answers 500 after the execution. `hold` is called before the execution, while the key runs."""
        sessions.expire_due_sessions(self.account)
        self.versions.add(request.version)
        operation = specification.find_operation(request.method, request.path)
        try:
            if operation is None:
                raise ErrorResponse(404, f"Unrecognized request URL ({request}).", is_kept=False)
            if not request.authorization.startswith(f"Bearer {SECRET_KEY_PREFIX}"):
                raise ErrorResponse(401, "Invalid API Key provided: sk_****fake", is_kept=False)
            stored = self.keys.start_request(request)
        except ErrorResponse as error:
            return error.as_response()
        if stored is not None:
            return stored
        if hold is not None:
            hold()
        response = self._execute_operation(operation, request)
        if fails_after and response.status == 200:
            response = _build_500()
        self.keys.finish_request(request, response)
        return response

    def fail_before_execution(self, request: StripeRequest) -> StripeResponse:
        """Answers 500 without an execution; the key stores that too (docs.stripe.com/api/idempotent_requests)."""
        try:
            stored = self.keys.start_request(request)
        except ErrorResponse as error:
            return error.as_response()
        if stored is not None:
            return stored
        response = _build_500()
        self.keys.finish_request(request, response)
        return response

    def _execute_operation(self, operation: PublishedOperation, request: StripeRequest) -> StripeResponse:
        try:
            params = parameters.read_parameters(operation, request.params)
            self.used.append((operation, params))
            body = self._handle(operation, request.path, params)
        except ErrorResponse as error:
            specification.require_valid_response(operation, error.status, error.body, [])
            return error.as_response()
        specification.require_valid_response(operation, 200, body, params.get("expand", []))
        return StripeResponse(200, body)

    def _handle(self, operation: PublishedOperation, path: str, params: JsonObject) -> JsonObject:
        account, parts = self.account, path.split("/")
        found: JsonObject
        match str(operation):
            case "POST /v1/checkout/sessions":
                found = sessions.create_session(account, params)
            case "GET /v1/checkout/sessions/{session}":
                found = account.get_session(parts[4])
            case "POST /v1/checkout/sessions/{session}/expire":
                found = sessions.expire_session(account, parts[4])
            case "POST /v1/payment_intents":
                found = intents.create_intent(account, params)
            case "GET /v1/payment_intents/{intent}":
                found = account.get_intent(parts[3])
            case "POST /v1/payment_intents/{intent}/capture":
                found = intents.capture_intent(account, parts[3], params)
            case "POST /v1/payment_intents/{intent}/increment_authorization":
                found = intents.increment_authorization(account, parts[3], params)
            case "POST /v1/payment_intents/{intent}/cancel":
                found = intents.cancel_intent(account, parts[3], params)
            case "POST /v1/refunds":
                found = refunds.create_refund(account, params)
            case "GET /v1/refunds/{refund}":
                found = account.get_refund(parts[3])
            case "POST /v1/files":
                found = disputes.create_file(account, params)
            case "GET /v1/disputes/{dispute}":
                found = account.get_dispute(parts[3])
            case "POST /v1/disputes/{dispute}":
                found = disputes.update_dispute(account, parts[3], params)
            case "POST /v1/disputes/{dispute}/close":
                found = disputes.close_dispute(account, parts[3])
            case "GET /v1/charges/{charge}" if parts[3] in account.charges:
                found = account.charges[parts[3]]
            case "GET /v1/balance":
                money = [{"amount": 0, "currency": "usd", "source_types": {"card": 0}}]
                found = {"object": "balance", "available": money, "pending": money, "livemode": False}
            case "GET /v1/account":
                found = {"object": "account", "id": account.number, "charges_enabled": account.can_charge}
            case "GET /v1/payment_intents/search":
                return self._search(params)
            case _ if operation.template in self._listed_objects():
                return self._build_page(self._listed_objects()[operation.template], path, params)
            case _:
                raise ErrorResponse(404, f"No such object: {path}", code="resource_missing", is_kept=False)
        return self._expand(found, params.get("expand", []))

    def _listed_objects(self) -> dict[str, Iterable[JsonObject]]:
        account = self.account
        return {
            "/v1/checkout/sessions": account.sessions.values(),
            "/v1/payment_intents": account.intents.values(),
            "/v1/refunds": account.refunds.values(),
            "/v1/disputes": account.disputes.values(),
            "/v1/webhook_endpoints": account.endpoints.values(),
        }

    def _expand(self, shape: JsonObject, expand: list[str]) -> JsonObject:
        found = deepcopy(shape)
        for name in expand:
            kinds = specification.get_schema(shape["object"]).get("x-expandableFields", [])
            if name not in kinds:
                raise InvalidParameter(f"This property cannot be expanded ({name}).", param="expand")
            if isinstance(found.get(name), str):
                found[name] = deepcopy(self._get_object(found[name]))
        return found

    def _get_object(self, object_id: str) -> JsonObject:
        account = self.account
        known: JsonObject = {**account.intents, **account.charges, **account.refunds}
        shape: JsonObject = known[object_id]
        return shape

    def _build_page(self, shapes: Iterable[JsonObject], path: str, params: JsonObject) -> JsonObject:
        limit = params.get("limit", 10)
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidParameter("Invalid limit.", code="parameter_invalid_integer", param="limit")
        exact = {
            name: value
            for name, value in params.items()
            if name not in ("created", "limit", "expand", "starting_after")
        }
        found = [
            shape
            for shape in reversed(list(shapes))
            if _is_created_within(shape["created"], params.get("created", {}))
            and all(shape[name] == value for name, value in exact.items())
        ]
        ids = [shape["id"] for shape in found]
        first = ids.index(params["starting_after"]) + 1 if "starting_after" in params else 0
        expand = [name.removeprefix("data.") for name in params.get("expand", [])]
        page = [self._expand(shape, expand) for shape in found[first : first + limit]]
        return {"object": "list", "data": page, "has_more": first + limit < len(found), "url": path}

    def _search(self, params: JsonObject) -> JsonObject:
        """The search lags by up to a minute and is not offered everywhere (docs.stripe.com/search)."""
        account = self.account
        if not account.has_search:
            raise InvalidParameter("Search is not available in your region.")
        wanted = re.fullmatch(rf"metadata\['{PAYMENT_NO}'\]:'(.*)'", params["query"])
        assert wanted, params["query"]
        newest = account.now() - (SEARCH_LAG_SECONDS if account.search_lags else 0)
        found = [
            deepcopy(shape)
            for shape in account.intents.values()
            if shape["created"] <= newest and shape["metadata"].get(PAYMENT_NO) == wanted[1]
        ]
        page = {"data": found[: params.get("limit", 10)], "has_more": False, "next_page": None}
        return {"object": "search_result", "url": "/v1/payment_intents/search", **page}


def _build_500() -> StripeResponse:
    return StripeResponse(500, {"error": {"type": "api_error", "message": "An unknown error occurred"}})


def _is_created_within(created: int, bounds: int | dict[str, int]) -> bool:
    if isinstance(bounds, int):
        return created == bounds
    compares = {"gte": int.__ge__, "gt": int.__gt__, "lte": int.__le__, "lt": int.__lt__}
    return all(compares[name](created, bound) for name, bound in bounds.items())


def encode_json(body: JsonObject) -> bytes:
    return json.dumps(body).encode()
