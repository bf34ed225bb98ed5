"""Clients that create payments, see them paid by the channel's webhook, and refund some."""

import json
import random
import secrets
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

from scripts.lab.client import Client, Journal, LabAnswer, Outcome

CLIENTS = 12
AMOUNT, REFUND = 10_000, 3_000
# Of ten payments, so many are made at the simulated bank, whose books are in the platform's database; the others at the
# sandbox of WeChat Pay, which keeps its own.
AT_SIMULATOR = 6
REFUNDED = 0.3
# How long a client waits for the channel's webhook before it goes on; the platform polls later.
PAID_SECONDS = 20.0
BANK_SECONDS = 10.0


class LabLoad:
    """Closed loops at a fixed pace, so that the rate before and after a fault can be compared."""

    def __init__(
        self,
        url: str,
        merchant: dict[str, str],
        journal: Path,
        *,
        bank_url: str,
        bank_account: str,
        writes_per_second: float,
        clients: int = CLIENTS,
    ) -> None:
        self._journal = Journal(journal)
        self._end, self._give_up = threading.Event(), threading.Event()
        self._clients = [
            _Merchant(
                number,
                Client(url, merchant),
                self._journal,
                self._end,
                self._give_up,
                pause=clients / writes_per_second,
                bank=LabBank(bank_url, bank_account),
            )
            for number in range(clients)
        ]
        self._threads = ThreadPoolExecutor(clients)
        self._running: list[Future[None]] = []

    def start(self) -> None:
        self._running = [self._threads.submit(each.run) for each in self._clients]

    def count_confirmed(self) -> int:
        return sum(each.confirmed for each in self._clients)

    def stop(self, patience_seconds: float) -> None:
        """No new payments; those that were sent are repeated until they have an answer, for so long at most."""
        self._end.set()
        wait(self._running, patience_seconds)
        self._give_up.set()
        self._threads.shutdown()
        self._journal.close()
        for each in self._running:
            each.result()  # a fault of a client of ours is no result of the scenario


class LabBank:
    """The customers at the sandbox of WeChat Pay."""

    def __init__(self, url: str, account: str) -> None:
        self._url, self._account = url, account

    def try_to_pay(self, payment_no: str) -> bool:
        body = json.dumps({"mchid": self._account, "out_trade_no": payment_no}).encode()
        request = urllib.request.Request(
            f"{self._url}/sandbox/pay", body, {"Content-Type": "application/json"}
        )
        try:
            urllib.request.urlopen(request, timeout=BANK_SECONDS).close()
        except (urllib.error.URLError, OSError):
            return False
        return True


class _Merchant:
    def __init__(
        self,
        number: int,
        client: Client,
        journal: Journal,
        end: threading.Event,
        give_up: threading.Event,
        *,
        pause: float,
        bank: LabBank,
    ) -> None:
        self.number, self.confirmed = number, 0
        self._client, self._journal, self._bank = client, journal, bank
        self._end, self._give_up, self._pause = end, give_up, pause
        self._dice = random.Random(number)

    def run(self) -> None:
        self._end.wait(self._pause * self._dice.random())
        while not self._end.is_set():
            begun = time.monotonic()
            self._pay()
            self._end.wait(max(0.0, self._pause - (time.monotonic() - begun)))

    def _pay(self) -> None:
        at_simulator = self._dice.randrange(10) < AT_SIMULATOR
        outcome = self._write("payment", "simulator" if at_simulator else "wechat", _payment(at_simulator))
        answer = self._send(outcome)
        if answer is None or not outcome.is_confirmed:
            self._journal.write(outcome)
            return
        if not at_simulator:
            self._bank.try_to_pay(outcome.number)
        outcome.paid_at = self._wait_until_paid(outcome.number)
        self._journal.write(outcome)
        if outcome.paid_at is not None and self._dice.random() < REFUNDED:
            body = {"payment_no": outcome.number, "amount": REFUND, "reason": "half empty"}
            refund = self._write("refund", outcome.channel, body)
            self._send(refund)
            self._journal.write(refund)

    def _write(self, kind: str, channel: str, body: dict[str, object]) -> Outcome:
        return Outcome(client=self.number, kind=kind, channel=channel, path=f"/api/v1/{kind}s", body=body)

    def _send(self, outcome: Outcome) -> LabAnswer | None:
        answer = self._client.send_until_final(outcome, self._give_up)
        if answer is not None and outcome.is_confirmed:
            outcome.number = answer.data[f"{outcome.kind}_no"]
            self.confirmed += 1
        return answer

    def _wait_until_paid(self, payment_no: str) -> float | None:
        """The moment at which the platform says so."""
        deadline, pause = time.monotonic() + PAID_SECONDS, 0.2
        while time.monotonic() < deadline:
            answer = self._client.request("GET", f"/api/v1/payments/{payment_no}")
            if answer.status == 200 and answer.data["status"] == "succeeded":
                return time.time()
            if self._give_up.wait(pause):
                return None
            pause = min(pause * 2, 2.0)
        return None


def _payment(at_simulator: bool) -> dict[str, object]:
    common = {"order_no": f"LAB-{secrets.token_hex(8)}", "amount": AMOUNT, "subject": "Coffee"}
    if at_simulator:
        return {**common, "currency": "USD", "channel": "simulator", "metadata": {"simulate": "auto_pay"}}
    return {**common, "currency": "CNY", "channel": "wechat", "payment_method": "wechat_native"}
