"""Idempotency keys (docs.stripe.com/api/idempotent_requests).

The response to the first request, also a 500, is returned to all requests with the same key, for 24 hours. An error
that came before the execution began is not stored.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.support.stripe.messages import ErrorResponse, InvalidParameter, StripeRequest, StripeResponse
from tests.support.stripe.specification import JsonObject

LIFETIME_SECONDS, MAX_LENGTH = 24 * 3600, 255
REPLAYED = {"Idempotent-Replayed": "true"}


@dataclass(frozen=True, slots=True)
class _StoredResponse:
    request: tuple[str, JsonObject]  # path and parameters
    response: StripeResponse
    stored_at: int


@dataclass
class IdempotencyKeys:
    now: Callable[[], int]
    stored: dict[str, _StoredResponse] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)

    def start_request(self, request: StripeRequest) -> StripeResponse | None:
        """Returns the stored response of the request's key; None when the request is to be executed.

        Raises `ErrorResponse` for a request with other parameters, and while another request with the key is running.
        """
        key = request.key
        if key is None or request.method != "POST":
            return None
        if len(key) > MAX_LENGTH:
            raise InvalidParameter("Idempotency keys have up to 255 characters.")
        if key in self.running:
            message = "There is currently another in-progress request using this Idempotent Key."
            raise ErrorResponse(
                409, message, code="idempotency_key_in_use", kind="idempotency_error", is_kept=False
            )
        stored = self.stored.get(key)
        if stored is None or stored.stored_at + LIFETIME_SECONDS <= self.now():
            self.running.add(key)
            return None
        if stored.request != (request.path, request.params):
            message = "Keys for idempotent requests can only be used with the same parameters and endpoint."
            raise ErrorResponse(400, message, kind="idempotency_error", is_kept=False)
        response = stored.response
        return StripeResponse(response.status, response.body, {**response.headers, **REPLAYED})

    def finish_request(self, request: StripeRequest, response: StripeResponse) -> None:
        if request.key is None or request.method != "POST":
            return
        self.running.discard(request.key)
        self.stored.pop(request.key, None)
        if response.is_kept:
            requested = (request.path, request.params)
            self.stored[request.key] = _StoredResponse(requested, response, self.now())
