"""Stripe as the SDK meets it: a server in front of localstripe.

Payment intents and refunds are localstripe's. What it lacks is added here in Stripe's documented shapes: Checkout
Sessions, idempotency keys, lists by time, search (which lags), limits of refunds, and a line that loses things.

    fake.plan(Fault.LOSE_ANSWER, "POST /v1/checkout/sessions")     # once, for the next such request
    fake.pay(session_id); fake.effects("PAY-1")
"""

import enum
import itertools
import json
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Shape = dict[str, Any]
PAYMENT_NO = "payment_platform_payment_no"
VISA, DECLINED_CARD = "pm_card_visa", "pm_card_chargeCustomerFail"


class Fault(enum.Enum):
    """What the line or Stripe does to one request."""

    LOSE_REQUEST = "nothing happens, and no answer comes"
    LOSE_ANSWER = "it happens, and no answer comes"
    REPEAT = "it arrives twice"
    KEEP_BACK = "no answer comes; it arrives when the test says so"
    FAIL_BEFORE = "500, and nothing happened"
    FAIL_AFTER = "500, and it happened"
    BUSY = "429"
    REFUSE_KEY = "401"


class Refusal(Exception):
    def __init__(
        self, status: int, code: str, message: str = "no", kind: str = "invalid_request_error"
    ) -> None:
        super().__init__(message)
        self.status, self.body = status, {"error": {"type": kind, "code": code, "message": message}}


@dataclass
class Request:
    method: str
    path: str
    params: Shape
    key: str | None
    authorization: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass
