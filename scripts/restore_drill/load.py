"""A merchant's program: pays, captures, cancels and refunds, and remembers every answer that it got."""

import http.client
import json
import secrets
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

HEADERS = {
    "X-API-Key": "test-api-key",
    "X-Signature": "test-signature",
    "Content-Type": "application/json",
}
PAUSE_SECONDS = 0.02
AMOUNT = 10_000


@dataclass
class DrillOrder:
    """What the merchant knows of one payment. The bank's script decides what its customer does."""

    order_no: str
    key: str
    script: str
    capture_method: str
    at: float
    payment_no: str = ""
    status: str = ""
    refunded: dict[str, int] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, Any]:
        return {
            "order_no": self.order_no,
            "amount": AMOUNT,
            "currency": "USD",
            "channel": "simulator",
            "subject": "Drill",
            "capture_method": self.capture_method,
            "metadata": {"simulate": self.script},
        }


class DrillMerchant:
    """Sends requests from a few threads until it is stopped. No answer is forgotten, and no request is repeated."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.orders: list[DrillOrder] = []
        self._stop = threading.Event()
        self._work_of_threads: list[Future[None]] = []

    def start(self, threads: int = 2) -> None:
        self._stop.clear()
        pool = ThreadPoolExecutor(threads)
        self._work_of_threads = [pool.submit(self._work) for _ in range(threads)]
        pool.shutdown(wait=False)

    def stop(self) -> None:
        """Raises what went wrong in a thread."""
        self._stop.set()
        for each in self._work_of_threads:
            each.result()

    def send(self, method: str, path: str, body: Any = None, key: str = "") -> tuple[int, dict[str, Any]]:
        headers = {**HEADERS, **({"Idempotency-Key": key} if key else {})}
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, f"/api/v1{path}", content, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def _work(self) -> None:
        number = 0
        while not self._stop.is_set():
            self._do(number)
            number += 1
            time.sleep(PAUSE_SECONDS)

    def _do(self, number: int) -> None:
        """Ten orders: six paid, two of them refunded in part, one captured, one decided later, one cancelled, one left
        open."""
        turn = number % 10
        script, method = {6: ("authorize", "manual"), 7: ("processing:3,auto_pay", "automatic")}.get(
            turn, ("" if turn in (8, 9) else "auto_pay", "automatic")
        )
        order = DrillOrder(
            f"DRILL-{secrets.token_hex(8)}", secrets.token_hex(12), script, method, time.time()
        )
        status, answer = self.send("POST", "/payments", order.body, order.key)
        if status not in (200, 202):
            raise RuntimeError(f"POST /payments: {status} {answer}")
        order.payment_no, order.status = answer["data"]["payment_no"], answer["data"]["status"]
        self.orders.append(order)
        if turn in (1, 2):
            self._refund(order)
            older = self.orders[len(self.orders) // 2]  # perhaps one of before the restore point
            if older.status == "succeeded":
                self._refund(older)
        elif turn == 6:
            self._change(order, "capture")
        elif turn == 8:
            self._change(order, "cancel")

    def _refund(self, order: DrillOrder) -> None:
        body = {"payment_no": order.payment_no, "amount": 700}
        status, answer = self.send("POST", "/refunds", body, secrets.token_hex(12))
        if status in (200, 202):
            order.refunded[answer["data"]["refund_no"]] = 700

    def _change(self, order: DrillOrder, operation: str) -> None:
        path = f"/payments/{order.payment_no}/{operation}"
        status, answer = self.send("POST", path, {}, secrets.token_hex(12))
        if status == 200:
            order.status = answer["data"]["status"]
