"""The sandboxes of WeChat Pay and Alipay, which a platform of processes uses: their settings, customers and books."""

import json
import socket
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from channels.wechat.sandbox.reading import Snapshot, fetch_books, find_violations

SETTINGS_FILE = "settings.env"


@dataclass(frozen=True)
class Sandbox:
    """One of them: its program, its port, and the folder of its keys and books."""

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
    """The customers and the books of both sandboxes."""

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

    def read_wechat_books(self) -> Snapshot:
        books = fetch_books(self._wechat.url)
        assert not find_violations(books), find_violations(books)
        return books

    def find_alipay_trades(self, payment_no: str) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self._alipay.url}/control/trades", timeout=60) as answer:
            return [trade for trade in json.load(answer) if trade["out_trade_no"] == _to_alipay(payment_no)]


def _to_alipay(payment_no: str) -> str:
    """Alipay's numbers have letters, digits and underscores."""
    return payment_no.replace("-", "_")


def _post(url: str, body: dict[str, str]) -> None:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        urllib.request.urlopen(request, timeout=60).close()
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{url} {body}: {error.read().decode()}") from error