class FakeStripe:
    backend: str
    url: str = ""
    sessions: dict[str, Shape] = field(default_factory=dict)
    intents: dict[str, Shape] = field(default_factory=dict)  # what localstripe does not keep of them
    refunds: dict[str, Shape] = field(default_factory=dict)
    answers: dict[str, tuple[Shape, int, Shape]] = field(default_factory=dict)
    faults: list[tuple[Fault, str]] = field(default_factory=list)
    kept_back: list[Request] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    search_lags: bool = True
    refund_status: str = "succeeded"  # of new refunds

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)

    def reset(self) -> None:
        """Nothing planned, nothing seen; what exists goes on existing."""
        for forgotten in (self.faults, self.kept_back, self.seen):
            forgotten.clear()
        self.search_lags, self.refund_status = True, "succeeded"

    # --- What tests do ---------------------------------------------------------------------------------

    def plan(self, fault: Fault, request: str) -> Self:
        self.faults.append((fault, request))
        return self

    def deliver_late(self) -> None:
        for request in self.kept_back:
            self.answer(request)
        self.kept_back.clear()

    def pay(self, session_id: str, card: str = VISA) -> bool:
        """The customer pays on Stripe's page. False when the card is declined: the page stays open."""
        session = self.sessions[session_id]
        assert session["status"] == "open", "the page is closed"
        intent = self._backend(
            "POST",
            "/v1/payment_intents",
            {
                "amount": session["amount_total"],
                "currency": session["currency"],
                "payment_method": card,
                "capture_method": session["_capture_method"],
                "metadata": session["metadata"],
            },
        )
        self.intents[intent["id"]] = {"created": intent["created"]}
        try:
            self._backend("POST", f"/v1/payment_intents/{intent['id']}/confirm", {})
        except Refusal:
            return False
        paid = "paid" if session["_capture_method"] == "automatic" else "unpaid"
        session.update(status="complete", payment_status=paid, payment_intent=intent["id"], url=None)
        return True

    def intent(self, intent_id: str) -> Shape:
        """As Stripe shows it: what localstripe leaves out is added."""
        found = self._backend("GET", f"/v1/payment_intents/{intent_id}", {})
        charge = found.get("latest_charge") or {}
        taken = found["status"] == "succeeded" and charge.get("captured")
        received = self.intents.get(intent_id, {}).get("captured", found["amount"]) if taken else 0
        return {**found, "amount_received": received, "latest_charge": charge.get("id")}

    def effects(self, payment_no: str) -> tuple[int, int]:
        """Money taken and given back for a payment of ours, over everything that exists."""
        ours = [self.intent(i) for i in self.intents]
        ours = [shape for shape in ours if shape["metadata"].get(PAYMENT_NO) == payment_no]
        given = [r for r in self.refunds.values() if r["payment_intent"] in {shape["id"] for shape in ours}]
        return (
            sum(shape["amount_received"] for shape in ours),
            sum(r["amount"] for r in given if r["status"] not in ("failed", "canceled")),
        )

    # --- What the server does ----------------------------------------------------------------------------

    def fault_for(self, request: Request) -> Fault | None:
        for planned in self.faults:
            if re.fullmatch(planned[1], str(request)):
                self.faults.remove(planned)
                return planned[0]
        return None

    def answer(self, request: Request) -> tuple[int, Shape]:
        with self._lock:
            self.seen.append(str(request))
            if request.key and request.key in self.answers:
                params, status, body = self.answers[request.key]
                if params != {**request.params, "_path": request.path}:
                    refusal = Refusal(400, "idempotency_key_in_use", "other parameters", "idempotency_error")
                    return refusal.status, refusal.body
                return status, body
            try:
                status, body = 200, self._handle(request)
            except Refusal as refusal:
                status, body = refusal.status, refusal.body
            if request.key:
                self.answers[request.key] = ({**request.params, "_path": request.path}, status, body)
            return status, body

    def _handle(self, request: Request) -> Shape:
        params = request.params
        match request.method, request.path.strip("/").split("/")[1:]:
            case "POST", ["checkout", "sessions"]:
                return self._shown(self._new_session(params), params)
            case "GET", ["checkout", "sessions"]:
                return self._page(list(self.sessions.values()), request, self._shown)
            case "GET", ["checkout", "sessions", session_id]:
                return self._shown(self._session(session_id), params)
            case "POST", ["checkout", "sessions", session_id, "expire"]:
                session = self._session(session_id)
                if session["status"] != "open":
                    raise Refusal(400, "checkout_session_not_open")
                session.update(status="expired", url=None)
                return self._shown(session, params)
            case "POST", ["payment_intents"]:
                return self._new_intent(params)
            case "GET", ["payment_intents"]:
                return self._page([self.intent(i) for i in self.intents], request, lambda shape, _: shape)
            case "GET", ["payment_intents", "search"]:
                return self._search(params["query"])
            case "GET", ["payment_intents", intent_id]:
                return self.intent(intent_id)
            case "POST", ["payment_intents", intent_id, "capture"]:
                self._backend("POST", request.path, params)
                if "amount_to_capture" in params:
                    self.intents[intent_id]["captured"] = int(params["amount_to_capture"])
                return self.intent(intent_id)
            case "POST", ["payment_intents", intent_id, "cancel"]:
                self._backend("POST", request.path, params)
                return self.intent(intent_id)
            case "POST", ["refunds"]:
                return self._new_refund(params)
            case "GET", ["refunds"]:
                wanted = params.get("payment_intent")
                found = [r for r in self.refunds.values() if wanted in (None, r["payment_intent"])]
                return self._page(found, request, lambda shape, _: shape)
            case "GET", ["refunds", refund_id] if refund_id in self.refunds:
                return self.refunds[refund_id]
        raise Refusal(404, "resource_missing", f"no such {request.path}")

    def _session(self, session_id: str) -> Shape:
        if session_id not in self.sessions:
            raise Refusal(404, "resource_missing")
        return self.sessions[session_id]

    def _new_session(self, params: Shape) -> Shape:
        price = params["line_items"]["0"]["price_data"]
        life = int(params["expires_at"]) - time.time()
        if not 1800 <= life <= 86400:
            raise Refusal(400, "parameter_invalid_integer", f"expires_at is {life:.0f} s away")
        session_id = f"cs_test_{next(self._numbers):06d}"
        self.sessions[session_id] = {
            "id": session_id,
            "object": "checkout.session",
            "amount_total": int(price["unit_amount"]),
            "client_reference_id": params["client_reference_id"],
            "created": int(time.time()),
            "currency": price["currency"],
            "livemode": False,
            "metadata": params["metadata"],
            "mode": "payment",
            "payment_intent": None,
            "payment_status": "unpaid",
            "status": "open",
            "url": f"https://checkout.stripe.com/c/pay/{session_id}",
            "_capture_method": params["payment_intent_data"]["capture_method"],
        }
        return self.sessions[session_id]

    def _shown(self, session: Shape, params: Shape) -> Shape:
        shown = {name: value for name, value in session.items() if not name.startswith("_")}
        expanded = any("payment_intent" in str(name) for name in (params.get("expand") or {}).values())
        if expanded and session["payment_intent"]:
            shown["payment_intent"] = self.intent(session["payment_intent"])
        return shown

    def _new_intent(self, params: Shape) -> Shape:
        created = self._backend("POST", "/v1/payment_intents", {**params, "confirm": "false"})
        self.intents[created["id"]] = {"created": created["created"]}
        self._backend("POST", f"/v1/payment_intents/{created['id']}/confirm", {})
        return self.intent(created["id"])

    def _new_refund(self, params: Shape) -> Shape:
        intent = self.intent(params["payment_intent"])
        taken = [r for r in self.refunds.values() if r["payment_intent"] == intent["id"]]
        left = intent["amount_received"] - sum(r["amount"] for r in taken if r["status"] != "failed")
        if int(params["amount"]) > left:
            raise Refusal(400, "charge_already_refunded", "more than is left")
        made = self._backend("POST", "/v1/refunds", params)
        # Stripe's Refund has no `livemode`; localstripe's has.
        shape = {name: value for name, value in made.items() if name != "livemode"}
        self.refunds[made["id"]] = {**shape, "status": self.refund_status}
        return self.refunds[made["id"]]

    def _search(self, query: str) -> Shape:
        wanted = re.fullmatch(rf"metadata\['{PAYMENT_NO}'\]:'(.*)'", query)
        assert wanted, query
        found = [] if self.search_lags else [self.intent(i) for i in self.intents]
        found = [shape for shape in found if shape["metadata"].get(PAYMENT_NO) == wanted[1]]
        return {
            "object": "search_result",
            "data": found,
            "has_more": False,
            "url": "/v1/payment_intents/search",
        }

    @staticmethod
    def _page(shapes: list[Shape], request: Request, show: Any) -> Shape:
        created, limit = request.params.get("created") or {}, int(request.params.get("limit", 10))
        shapes = [s for s in reversed(shapes) if _within(s["created"], created)]
        after = request.params.get("starting_after")
        ids = [shape["id"] for shape in shapes]
        first = ids.index(after) + 1 if after else 0
        page = [show(shape, request.params) for shape in shapes[first : first + limit]]
        return {"object": "list", "data": page, "has_more": first + limit < len(shapes), "url": request.path}

    def _backend(self, method: str, path: str, params: Shape) -> Shape:
        known = {name: value for name, value in params.items() if name not in ("expand",)}
        data = json.dumps(known).encode() if method == "POST" else None
        headers = {"Authorization": "Bearer sk_test_localstripe", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.backend}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            body = json.load(error)["error"]
            code, kind = body.get("code", ""), body["type"]
            status = error.code
            if status == 402:
                kind = "card_error"
            if status == 404:
                code = "resource_missing"
            raise Refusal(status, code, body.get("message", ""), kind) from error


