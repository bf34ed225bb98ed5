"""Stripe's endpoints: finds what a request means by the specification, does it, and proves its own answer valid."""

import json
import re
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any

from channels.stripe.metadata import PAYMENT_NO
from tests.support.stripe import intents, refunds, requests, sessions, spec
from tests.support.stripe.account import Account
from tests.support.stripe.keys import Answer, Keys
from tests.support.stripe.requests import Invalid, Refusal, Request
from tests.support.stripe.spec import Operation, Shape

SECRET_KEY = "sk_test_"
SEARCH_LAG_SECONDS = 60
MAX_PAGE = 100


class Api:
    def __init__(self, account: Account) -> None:
        self.account = account
        self.keys = Keys(account.now)
        # Every operation that was used, with the parameters that it was sent.
        self.used: list[tuple[Operation, Shape]] = []
        # Versions of the API that requests asked for.
        self.versions: set[str] = set()

    def answer(
        self, request: Request, *, breaks: bool = False, hold: Callable[[], Any] | None = None
    ) -> Answer:
        """`breaks`: Stripe answers 500 although it did the work. `hold` is called while the work goes on."""
        sessions.expire_due(self.account)
        self.versions.add(request.version)
        operation = spec.operation_of(request.method, request.path)
        try:
            if operation is None:
                raise Refusal(404, f"Unrecognized request URL ({request}).", is_kept=False)
            if not request.authorization.startswith(f"Bearer {SECRET_KEY}"):
                raise Refusal(401, "Invalid API Key provided: sk_****fake", is_kept=False)
            kept = self.keys.begin(request)
        except Refusal as refusal:
            return Answer(refusal.status, refusal.body)
        if kept is not None:
            return kept
        if hold is not None:
            hold()
        answer = self._done(operation, request, breaks)
        self.keys.end(request, answer)
        return answer

    def broken(self, request: Request) -> Answer:
        """500 before anything happened; a key keeps that too."""
        try:
            kept = self.keys.begin(request)
        except Refusal as refusal:
            return Answer(refusal.status, refusal.body)
        answer = kept or _broken()
        if kept is None:
            self.keys.end(request, answer)
        return answer

    def _done(self, operation: Operation, request: Request, breaks: bool) -> Answer:
        try:
            params = requests.read(operation, request.params)
            self.used.append((operation, params))
            body = self._handle(operation, request.path, params)
        except Refusal as refusal:
            spec.require_answer(operation, refusal.status, refusal.body, [])
            return Answer(refusal.status, refusal.body, is_kept=refusal.is_kept)
        spec.require_answer(operation, 200, body, params.get("expand", []))
        return _broken() if breaks else Answer(200, body)

    def _handle(self, operation: Operation, path: str, params: Shape) -> Shape:
        account, parts = self.account, path.split("/")
        shown: Shape
        match str(operation):
            case "POST /v1/checkout/sessions":
                shown = sessions.create(account, params)
            case "GET /v1/checkout/sessions/{session}":
                shown = account.session(parts[4])
            case "POST /v1/checkout/sessions/{session}/expire":
                shown = sessions.expire(account, parts[4])
            case "POST /v1/payment_intents":
                shown = intents.create(account, params)
            case "GET /v1/payment_intents/{intent}":
                shown = account.intent(parts[3])
            case "POST /v1/payment_intents/{intent}/capture":
                shown = intents.capture(account, parts[3], params)
            case "POST /v1/payment_intents/{intent}/cancel":
                shown = intents.cancel(account, parts[3], params)
            case "POST /v1/refunds":
                shown = refunds.create(account, params)
            case "GET /v1/refunds/{refund}":
                shown = account.refund(parts[3])
            case "GET /v1/charges/{charge}" if parts[3] in account.charges:
                shown = account.charges[parts[3]]
            case "GET /v1/balance":
                money = [{"amount": 0, "currency": "usd", "source_types": {"card": 0}}]
                shown = {"object": "balance", "available": money, "pending": money, "livemode": False}
            case "GET /v1/payment_intents/search":
                return self._search(params)
            case _ if operation.template in self._lists():
                return self._page(self._lists()[operation.template], path, params)
            case _:
                raise Refusal(404, f"No such object: {path}", code="resource_missing", is_kept=False)
        return self._expanded(shown, params.get("expand", []))

    def _lists(self) -> dict[str, Iterable[Shape]]:
        account = self.account
        return {
            "/v1/checkout/sessions": account.sessions.values(),
            "/v1/payment_intents": account.intents.values(),
            "/v1/refunds": account.refunds.values(),
            "/v1/disputes": account.disputes.values(),
            "/v1/webhook_endpoints": account.endpoints.values(),
        }

    def _expanded(self, shape: Shape, expand: list[str]) -> Shape:
        shown = deepcopy(shape)
        for name in expand:
            kinds = spec.schema_of(shape["object"]).get("x-expandableFields", [])
            if name not in kinds:
                raise Invalid(f"This property cannot be expanded ({name}).", param="expand")
            if isinstance(shown.get(name), str):
                shown[name] = deepcopy(self._object(shown[name]))
        return shown

    def _object(self, object_id: str) -> Shape:
        account = self.account
        known: Shape = {**account.intents, **account.charges, **account.refunds}
        shape: Shape = known[object_id]
        return shape

    def _page(self, shapes: Iterable[Shape], path: str, params: Shape) -> Shape:
        limit = params.get("limit", 10)
        if not 1 <= limit <= MAX_PAGE:
            raise Invalid("Invalid limit.", code="parameter_invalid_integer", param="limit")
        exact = {
            name: value
            for name, value in params.items()
            if name not in ("created", "limit", "expand", "starting_after")
        }
        found = [
            shape
            for shape in reversed(list(shapes))
            if _within(shape["created"], params.get("created", {}))
            and all(shape[name] == value for name, value in exact.items())
        ]
        ids = [shape["id"] for shape in found]
        first = ids.index(params["starting_after"]) + 1 if "starting_after" in params else 0
        expand = [name.removeprefix("data.") for name in params.get("expand", [])]
        page = [self._expanded(shape, expand) for shape in found[first : first + limit]]
        return {"object": "list", "data": page, "has_more": first + limit < len(found), "url": path}

    def _search(self, params: Shape) -> Shape:
        """Behind by about a minute, and not offered everywhere (docs.stripe.com/search)."""
        account = self.account
        if not account.has_search:
            raise Invalid("Search is not available in your region.")
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


def _broken() -> Answer:
    return Answer(500, {"error": {"type": "api_error", "message": "An unknown error occurred"}})


def _within(created: int, bounds: int | dict[str, int]) -> bool:
    if isinstance(bounds, int):
        return created == bounds
    compares = {"gte": int.__ge__, "gt": int.__gt__, "lte": int.__le__, "lt": int.__lt__}
    return all(compares[name](created, bound) for name, bound in bounds.items())


def as_bytes(body: Shape) -> bytes:
    return json.dumps(body).encode()
