"""Stripe for tests: a server that the real SDK calls, and the actions of Stripe's other users.

    fake.plan_fault(Fault.LOSE_ANSWER, "POST /v1/checkout/sessions")   # once, for the next such request
    fake.pay_session(session_id)
    fake.get_amounts("PAY-1")                                          # captured, refunded
    fake.advance_clock(3600)                                           # Stripe's clock, not ours

| module | what it holds |
| --- | --- |
| `server` | the HTTP server, and the faults of network and servers |
| `api` | the endpoints |
| `account`, `sessions`, `intents`, `refunds` | the objects of an account, and their rules |
| `application_fees` | what the platform takes of the payments of connected accounts |
| `idempotency_keys`, `amounts`, `parameters` | rules for every request |
| `specification` | Stripe's published OpenAPI text: every request and every answer is validated against it |
| `events` | sending webhooks |

An account that is connected to the platform's has objects and idempotency keys of its own; a request names it in the
header Stripe-Account (docs.stripe.com/connect/authentication).

Each rule that the specification cannot express names the page of Stripe's documentation that states it.
"""

import enum
import re
import threading
from collections.abc import Callable
from typing import Any, Self

from tests.support.stripe import disputes, intents, refunds, sessions
from tests.support.stripe.account import APPLICATION, StripeAccount, build_event
from tests.support.stripe.api import FakeStripeApi
from tests.support.stripe.intents import (
    CHALLENGED_CARD,
    DECLINED_CARD,
    INCREMENTAL_CARD,
    SLOW_DEBIT,
    VISA,
    VOUCHER,
)
from tests.support.stripe.messages import ErrorResponse, StripeRequest, StripeResponse
from tests.support.stripe.specification import JsonObject

__all__ = [
    "CHALLENGED_CARD",
    "DECLINED_CARD",
    "INCREMENTAL_CARD",
    "SLOW_DEBIT",
    "VISA",
    "VOUCHER",
    "FakeStripe",
    "Fault",
]


class Fault(enum.Enum):
    """What happens to one request (docs.stripe.com/error-low-level, docs.stripe.com/rate-limits)."""

    LOSE_REQUEST = "the request is lost; no answer"
    LOSE_ANSWER = "the request is executed; no answer"
    REPEAT = "the request arrives twice"
    DELAY = "no answer; the request arrives at `deliver_delayed_requests`"
    UNAVAILABLE = "503 before Stripe reads the request; no key stores it"
    FAIL_BEFORE = "500, not executed; the key stores the 500"
    FAIL_AFTER = "500, executed; the key stores the 500"
    RATE_LIMITED = "429"
    LOCKED = "429 lock_timeout: another request works on the object"
    EXPIRED_API_KEY = "401"


