"""PayPal for tests: a server that the channel calls, and what payers, banks and staff do at PayPal.

    fake.plan_fault(Fault.LOSE_ANSWER, "POST /v2/checkout/orders")     # once, for the next such request
    fake.account.approve(order_id)
    fake.get_amounts("PAY-1")                                          # captured, refunded, in major units
    fake.advance_clock(6 * 3600)                                       # PayPal's clock, not ours

| module | what it holds |
| --- | --- |
| `server` | the HTTP server, and the faults of network and servers |
| `api` | authentication, idempotency, endpoints |
| `account` | the objects of an account, their rules and events |
| `disputes` | disputes, from the first message to the decision |
| `transactions` | what moved money: the transaction search |
| `values` | amounts, times, links |
| `signing` | webhooks and the certificate that verifies them |
| `specification` | PayPal's published API: every request and every answer is validated against it |

Each rule that the specification cannot express names the page of PayPal's documentation that states it.
"""

import datetime as dt
import enum
import re
import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Self

from channels.base import WebhookRequest
from tests.support.paypal.account import PayPalAccount
from tests.support.paypal.api import CLIENT_ID, CLIENT_SECRET, WEBHOOK_ID, FakePayPalApi
from tests.support.paypal.messages import PayPalRequest, PayPalResponse
from tests.support.paypal.signing import CERTIFICATE_PATH, build_certificate, build_event, build_webhook
from tests.support.paypal.transactions import read_amounts

__all__ = ["CLIENT_ID", "CLIENT_SECRET", "WEBHOOK_ID", "FakePayPal", "Fault"]


class Fault(enum.Enum):
    """What happens to one request (developer.paypal.com/api/rest/responses, .../reference/rate-limiting)."""

    LOSE_REQUEST = "the request is lost; no answer"
    LOSE_ANSWER = "the request is executed; no answer"
    DELAY = "no answer; the request arrives at `deliver_delayed_requests`"
    UNAVAILABLE = "503 before PayPal reads the request"
    FAIL_AFTER = "500, executed"
    RATE_LIMITED = "429"
    IN_PROGRESS = "409 PREVIOUS_REQUEST_IN_PROGRESS"
    EXPIRED_TOKEN = "401"
    GARBAGE = "200 with a page that is not JSON"
    NO_SUCH_PAGE = "404 with a page that is not JSON"


class FakePayPal:
    def __init__(self) -> None:
        self.url = ""
        self.account = PayPalAccount()
        self.api = FakePayPalApi(self.account, self._read_certificate)
        self.certificates: dict[str, bytes] = {CERTIFICATE_PATH: build_certificate()}
        self.faults: list[tuple[Fault, str]] = []
        self.delayed_requests: list[PayPalRequest] = []
        self.actions_before: list[tuple[str, Callable[[], object]]] = []
        self.requests_seen: list[str] = []
        self.errors: list[BaseException] = []  # exceptions in the fake itself, and what is not published
        self._lock = threading.RLock()

    def reset(self) -> None:
        """Forgets faults, requests and events, and sets the clock right. Objects remain."""
        for recorded in (
            self.faults,
            self.delayed_requests,
            self.actions_before,
            self.requests_seen,
            self.errors,
            self.account.events,
        ):
            recorded.clear()
        self.account.ahead = dt.timedelta()
        self.account.capture_status, self.account.refund_status = ("COMPLETED", ""), "COMPLETED"
        self.account.declines_instrument = False
        self.api.credentials, self.api.webhook_ids = {CLIENT_ID: CLIENT_SECRET}, {WEBHOOK_ID}
        self.certificates = {CERTIFICATE_PATH: build_certificate()}

    def get_amounts(self, reference: str) -> tuple[Decimal | int, Decimal | int]:
        with self._lock:
            return read_amounts(self.account, reference)

    def take_webhooks(self, webhook_id: str = WEBHOOK_ID) -> list[WebhookRequest]:
        """Returns the webhooks that PayPal would have sent by now, in its order."""
        with self._lock:
            events = list(self.account.events)
            self.account.events.clear()
        return [build_webhook(build_event(*event), self.url, webhook_id) for event in events]

    def refund_in_dashboard(self, capture_id: str, value: str) -> str:
        """Staff of the merchant refund on paypal.com: without our numbers. Returns the refund's id."""
        currency = self.account.captures[capture_id]["amount"]["currency_code"]
        amount = {"currency_code": currency, "value": value}
        refund_id: str = self.account.refund(capture_id, {"amount": amount})["id"]
        return refund_id

    def is_waiting_for_payer(self, order_id: str) -> bool:
        with self._lock:
            return self.account.is_waiting_for_payer(order_id)

    # --- Faults ------------------------------------------------------------------------------------------------------

    def plan_fault(self, fault: Fault, request: str) -> Self:
        """Plans a fault for the next request that matches the pattern, for example `POST /v2/checkout/orders`."""
        self.faults.append((fault, request))
        return self

    def run_before(self, request: str, action: Callable[[], object]) -> None:
        """Runs the action at PayPal before the next request that matches the pattern."""
        self.actions_before.append((request, action))

    def deliver_delayed_requests(self) -> None:
        for request in self.delayed_requests:
            self.execute(request)
        self.delayed_requests.clear()

    def advance_clock(self, seconds: float) -> None:
        """Advances PayPal's clock: orders lapse, keys and tokens are forgotten, the lists catch up."""
        with self._lock:
            self.account.ahead += dt.timedelta(seconds=seconds)

    # --- For the server ----------------------------------------------------------------------------------------------

    def take_fault(self, request: PayPalRequest) -> Fault | None:
        for planned in self.faults:
            fault, pattern = planned
            if re.fullmatch(pattern, str(request)):
                self.faults.remove(planned)
                return fault
        return None

    def execute(self, request: PayPalRequest) -> PayPalResponse:
        with self._lock:
            self.requests_seen.append(str(request))
            for planned in [each for each in self.actions_before if re.fullmatch(each[0], str(request))]:
                self.actions_before.remove(planned)
                planned[1]()
            return self.api.execute(request)

    def _read_certificate(self, path: str) -> bytes | None:
        return self.certificates.get(path)
