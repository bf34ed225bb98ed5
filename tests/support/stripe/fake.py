"""Stripe as the SDK meets it: a server whose every request and answer is checked against what Stripe publishes.

    fake.plan(Fault.LOSE_ANSWER, "POST /v1/checkout/sessions")     # once, for the next such request
    fake.pay(session_id); fake.effects("PAY-1")
    fake.pass_time(3600)                                           # Stripe's clock, not ours

What Stripe does is in `account`, `sessions`, `intents`, `refunds` and `keys`; what it publishes is in `spec`.
"""

import enum
import re
import sys
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from channels.stripe.metadata import PAYMENT_NO
from tests.support.stripe import intents, refunds, sessions
from tests.support.stripe.account import Account
from tests.support.stripe.api import Api, as_bytes
from tests.support.stripe.intents import CHALLENGED_CARD, DECLINED_CARD, SLOW_DEBIT, VISA
from tests.support.stripe.keys import Answer
from tests.support.stripe.requests import Refusal, Request, tree
from tests.support.stripe.spec import Shape

__all__ = ["CHALLENGED_CARD", "DECLINED_CARD", "SLOW_DEBIT", "VISA", "FakeStripe", "Fault", "fake_stripe"]


class Fault(enum.Enum):
    """What the line or Stripe does to one request."""

    LOSE_REQUEST = "nothing happens, and no answer comes"
    LOSE_ANSWER = "it happens, and no answer comes"
    REPEAT = "it arrives twice"
    KEEP_BACK = "no answer comes; it arrives when the test says so"
    UNAVAILABLE = "503 before Stripe reads it: nothing happened, and no key remembers it"
    FAIL_BEFORE = "500, and nothing happened; its key keeps the 500"
    FAIL_AFTER = "500, and it happened; its key keeps the 500"
    BUSY = "429"
    LOCKED = "429 lock_timeout: the object is being worked on"
    REFUSE_KEY = "401"