def _within(moment: int, created: Shape) -> bool:
    return int(created.get("gte", 0)) <= moment < int(created.get("lt", 2**40))


class _Handler(BaseHTTPRequestHandler):
    fake: FakeStripe
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, *_arguments: object) -> None:
        """Silence: tests ask `fake.seen`."""

    def _serve(self) -> None:
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        params = _tree(urllib.parse.parse_qsl(query) + urllib.parse.parse_qsl(body))
        key, authorization = self.headers.get("Idempotency-Key"), self.headers.get("Authorization", "")
        self._play(Request(self.command, path, params, key, authorization))

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
                self._send(*self.fake.answer(request))
            case Fault.FAIL_BEFORE:
                self._send(500, Refusal(500, "", "broken", "api_error").body)
            case Fault.FAIL_AFTER:
                self.fake.answer(request)
                self._send(500, Refusal(500, "", "broken", "api_error").body)
            case Fault.BUSY:
                self._send(429, Refusal(429, "rate_limit").body, {"Retry-After": "2"})
            case Fault.REFUSE_KEY:
                self._send(401, Refusal(401, "api_key_expired").body)
            case None:
                self._send(*self.fake.answer(request))

    def _send(self, status: int, body: Shape, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {
            "Content-Length": str(len(content)),
            "Request-Id": "req_fake",
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.close()


def _tree(pairs: list[tuple[str, str]]) -> Shape:
    """`a[b][0]=c` as nested dictionaries."""
    tree: Shape = {}
    for name, value in pairs:
        first, *rest = re.findall(r"[^\[\]]+", name)
        here = tree
        for part, following in itertools.pairwise([first, *rest, ""]):
            if following == "":
                here[part] = value
            else:
                here = here.setdefault(part, {})
    return tree


@contextmanager
def fake_stripe() -> Iterator[FakeStripe]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.stripe.localstripe"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        fake = FakeStripe(backend=f"http://127.0.0.1:{int(process.stdout.readline())}")
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"fake": fake}))
        server.daemon_threads = True
        fake.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield fake
        server.shutdown()
        server.server_close()
    finally:
        process.kill()
        process.wait()