class FakeStripe:
    def __init__(self) -> None:
        self.url = ""
        self.account = StripeAccount()
        self.api = FakeStripeApi(self.account)
        self.connected: dict[str, FakeStripeApi] = {}
        self.faults: list[tuple[Fault, str]] = []
        self.delayed_requests: list[StripeRequest] = []
        self.actions_before: list[tuple[str, Callable[[], object]]] = []
        self.requests_seen: list[str] = []
        self.errors: list[BaseException] = []  # exceptions in the fake itself: never expected
        # While set, requests with a key wait in the middle of their execution.
        self.holding: threading.Event | None = None
        self._lock = threading.RLock()

    def reset(self) -> None:
        """Forgets faults, requests and events. Objects remain."""
        for recorded in (
            self.faults,
            self.delayed_requests,
            self.actions_before,
            self.requests_seen,
            self.errors,
            self.account.events,
            self.api.used,
        ):
            recorded.clear()
        self.account.search_lags, self.account.has_search = True, True
        self.account.refund_status, self.holding = "succeeded", None
        self.account.ahead_seconds, self.account.declines_increments = 0.0, False
        self.account.endpoints.clear()
        self.connected.clear()

    # --- Connected accounts ----------------------------------------------------------------------------------------

    def connect_account(self, number: str) -> StripeAccount:
        """The owner of a Stripe account connects it to the platform's."""
        account = StripeAccount(number, APPLICATION)
        self.connected[number] = FakeStripeApi(account)
        return account

    def disconnect_account(self, number: str) -> JsonObject:
        """The owner ends the access of the platform. Returns the event, which names the application and the account
        (docs.stripe.com/connect/webhooks, docs.stripe.com/api/events/types)."""
        del self.connected[number]
        application = {"object": "application", "id": APPLICATION, "name": "Payment platform"}
        return build_event("account.application.deauthorized", application, account=number)

    def get_connected(self, number: str) -> StripeAccount:
        return self.connected[number].account

    def _accounts(self) -> list[StripeAccount]:
        return [self.account, *(api.account for api in self.connected.values())]

    def _find_owner(self, object_id: str) -> StripeAccount:
        """The account that has this session, intent or refund."""
        return next(
            each
            for each in self._accounts()
            if object_id in each.sessions or object_id in each.intents or object_id in each.refunds
        )

    def _find_api(self, request: StripeRequest) -> FakeStripeApi:
        """Raises `ErrorResponse` (403) for an account to which the platform has no access, or which does not exist
        (docs.stripe.com/error-codes#account-invalid)."""
        if request.account in ("", self.account.number):
            return self.api
        if request.account not in self.connected:
            message = (
                f"The provided key 'sk_test_***fake' does not have access to account '{request.account}' (or that "
                "account does not exist). Application access may have been revoked."
            )
            raise ErrorResponse(403, message, code="account_invalid", is_kept=False)
        return self.connected[request.account]

    # --- Reading Stripe's objects ----------------------------------------------------------------------------------

    @property
    def sessions(self) -> dict[str, JsonObject]:
        return self.account.sessions

    @property
    def intents(self) -> dict[str, JsonObject]:
        return self.account.intents

    @property
    def refunds(self) -> dict[str, JsonObject]:
        return self.account.refunds

    @property
    def refund_status(self) -> str:
        """The status of new refunds."""
        return self.account.refund_status

    @refund_status.setter
    def refund_status(self, status: str) -> None:
        self.account.refund_status = status

    def get_intent(self, intent_id: str) -> JsonObject:
        return self._find_owner(intent_id).intents[intent_id]

    def get_amounts(self, payment_no: str) -> tuple[int, int]:
        """Returns what was captured and refunded for a payment of ours, over all its PaymentIntents and accounts."""
        amounts = [each.get_amounts(payment_no) for each in self._accounts()]
        return sum(captured for captured, _ in amounts), sum(refunded for _, refunded in amounts)

    def take_events(self) -> list[JsonObject]:
        """Returns the events that Stripe would have sent by now, in the order of each account."""
        with self._lock:
            events = [event for each in self._accounts() for event in each.events]
            for each in self._accounts():
                each.events.clear()
        return events

    # --- Planning faults -------------------------------------------------------------------------------------------

    def plan_fault(self, fault: Fault, request: str) -> Self:
        """Plans a fault for the next request that matches the pattern, for example `POST /v1/refunds`."""
        self.faults.append((fault, request))
        return self

    def run_before(self, request: str, action: Callable[[], object]) -> None:
        """Runs the action at Stripe before the next request that matches the pattern."""
        self.actions_before.append((request, action))

    def deliver_delayed_requests(self) -> None:
        for request in self.delayed_requests:
            self.execute(request)
        self.delayed_requests.clear()

    def advance_clock(self, seconds: float) -> None:
        """Advances Stripe's clock: sessions expire, keys are forgotten, the search catches up."""
        with self._lock:
            for each in self._accounts():
                each.ahead_seconds += seconds
                sessions.expire_due_sessions(each)

    # --- What customers, banks and staff do at Stripe --------------------------------------------------------------

    def pay_session(self, session_id: str, card: str = VISA) -> bool:
        """The customer pays on Stripe's page. Returns False when the card is declined: the page stays open."""
        with self._lock:
            return sessions.pay_session(self._find_owner(session_id), session_id, card)

    def decide_payment(self, session_id: str, *, is_paid: bool) -> None:
        """The bank decides a payment that was submitted with `SLOW_DEBIT`; a `VOUCHER` is paid or expires."""
        with self._lock:
            sessions.decide_payment(self._find_owner(session_id), session_id, is_paid=is_paid)

    def complete_3d_secure(self, intent_id: str, *, passed: bool) -> None:
        with self._lock:
            intents.complete_3d_secure(self._find_owner(intent_id), self.get_intent(intent_id), passed=passed)

    def expire_authorization(self, intent_id: str) -> None:
        """The time in which an authorization can be captured ends."""
        with self._lock:
            intents.expire_authorization(self._find_owner(intent_id), self.get_intent(intent_id))

    def refund_in_dashboard(self, intent_id: str, amount: int) -> JsonObject:
        """Staff of the merchant refund in Stripe's dashboard: without our metadata."""
        with self._lock:
            return refunds.create_refund(
                self._find_owner(intent_id), {"payment_intent": intent_id, "amount": amount}
            )

    def complete_failed_refund(self, refund_id: str) -> JsonObject:
        """Stripe completes the refund of a stored 500 later (docs.stripe.com/error-low-level), with the same metadata,
        although the refund `refund_id` was made with a new key meanwhile."""
        with self._lock:
            params = {
                name: self.refunds[refund_id][name] for name in ("payment_intent", "amount", "metadata")
            }
            return refunds.create_refund(self.account, params)

    def settle_refund(self, refund_id: str, status: str, **fields: Any) -> JsonObject:
        with self._lock:
            return refunds.settle_refund(self._find_owner(refund_id), refund_id, status, **fields)

    def open_dispute(self, intent_id: str, **fields: Any) -> JsonObject:
        with self._lock:
            return disputes.open_dispute(self._find_owner(intent_id), intent_id, **fields)

    def add_webhook_endpoint(
        self, url: str, events: list[str], *, version: str | None, status: str = "enabled"
    ) -> None:
        """Staff create a webhook endpoint in Stripe's dashboard."""
        endpoint = self.account.create_object(
            "webhook_endpoint",
            "we",
            api_version=version,
            enabled_events=events,
            livemode=False,
            metadata={},
            status=status,
            url=url,
        )
        self.account.endpoints[endpoint["id"]] = endpoint

    # --- For the server --------------------------------------------------------------------------------------------

    def take_fault(self, request: StripeRequest) -> Fault | None:
        for planned in self.faults:
            fault, pattern = planned
            if re.fullmatch(pattern, str(request)):
                self.faults.remove(planned)
                return fault
        return None

    def execute(
        self, request: StripeRequest, *, fails_before: bool = False, fails_after: bool = False
    ) -> StripeResponse:
        try:
            api = self._find_api(request)
        except ErrorResponse as error:
            return error.as_response()
        if self.holding is not None and request.key:
            return api.execute(request, hold=self.holding.wait)
        with self._lock:
            self.requests_seen.append(str(request))
            self._run_actions_before(request)
            if fails_before:
                return api.fail_before_execution(request)
            return api.execute(request, fails_after=fails_after)

    def _run_actions_before(self, request: StripeRequest) -> None:
        due = [planned for planned in self.actions_before if re.fullmatch(planned[0], str(request))]
        for planned in due:
            self.actions_before.remove(planned)
            _pattern, action = planned
            action()