class FakeStripe:
    def __init__(self) -> None:
        self.url = ""
        self.account = Account()
        self.api = Api(self.account)
        self.faults: list[tuple[Fault, str]] = []
        self.kept_back: list[Request] = []
        self.befores: list[tuple[str, Callable[[], object]]] = []
        self.seen: list[str] = []
        self.broken: list[BaseException] = []  # what went wrong in the fake itself: never expected
        # While set, requests under a key wait in the middle of their work.
        self.holding: threading.Event | None = None
        self._lock = threading.RLock()

    def reset(self) -> None:
        """Nothing planned, nothing seen; what exists goes on existing."""
        for forgotten in (
            self.faults,
            self.kept_back,
            self.befores,
            self.seen,
            self.broken,
            self.account.events,
            self.api.used,
        ):
            forgotten.clear()
        self.account.search_lags, self.account.has_search = True, True
        self.account.refund_status, self.holding = "succeeded", None
        self.account.ahead_seconds = 0.0
        self.account.endpoints.clear()

    # --- What tests see and do -------------------------------------------------------------------------------------

    @property
    def sessions(self) -> dict[str, Shape]:
        return self.account.sessions

    @property
    def intents(self) -> dict[str, Shape]:
        return self.account.intents

    @property
    def refunds(self) -> dict[str, Shape]:
        return self.account.refunds

    @property
    def refund_status(self) -> str:
        """Of new refunds."""
        return self.account.refund_status

    @refund_status.setter
    def refund_status(self, status: str) -> None:
        self.account.refund_status = status

    def intent(self, intent_id: str) -> Shape:
        return self.account.intents[intent_id]

    def plan(self, fault: Fault, request: str) -> Self:
        self.faults.append((fault, request))
        return self

    def before(self, request: str, happens: Callable[[], object]) -> None:
        """What happens at Stripe between our previous request and the next one of this kind."""
        self.befores.append((request, happens))

    def deliver_late(self) -> None:
        for request in self.kept_back:
            self.answer(request)
        self.kept_back.clear()

    def pass_time(self, seconds: float) -> None:
        """By Stripe's clock: sessions expire, keys are forgotten, the search catches up."""
        with self._lock:
            self.account.ahead_seconds += seconds
            sessions.expire_due(self.account)

    def take_events(self) -> list[Shape]:
        """What Stripe would send by now, in its order."""
        with self._lock:
            taken = list(self.account.events)
            self.account.events.clear()
        return taken

    def pay(self, session_id: str, card: str = VISA) -> bool:
        """The customer pays on Stripe's page. False when the card is declined: the page stays open."""
        with self._lock:
            return sessions.pay(self.account, session_id, card)

    def decide(self, session_id: str, *, is_paid: bool) -> None:
        """The bank decides on what the customer has submitted with `SLOW_DEBIT`."""
        with self._lock:
            sessions.decide(self.account, session_id, is_paid=is_paid)

    def answer_challenge(self, intent_id: str, *, passed: bool) -> None:
        with self._lock:
            intents.answer_challenge(self.account, self.account.intents[intent_id], passed=passed)

    def refund_in_dashboard(self, intent_id: str, amount: int) -> Shape:
        """Staff of the merchant refund on Stripe's own pages: without our metadata."""
        with self._lock:
            return refunds.create(self.account, {"payment_intent": intent_id, "amount": amount})

    def complete_failed_refund(self, refund_id: str) -> Shape:
        """Stripe's engineers complete what a stored 500 had left undone (docs.stripe.com/error-low-level), although
        its successor `refund_id` has been made: the same again, labels included."""
        with self._lock:
            copied = {
                name: self.refunds[refund_id][name] for name in ("payment_intent", "amount", "metadata")
            }
            return refunds.create(self.account, copied)

    def settle_refund(self, refund_id: str, status: str, **fields: Any) -> Shape:
        with self._lock:
            return refunds.settle(self.account, refund_id, status, **fields)

    def dispute(self, intent_id: str, **fields: Any) -> Shape:
        with self._lock:
            return refunds.dispute(self.account, intent_id, **fields)

    def add_endpoint(
        self, url: str, events: list[str], *, version: str | None, status: str = "enabled"
    ) -> None:
        """Staff create a webhook endpoint in Stripe's dashboard."""
        made = self.account.made(
            "webhook_endpoint",
            "we",
            api_version=version,
            enabled_events=events,
            livemode=False,
            metadata={},
            status=status,
            url=url,
        )
        self.account.endpoints[made["id"]] = made

    def effects(self, payment_no: str) -> tuple[int, int]:
        """Money taken and given back for a payment of ours, over everything that exists."""
        ours = [i for i in self.intents.values() if i["metadata"].get(PAYMENT_NO) == payment_no]
        charges = [self.account.charges[i["latest_charge"]] for i in ours if i["latest_charge"]]
        return sum(i["amount_received"] for i in ours), sum(c["amount_refunded"] for c in charges)

    # --- What the server does --------------------------------------------------------------------------------------

    def fault_for(self, request: Request) -> Fault | None:
        for planned in self.faults:
            if re.fullmatch(planned[1], str(request)):
                self.faults.remove(planned)
                return planned[0]
        return None

    def answer(self, request: Request, *, breaks: bool = False, fails: bool = False) -> Answer:
        hold = self.holding.wait if self.holding is not None and request.key else None
        if hold is not None:
            return self.api.answer(request, hold=hold)
        with self._lock:
            self.seen.append(str(request))
            for planned in [each for each in self.befores if re.fullmatch(each[0], str(request))]:
                self.befores.remove(planned)
                planned[1]()
            return self.api.broken(request) if fails else self.api.answer(request, breaks=breaks)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Otherwise the kernel waits for more before it sends the little there is.
    wbufsize = -1
    disable_nagle_algorithm = True
    fake: FakeStripe

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, *_arguments: object) -> None:
        """Silence: tests ask `fake.seen`."""

    def _serve(self) -> None:
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        pairs = urllib.parse.parse_qsl(query, keep_blank_values=True)
        pairs += urllib.parse.parse_qsl(body, keep_blank_values=True)
        key, authorization = self.headers.get("Idempotency-Key"), self.headers.get("Authorization", "")
        version = self.headers.get("Stripe-Version", "")
        self._play(Request(self.command, path, tree(pairs), key, authorization, version))

    def _play(self, request: Request) -> None:
        match self.fake.fault_for(request):
            case Fault.LOSE_REQUEST:
                self._hang_up()
            case Fault.LOSE_ANSWER:
                self.fake.answer(request)
                self._hang_up()
            case Fault.KEEP_BACK:
                self.fake.kept_back.append(request)
                self._hang_up()
            case Fault.REPEAT:
                self.fake.answer(request)
                self._send(self.fake.answer(request))
            case Fault.UNAVAILABLE:
                self._send(Answer(503, {"error": {"type": "api_error", "message": "Unavailable"}}))
            case Fault.FAIL_BEFORE:
                self._send(self.fake.answer(request, fails=True))
            case Fault.FAIL_AFTER:
                self._send(self.fake.answer(request, breaks=True))
            case Fault.BUSY:
                self._refuse(Refusal(429, "Too many requests", code="rate_limit"), {"Retry-After": "2"})
            case Fault.LOCKED:
                self._refuse(Refusal(429, "Locked", code="lock_timeout"))
            case Fault.REFUSE_KEY:
                self._refuse(Refusal(401, "Expired API Key provided", code="api_key_expired"))
            case None:
                self._send(self.fake.answer(request))

    def _refuse(self, refusal: Refusal, headers: dict[str, str] | None = None) -> None:
        self._send(Answer(refusal.status, refusal.body, headers or {}))

    def _send(self, answer: Answer) -> None:
        content = as_bytes(answer.body)
        self.send_response(answer.status)
        common = {"Content-Length": str(len(content)), "Request-Id": "req_fake"}
        for name, value in {**common, **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, fake: FakeStripe) -> None:
        super().__init__(("127.0.0.1", 0), type("Handler", (_Handler,), {"fake": fake}))
        self._fake = fake

    def handle_error(self, *_request: object) -> None:
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, ConnectionError):
            self._fake.broken.append(error)


@contextmanager
def fake_stripe() -> Iterator[FakeStripe]:
    fake = FakeStripe()
    server = _Server(fake)
    fake.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
