"""The sandboxes of WeChat Pay and Alipay, which a platform of processes uses: their settings, customers and books."""

import http.client
import json
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from channels.wechat.sandbox.reading import Snapshot, fetch_books, find_violations
from tests.support.waiting import PATIENCE_SECONDS

SETTINGS_FILE = "settings.env"


@dataclass(frozen=True)
class Sandbox:
    """A sandbox: its program, its port, and the folder of its keys and records."""

    name: str
    port: int
    folder: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def arguments(self) -> list[str]:
        module = f"channels.{self.name}.sandbox"
        return ["-m", module, "--port", str(self.port), "--data", str(self.folder)]

    def is_ready(self) -> bool:
        with socket.socket() as probe:
            listens = probe.connect_ex(("127.0.0.1", self.port)) == 0
        return listens and (self.folder / SETTINGS_FILE).exists()

    def read_settings(self) -> dict[str, str]:
        """The settings of a platform that uses the sandbox."""
        lines = (self.folder / SETTINGS_FILE).read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


class Customers:
    """The customers, the faults and the books of both sandboxes.

    Methods that begin with `try_` return False when the sandbox refuses or does not run.
    """

    def __init__(self, wechat: Sandbox, alipay: Sandbox) -> None:
        self._wechat, self._alipay = wechat, alipay
        self._merchant_id = wechat.read_settings()["WECHAT_TEST_MCH_ID"]
        self._app_id = alipay.read_settings()["ALIPAY_TEST_APP_ID"]

    def pay_at_wechat(self, payment_no: str) -> None:
        _post(f"{self._wechat.url}/sandbox/pay", {"mchid": self._merchant_id, "out_trade_no": payment_no})

    def pay_at_alipay(self, payment_no: str) -> None:
        _post(
            f"{self._alipay.url}/control/pay",
            {"app_id": self._app_id, "out_trade_no": _to_alipay(payment_no)},
        )

    def try_to_pay(self, channel: str, payment_no: str, next_action: Mapping[str, Any] | None) -> bool:
        """The customer takes the next action of the payment and pays."""
        if channel == "wechat":
            return self.try_to_pay_late(payment_no, is_forced=False)
        if next_action is not None and next_action["type"] == "form":
            form = urllib.parse.urlencode(next_action["fields"]).encode()
            if not _try_to_send(urllib.request.Request(next_action["url"], form)):
                return False
        return _try_to_post(
            f"{self._alipay.url}/control/pay",
            {"app_id": self._app_id, "out_trade_no": _to_alipay(payment_no)},
        )

    def try_to_pay_late(self, payment_no: str, *, is_forced: bool = True) -> bool:
        """Pays as a customer who was entering the password while WeChat Pay closed the order."""
        body = {"mchid": self._merchant_id, "out_trade_no": payment_no, "force": is_forced}
        return _try_to_post(f"{self._wechat.url}/sandbox/pay", body)

    def try_to_plan(self, channel: str, fault: Mapping[str, Any]) -> bool:
        """Plans the fault for the next call, webhook or refund that it fits."""
        path = {
            "wechat": f"{self._wechat.url}/sandbox/faults",
            "alipay": f"{self._alipay.url}/control/faults",
        }
        return _try_to_post(path[channel], fault)

    def try_to_refuse_connections(self, seconds: float) -> bool:
        """Makes Alipay unreachable for so many seconds."""
        return _try_to_post(f"{self._alipay.url}/control/unreachable", {"seconds": seconds})

    def forget_faults(self) -> None:
        for url in (f"{self._wechat.url}/sandbox/faults", f"{self._alipay.url}/control/faults"):
            headers = {"Content-Type": "application/json"}
            urllib.request.urlopen(
                urllib.request.Request(url, headers=headers, method="DELETE"), timeout=PATIENCE_SECONDS
            ).close()

    def send_again(self) -> int:
        """The providers send again each webhook that is not acknowledged. Returns the number of these webhooks."""
        callbacks = self._read(f"{self._wechat.url}/sandbox/callbacks")
        events = {
            each["event_id"]
            for each in callbacks
            if each["signing"] == "genuine" and each["status"] != "delivered"
        }
        notices = self._read(f"{self._alipay.url}/control/notices")
        waiting = {
            each["notify_id"] for each in notices if not each["flaw"] and each["state"] != "acknowledged"
        }
        for event_id in events:
            _post(f"{self._wechat.url}/sandbox/callbacks/resend", {"event_id": event_id})
        for notify_id in waiting:
            _post(f"{self._alipay.url}/control/notices/repeat", {"notify_id": notify_id})
        return len(events) + len(waiting)

    def read_wechat_books(self) -> Snapshot:
        books = fetch_books(self._wechat.url)
        assert not find_violations(books), find_violations(books)
        return books

    def find_alipay_trades(self, payment_no: str) -> list[dict[str, Any]]:
        trades = self._read(f"{self._alipay.url}/control/trades")
        return [trade for trade in trades if trade["out_trade_no"] == _to_alipay(payment_no)]

    def _read(self, url: str) -> list[dict[str, Any]]:
        with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as answer:
            found: list[dict[str, Any]] = json.load(answer)
            return found


def _to_alipay(payment_no: str) -> str:
    """Alipay's numbers have letters, digits and underscores."""
    return payment_no.replace("-", "_")


def _post(url: str, body: Mapping[str, Any]) -> None:
    try:
        urllib.request.urlopen(_build_post(url, body), timeout=PATIENCE_SECONDS).close()
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{url} {body}: {error.read().decode()}") from error


def _try_to_post(url: str, body: Mapping[str, Any]) -> bool:
    return _try_to_send(_build_post(url, body))


def _try_to_send(request: urllib.request.Request) -> bool:
    try:
        urllib.request.urlopen(request, timeout=PATIENCE_SECONDS).close()
    except urllib.error.HTTPError as error:
        if error.code not in (400, 404, 409):
            raise
        return False
    except (OSError, http.client.HTTPException):
        return False
    return True


def _build_post(url: str, body: Mapping[str, Any]) -> urllib.request.Request:
    return urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
